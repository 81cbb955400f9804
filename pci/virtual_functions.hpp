// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/kernel_write.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "config/gpu_settings.hpp"

namespace gpuward {

/// The VFs that a PF has now: virtfn0, virtfn1 … in this order. `sriov_numvfs` is never read: that
/// takes the PF's device lock and blocks as long as a change does (drivers/pci/pci-sysfs.c, iov.c).
std::vector<PciAddress> virtual_functions(const Root& root, const PciAddress& pf);

/// How many it can have; 0 when it is no PF.
unsigned total_vfs(const Root& root, const PciAddress& pf);

/// Where VF number `index` sits or will sit, from the offset and stride that the device tells now;
/// they may change with the number of VFs. Nothing when it reports none.
std::optional<PciAddress> virtual_function_address(const Root& root, const PciAddress& pf,
                                                   unsigned index);

/// Where xe has what a VF is to get, before it is enabled as well (sriov_admin, Linux 6.19); VFs
/// are numbered from 1.
inline constexpr const char* vf_profile_attributes[] = {"vram_quota", "exec_quantum_ms",
                                                        "preempt_timeout_us"};
std::string vf_profile_path(const Root& root, const PciAddress& pf, unsigned number,
                            const std::string& attribute);

/// What to make of a PF.
struct VfSettings {
  unsigned count = 0;
  bool autoprobe = false;  ///< whether a driver of the host may take them
  VfQuota quota;           ///< for each
};

/// What the configuration wants of a PF that can have `most`, for domains that get its VFs as
/// `use`. A host's driver may take NVIDIA's, which is their VFIO provider, and no others.
VfSettings wanted_vfs(const GpuSettings& settings, Use use, unsigned most);

/// What came of it.
struct VfResult {
  KernelChange change;
  bool untouched = false;  ///< the kernel refused before anything was changed
};

/// Removes the VFs that are there and makes `wanted.count` new ones: first 0 is written, as the
/// kernel takes no other change (EBUSY); what came of it is read back, as a driver may make fewer.
/// The caller knows that none is in use, and records what they are (state/vf_settings.hpp).
VfResult set_virtual_functions(const Root& root, const PciAddress& pf, const VfSettings& wanted,
                               const WriteOptions& options);

}  // namespace gpuward
