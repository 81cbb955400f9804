// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pci/bus_path.hpp"

namespace gpuward {

// How far GPUs of one domain are from each other, by what lies between them. Links between the
// cards (NVLink, Infinity Fabric) are not in sysfs and do not count.

/// Where a GPU is plugged in. Of one whose path is not known nothing is near.
struct GpuSpot {
  PciAddress card;          ///< of a VF its PF
  std::optional<int> node;  ///< NUMA node
  std::optional<BusPath> bus;
};

enum class Distance : unsigned {
  one_switch,     ///< below one PCIe switch, or of one card
  one_root_port,  ///< below several switches, but one root port
  one_host_bridge,
  one_node,  ///< NUMA node
  far,       ///< another NUMA node, or not known
};

/// `one` and `other`: of two GPUs.
Distance distance(const GpuSpot& one, const GpuSpot& other);

/// The sum of the distances to all of these.
unsigned distance_to(const GpuSpot& spot, std::span<const GpuSpot> others);

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
/// already, then the first. No choice of as many has less.
std::vector<size_t> nearest(std::span<const SpotCosts> devices, size_t count);

}  // namespace gpuward
