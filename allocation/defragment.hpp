// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "allocation/capacity.hpp"
#include "allocation/reassignment.hpp"

namespace gpuward {

// Which shut-off domains, reassigned, make room for more GPUs of a profile. What a running domain
// has stays; mdevs are created where there is room when a domain starts, so a shut-off domain has
// none that could be in the way. What it has is a PCI device in its XML: no claim, so another
// domain may start with it, but then its own start needs another. Room is what is neither in use
// nor assigned to a shut-off domain. Pure.

/// What is known of the host.
struct Fragmented {
  const Profile& profile;
  const DevicePools& pools;  ///< of the profile and of what shut-off domains request, by title
  const std::vector<PoolDomain>& off;
  const DevicesInUse& taken;
  /// Written by hand in the XML of shut-off domains, with what goes with it: never moved.
  const DevicesInUse& by_hand;
  /// What cards have room for beside what runs, where it is not one for each of their devices:
  /// types of all pools are counted.
  std::map<PciAddress, CardRoom> rooms{};
  /// Numbers of the IOMMU groups of devices: VFIO gives one to one domain. None without an IOMMU.
  std::map<PciAddress, unsigned> iommu_groups{};
};

/// A GPU of a shut-off domain that is to be assigned another device.
struct DeviceMove {
  Uuid domain;
  std::string name;  ///< of the domain
  std::string alias;
  PciAddress from, to;
  bool operator==(const DeviceMove&) const = default;
};

/// Why a device of the profile's pool gives no room.
struct Hindrance {
  PciAddress device;
  std::string why;
  std::optional<Uuid> domain;  ///< that is running with it
};

struct Defragmented {
  unsigned available = 0;             ///< without a move
  unsigned possible = 0;              ///< after all moves, `wanted` at most
  std::vector<DeviceMove> moves;      ///< in an order in which each finds its device unassigned
  std::vector<Hindrance> hindrances;  ///< where fewer than wanted are possible, by device
};

/// Room for `wanted` more, or for as many as can be, by as few moves as that takes. Shut-off
/// domains that share one device stay together. A vGPU that a shut-off domain is to have takes its
/// room on its card. With GPUs that share companions, a card whose VFs others have, and one on
/// which shut-off domains are to have vGPUs of several types, or more than it has room for, it may
/// find less than there is, never more.
Defragmented defragment(const Fragmented& host, unsigned wanted);

// ---- mdevs

/// A card that a profile of mdevs may have instances on, and who has instances there.
struct SharedCard {
  CardRoom room;
  std::map<std::string, std::vector<std::string>> types{};  ///< ids of types, by who has them
  std::map<std::string, unsigned> within_max{};  ///< how many more [gpu] max permits, by type
  std::set<std::string> not_in_max{};            ///< who has no claim: it does not count for max
};

/// What more of the profile would fit without the instances of one user.
struct RoomUser {
  std::string user;
  std::optional<unsigned> frees;  ///< nothing where that is not known
  bool operator==(const RoomUser&) const = default;
};

/// Those that would make room for more, the most first. `types`: of the profile.
std::vector<RoomUser> room_users(const std::vector<SharedCard>& cards,
                                 const std::vector<std::string>& types);

}  // namespace gpuward
