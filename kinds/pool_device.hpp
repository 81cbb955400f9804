// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "config/gpu_settings.hpp"
#include "mdev/parent.hpp"
#include "pci/bus_path.hpp"
#include "pci/card_facts.hpp"
#include "pci/nvlink.hpp"
#include "pci/pci_device.hpp"
#include "state/claim.hpp"

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
  int stranded_mib = 0;  ///< as Candidate's: 0 where it is not known, or all are of one card
  std::vector<int> local_cpus{};   ///< CPUs of its NUMA node, with numa = socket of its socket
  std::vector<int> local_nodes{};  ///< NUMA nodes of its socket, with numa = socket
  bool adopt = false;              ///< gpuward may remove such a vGPU if no domain claims it
  std::optional<BusPath> bus{};    ///< of its card; nothing where it is not known or was not read
  NvLinks links{};                 ///< of its card; none where they were not asked for
};

/// Whose devices are looked for.
struct PoolQuery {
  const Root& root;
  const Config& config;
  const Profile& profile;
  KnownCards& cards;
  /// Use claims_of().
  std::shared_ptr<std::optional<std::vector<Claim>>> claims =
      std::make_shared<std::optional<std::vector<Claim>>>();
};

/// Those of all domains: read once for all devices of the pool, where limits of one need them.
const std::vector<Claim>& claims_of(const PoolQuery& query);

/// A PCI device, or a parent of mdevs that is none, as a section of the configuration sees it: one
/// that names a VF counts more than its PF's.
Parent identity_of(const Root& root, const Config& config, const std::string& name);

/// Why a device that its sections allow is none of the kind; "" when it is one.
using ReasonNotOfKind = std::string (*)(const PoolQuery& query, const GpuSettings& settings,
                                        const PciDevice& device);

/// What the configuration says of a device of the kind that the profile may give, and that is the
/// one its section expects; nothing, and why, of any other.
std::optional<GpuSettings> allowed_settings(const PoolQuery& query, const PciDevice& device,
                                            ReasonNotOfKind reason, std::string& why);

/// What keeps libvirt from giving these functions of a device, its own first, by a profile with
/// driver = keep: one has no driver of VFIO's, and nothing would bind it. No problem otherwise.
Reason reason_unbound(const Root& root, const Profile& profile,
                      const std::vector<PciAddress>& functions);

/// Why the profile or a [gpu] section keeps the device, or its card, from domains.
std::string not_allowed_by(const PoolQuery& query, const GpuId& gpu);

}  // namespace gpuward
