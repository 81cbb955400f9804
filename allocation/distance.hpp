// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pci/bus_path.hpp"
#include "pci/nvlink.hpp"

namespace gpuward {

// How far GPUs of one domain are from each other, by what lies between them. Cards with NVLink
// between them are nearer than others; AMD's Infinity Fabric is not in sysfs and does not count.

/// Where a GPU is plugged in. Of one whose path is not known nothing is near.
struct GpuSpot {
  PciAddress card;          ///< of a VF its PF
  std::optional<int> node;  ///< NUMA node
  std::optional<BusPath> bus;
  NvLinks links{};  ///< none where they were not asked for
};

/// Whether NVLink connects the cards of two GPUs. Cards with links to NVSwitches are connected with
/// each other, and what is on one card with links is too.
bool are_linked(const GpuSpot& one, const GpuSpot& other);

/// "NVLink to 0000:41:00.0", of all the other cards that it is linked to; "" where there is none.
std::string links_text(const GpuSpot& spot, std::span<const GpuSpot> others);

enum class Distance : unsigned {
  one_switch,     ///< below one PCIe switch, or of one card
  one_root_port,  ///< below several switches, but one root port
  one_host_bridge,
  one_node,  ///< NUMA node
  far,       ///< another NUMA node, or not known
};

/// `one` and `other`: of two GPUs. Without NVLink.
Distance distance(const GpuSpot& one, const GpuSpot& other);

/// Added to the distance of two GPUs that are not linked: the farthest that is linked is nearer
/// than the nearest that is not.
inline constexpr unsigned distance_without_link = static_cast<unsigned>(Distance::far) + 1;

/// The sum of the distances to all of these, with those of missing links.
unsigned distance_to(const GpuSpot& spot, std::span<const GpuSpot> others);

/// Where another GPU of the domain could be, and how many.
struct SpotWithRoom {
  GpuSpot spot;
  unsigned room = 0;
};

/// For a link that one placed later will miss: a link that is missing now counts more.
inline constexpr unsigned expected_without_link = distance_without_link - 1;

/// What is to be expected for so many GPUs that are placed after this one: the sum for those that
/// will find no room on a card linked to it.
unsigned missing_links(const GpuSpot& spot, std::span<const SpotWithRoom> possible,
                       unsigned still_to_place);

/// What speaks against a device, what counts first at the front; less is better.
using Costs = std::array<uint64_t, 8>;

/// A device that a GPU may get.
struct SpotCosts {
  GpuSpot spot;
  Costs costs{};
  unsigned apart = 0;  ///< distance to what the domain has already
};

/// `count` of the devices, by their place in the list, or all where there are not as many: those
/// with the least sum of costs, then of distances between each two and to what the domain has
/// already, then the first. No choice of as many has less. Links between them do not count.
std::vector<size_t> nearest(std::span<const SpotCosts> devices, size_t count);

}  // namespace gpuward
