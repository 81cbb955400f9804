// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/verdict.hpp"
#include "config/config.hpp"

namespace gpuward {

/// A PCI device that a profile may give.
struct PoolDevice {
  PciAddress address;
  std::optional<PciAddress> physical_function;  ///< of a VF
  std::optional<int> numa_node;
  std::vector<PciAddress> functions;  ///< what a domain gets: itself, then companions
  bool exists = true;                 ///< false for a VF that is made at the first prepare
  std::vector<PciAddress> host_bound_members{};  ///< used by the host, in a whole GPU's IOMMU group
  std::vector<PciAddress> staying{};             ///< of its slot, in IOMMU groups of their own
  bool has_vgpu = false;                         ///< a VF that has a vGPU already, whoever made it
  bool is_full = false;  ///< a VF without a vGPU whose card has no room for one of the profile
  std::vector<int> local_cpus{};   ///< CPUs of its NUMA node, with numa = socket of its socket
  std::vector<int> local_nodes{};  ///< NUMA nodes of its socket, with numa = socket
  bool adopt = false;              ///< gpuward may remove such a vGPU if nobody claims it
};

/// Whether the profile gives PCI devices, whose address is in the domain's XML before it starts.
bool gives_pci_devices(const Profile& profile);

/// All devices that the profile may give on this host, in the order of their addresses: its pool.
/// Whether one is in use is not looked at.
std::vector<PoolDevice> pool_of(const Root& root, const Config& config, const Profile& profile);

/// Why the pool is empty: what keeps the devices out that come to mind, three at most.
std::string explain_empty_pool(const Root& root, const Config& config, const Profile& profile);

/// The one at this address, without looking at others; nothing, and why, when it is not of the
/// pool.
std::optional<PoolDevice> find_in_pool(const Root& root, const Config& config,
                                       const Profile& profile, const PciAddress& address,
                                       std::string& why);

}  // namespace gpuward
