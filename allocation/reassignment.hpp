// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "allocation/choose_device.hpp"
#include "allocation/pool.hpp"
#include "base/uuid.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "pci/nvml.hpp"

namespace gpuward {

/// A GPU that a domain gets out of a pool, and the device that its definition points at.
struct PoolGpu {
  std::string alias;
  Profile profile;
  std::optional<PciAddress> at;
  bool must_be_unmanaged = false;  ///< a hostdev has managed='yes', and prepare refuses that
  bool operator==(const PoolGpu&) const = default;
};

/// What is kept of a domain's persistent definition.
struct PoolDomain {
  Uuid uuid;
  std::string name;
  std::vector<PoolGpu> gpus;  ///< none: it is no business of pools
  std::vector<int> numa_nodes;
  std::vector<int> cpus{};            ///< that it is pinned to
  std::vector<PciAddress> own{};      ///< all PCI devices in its XML
  std::vector<PciAddress> by_hand{};  ///< those that its author wrote
  std::vector<Uuid> mdevs_by_hand{};
  bool operator==(const PoolDomain&) const = default;
};
PoolDomain pool_domain(const Config& config, const Domain& domain);

/// The devices that a domain's GPUs of pools are pointed at, without companions.
std::vector<PciAddress> assigned_devices(const Config& config, const Domain& domain);

/// Devices of the profiles that domains ask for, by the profile's title: a request that names no
/// profile may be the name of one.
using DevicePools = std::map<std::string, std::vector<PoolDevice>>;
/// `asked`: of a command that asks cards elsewhere too, one for all.
DevicePools pools_of(const Root& root, const Config& config, const std::vector<PoolDomain>& domains,
                     const std::shared_ptr<AskedCards>& asked = {});

/// All of them, with companions.
std::vector<PciAddress> devices_of(const DevicePools& pools);

/// What domains have by hand, each of which is in use by the domain itself with its card, its VFs
/// and its parent: none of it is assigned to the domain a second time.
using DevicesByHand = std::map<Uuid, DevicesInUse>;
DevicesByHand devices_by_hand(const Root& root, const std::vector<PoolDomain>& domains);

/// The device of the pool that has this address, or null.
const PoolDevice* find_device(const std::vector<PoolDevice>& pool,
                              const std::optional<PciAddress>& address);

/// Of a device that is no other GPU's of the domain.
User assigned_to_another_gpu(const PoolDomain& domain);

/// One GPU that is to be pointed at another device, or to be unmanaged at its own.
struct Reassignment {
  Uuid domain;
  std::string alias;
  bool managed = true;  ///< as is_managed() of the profile has it
  std::optional<PciAddress> from;
  std::vector<PciAddress> to;  ///< the device and its companions
  std::string why;
};

struct PoolPlan {
  std::vector<Reassignment> moves;  ///< those of one domain follow each other
  bool retry_later = false;         ///< one found no device that is free, but a process has one
};

/// Where domains that are off are to be pointed: only those at a device that is taken or none of
/// the pool, each at the free one that costs least (choose_device.hpp), counting `assigned_count`
/// by others.
PoolPlan plan_reassignments(const std::vector<PoolDomain>& off, const DevicePools& pools,
                            const DevicesByHand& by_hand, const DevicesInUse& taken,
                            std::map<PciAddress, unsigned> assigned_count);

/// Notes in each device and spot the NVLinks of its card, as add_nvlinks() of pool.hpp does.
void add_nvlinks(const Root& root, const std::vector<PoolDevice*>& devices,
                 std::vector<GpuSpot>& beside, AskedCards& asked);

/// Notes NVLinks in the pools, asked for where plan_reassignments() with the same moves one of
/// several vGPUs of a domain and more than one card has room.
void add_nvlinks(const Root& root, const std::vector<PoolDomain>& off, DevicePools& pools,
                 const DevicesByHand& by_hand, const DeviceUse& use, AskedCards& asked);

/// Whether a GPU of the domain is at a device that another has.
bool uses_unavailable_device(const PoolDomain& domain, const DevicesInUse& taken);

}  // namespace gpuward
