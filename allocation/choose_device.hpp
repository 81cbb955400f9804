// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "allocation/distance.hpp"
#include "allocation/placement.hpp"
#include "allocation/pool.hpp"
#include "config/config.hpp"
#include "inventory/usage.hpp"

namespace gpuward {

/// What is known of PCI devices when one is to be chosen for a domain.
struct DeviceUse {
  DevicesInUse taken;                             ///< by others than the domain
  std::map<PciAddress, unsigned> assigned_count;  ///< by how many other domains that are off
  std::vector<PciAddress> own{};                  ///< what the domain has in its XML
  std::vector<GpuSpot> beside{};                  ///< where the other GPUs of the domain are
  unsigned still_to_place = 0;  ///< how many of the pool are placed after the one that is chosen
};

/// Where a device is plugged in.
GpuSpot spot_of(const PoolDevice& device);

/// Which of two devices that a domain could have is the better one, and by what.
Comparison decide(const Profile& profile, const std::vector<PoolDevice>& pool, const DeviceUse& use,
                  const DomainPlace& domain, const PoolDevice& one, const PoolDevice& other);

/// Whether a vGPU is on it that only the administrator may remove: gpuward did not make it, as
/// no domain has claimed it.
bool has_others_vgpu(const PoolDevice& device);

/// Whether VFIO will open its IOMMU group for a domain that has `own`.
bool is_viable(const PoolDevice& device, const std::vector<PciAddress>& own);

/// Whether nothing keeps the domain from having it.
bool is_possible(const Profile& profile, const PoolDevice& device, const DeviceUse& use,
                 const DomainPlace& domain);

/// What keeps the domain from having it, after the device: "in use by domain 'web01'"; "" where
/// nothing does.
std::string why_impossible(const Profile& profile, const PoolDevice& device, const DeviceUse& use,
                           const DomainPlace& domain);

/// Whether no domain can have both: they are one device, share a companion, or one is a VF of the
/// other.
bool is_conflict(const PoolDevice& one, const PoolDevice& other);

/// Why a domain cannot have the device and its companions, or a VF of its card; nothing when it
/// can.
std::optional<User> find_user(const PoolDevice& device, const DevicesInUse& taken);

/// The best for a domain that is there: free, viable, on a card with room, without a vGPU, with
/// binpack that which strands least memory, near, pointed at by the fewest, then on the fullest
/// (binpack) or emptiest (spread) PF, with spread that which strands least, near the other GPUs of
/// the domain, then by address. Null when none is free.
const PoolDevice* choose_device(const Profile& profile, const std::vector<PoolDevice>& pool,
                                const DeviceUse& use, const DomainPlace& domain);

/// One of several GPUs that a domain is to have, each a device of its own.
struct DeviceRequest {
  const Profile& profile;
  const std::vector<PoolDevice>& pool;
  DeviceUse use;
  std::optional<PciAddress> at{};  ///< the device that it leaves
};

/// What is in use for one of them, the devices that are chosen for the others included.
DeviceUse use_beside_others(const std::vector<DeviceRequest>& requests,
                            const std::vector<const PoolDevice*>& chosen, size_t number);

/// A device for each that has none in `chosen`, null where there is none. Each gets the best as
/// choose_device() has it, in order; those of one pool without VFs get the best together, so that
/// they are near each other. Where that leaves one without, those before it change to other
/// devices, so that as many as possible have one.
void choose_devices(const std::vector<DeviceRequest>& requests, const DomainPlace& domain,
                    std::vector<const PoolDevice*>& chosen);

/// Whether the profile lets the domain have a device that is where this one is.
bool is_near_enough(const Profile& profile, const PoolDevice& device, const DomainPlace& domain);

}  // namespace gpuward
