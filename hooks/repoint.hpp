// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "pci/pool.hpp"

namespace gpuward {

/// What is known of PCI devices when one is to be chosen for a domain.
struct DeviceUse {
  std::set<PciAddress>
      taken;  ///< held by another domain, in use by the host, or given once already
  std::map<PciAddress, unsigned> pointed_at;  ///< by how many other domains that are off
};

/// All that this host holds, but for what `domain` itself has claimed: claims, used devices, and
/// nodes that a process has open.
std::set<PciAddress> taken_devices(const Root& root, const Uuid& domain);

/// The best for a domain with memory on `numa_nodes`: free, near, pointed at by the fewest, then on
/// the fullest (binpack) or emptiest (spread) PF, then by address. Null when none is free.
const PoolDevice* choose_device(const Profile& profile, const std::vector<PoolDevice>& pool,
                                const DeviceUse& use, const std::vector<int>& numa_nodes);

/// `xml` of a domain that is off with each GPU of a pool pointed at a free device: those that are
/// stay. Where none is free it stays too: prepare will say who has it. Throws Error when a pool has
/// no device at all.
std::string repoint(const Root& root, const Config& config, std::string_view xml,
                    const DeviceUse& use);

/// The devices that a domain's GPUs of pools are pointed at, without companions.
std::vector<PciAddress> pointed_devices(const Config& config, const Domain& domain);

}  // namespace gpuward
