// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/usage.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"
#include "pci/health.hpp"
#include "pci/identity.hpp"
#include "pci/iommu_group.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// A GPU as people are shown it: a PCI display device or accelerator, what a [gpu] section names,
/// or a parent of mdevs. Its VFs are part of it, its companion functions are none.
struct GpuView {
  Parent parent;
  uint32_t pci_class = 0;  ///< 0 when it is no PCI device
  std::string driver{};
  std::optional<unsigned> iommu_group{};
  std::vector<std::string> mdev_parents{};  ///< itself, or those of its VFs that are
  unsigned most_vfs = 0;                    ///< 0 when it has no SR-IOV
  std::vector<PciAddress> vfs{};            ///< those there are
  bool offers_vgpus = false;                ///< NVIDIA's vendor VFIO framework on a VF
  bool is_vf = false;                       ///< of a device that is no GPU

  bool serves_mdevs() const { return !mdev_parents.empty(); }
};

/// A device that a domain has or can have, and who has it.
struct InstanceView {
  Instance instance{};  ///< of an mdev; else parent and type of the claim
  std::string name{};   ///< UUID or PCI address
  Use use = Use::mdev;
  /// in-use, quarantined: claimed by a domain; provisioned: by gpuward's `instances`; external: by
  /// another program; missing: claimed but not existing; unknown: external, or of a claim that
  /// cannot be read
  std::string state{};
  std::optional<ClaimedDevice> device{};  ///< when claimed
  std::string domain{};                   ///< its name, when claimed
  std::optional<Uuid> domain_uuid{};
};

/// What there is of a GPU in use.
struct GpuUse {
  unsigned instances = 0;         ///< mdevs, and devices that are claimed
  std::set<std::string> vfs;      ///< with an instance, a vGPU or a claim
  std::set<std::string> domains;  ///< names of those that claim something of it
};

/// All that there is to tell about one GPU, beside GpuView.
struct GpuDetails {
  std::optional<IommuGroup> group;
  Verdict viable = Verdict::allow();  ///< whether VFIO opens the group
  std::vector<PciAddress> companions;
  Identity identity;
  Health health;
};

/// By name. `config`: for devices that only its [gpu] sections make GPUs.
std::vector<GpuView> view_gpus(const Root& root, const Config& config);
std::vector<InstanceView> view_instances(const Root& root);
/// With claims that were read already.
std::vector<InstanceView> view_instances(const Root& root, const ClaimedDevices& claimed);

/// By the GPU's name.
std::map<std::string, GpuUse> view_use(const Root& root, const std::vector<GpuView>& gpus,
                                       const std::vector<InstanceView>& instances);

/// What it can be given as, whatever the configuration says.
std::vector<Use> kinds_of(const GpuView& gpu);

GpuDetails view_details(const Root& root, const GpuView& gpu);

}  // namespace gpuward
