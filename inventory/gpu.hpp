// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/verdict.hpp"
#include "config/use.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"
#include "pci/health.hpp"
#include "pci/identity.hpp"
#include "pci/iommu_group.hpp"
#include "state/claim.hpp"

namespace gpuward {

class AskedCards;

// What a host has, as inventory/snapshot.hpp reads it: GPU (the card), its VFs, the mdev parents
// among them, their types, and the instances on all of these.

/// A PCI display device or accelerator, what a [gpu] section names, or a parent of mdevs. Its VFs
/// are part of it, its companion functions are not GPUs.
struct Gpu {
  Parent parent;
  uint32_t pci_class = 0;  ///< 0 when it is not a PCI device
  std::string driver{};
  std::optional<unsigned> iommu_group{};
  std::vector<std::string> mdev_parents{};  ///< itself, or those of its VFs that are
  unsigned most_vfs = 0;                    ///< 0 when it has no SR-IOV
  std::vector<PciAddress> vfs{};            ///< those that are enabled
  bool offers_vgpus = false;                ///< NVIDIA's vendor VFIO framework on a VF
  bool is_vf = false;                       ///< of a device that is not a GPU
  /// Whether a kind of which only a program tells what the GPU has of it is asked: where the
  /// configuration uses the GPU, or leaves it to a profile, as such.
  bool asks_programs = false;
  std::shared_ptr<AskedCards> asked{};  ///< what such a program answered, of all GPUs of the host

  bool serves_mdevs() const { return !mdev_parents.empty(); }
};

/// A type of one GPU.
struct GpuType {
  /// A part of the GPU that offers the type.
  struct On {
    std::string parent;  ///< mdev parent or VF
    std::optional<unsigned> available{};
  };
  std::string id;      ///< "nvidia-745", of the vendor VFIO framework "1153"
  std::string name{};  ///< as the vendor names it: "NVIDIA L40S-12Q"
  Use use = default_use;
  std::optional<unsigned> memory_mib{};
  /// What one takes of each thing that the card's types share: mbochs {MiB}, NVIDIA {MIG slices,
  /// MiB}, GVT-g {fences, low, high}. Empty where the driver does not say.
  std::vector<unsigned> takes{};
  /// All that run on the card at a time have one size of memory: NVIDIA's default without MIG.
  bool one_size = false;
  bool of_mig = false;                 ///< NVIDIA's, on a GPU instance of MIG
  std::optional<bool> has_graphics{};  ///< false: for compute alone
  /// `on` says what the card has left, whatever is on it: a GPU instance is created for each.
  bool is_counted_by_card = false;
  std::optional<unsigned> most{};  ///< max_instance: how many the card can have
  std::vector<On> on{};            ///< each that was counted
  std::string device_api{};
  std::string description{};
};

/// A device that a domain has or can have, and who has it.
struct GpuInstance {
  Instance instance{};  ///< of an mdev; else parent and type of the claim
  std::string name{};   ///< UUID or PCI address
  bool exists = true;   ///< false of what is claimed or in quarantine and gone
  Use use = default_use;
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
  unsigned instances = 0;                  ///< mdevs, and devices that are claimed
  std::vector<size_t> at{};                ///< these, by their place in the list of all instances
  std::set<std::string> vfs{};             ///< with an instance, a vGPU or a claim
  std::set<std::string> domains;           ///< names of those that claim something of it
  std::map<PciAddress, unsigned> vgpus{};  ///< ids of the vGPUs on VFs, whichever program set them
};

/// Memory of a GPU. What is not known, or is the sum of something that is not, is nothing.
struct GpuMemory {
  std::optional<unsigned> total_mib;
  std::optional<unsigned> given_mib;  ///< to all that exists on it: instances, vGPUs, or all of it
};

/// All that is known of one GPU, beside Gpu.
struct GpuDetails {
  std::optional<IommuGroup> group;
  Verdict viable = Verdict::allow();  ///< whether VFIO opens the group
  std::vector<PciAddress> companions;
  Identity identity;
  Health health;
};

}  // namespace gpuward
