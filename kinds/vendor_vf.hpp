// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

#include "config/gpu_settings.hpp"
#include "kinds/device_setup.hpp"
#include "kinds/kind.hpp"
#include "pci/vendor_vgpu.hpp"

namespace gpuward {

// What the kinds have in common whose VFs get vGPUs by NVIDIA's vendor VFIO framework.

/// As ReasonNotVf (kinds/vf.hpp): why no vGPU can be created on the VF; "" when one can.
std::string reason_without_vgpus(const PoolQuery& query, const GpuSettings& settings,
                                 const PciDevice& device);

/// Kind::require_adoptable of the vGPU that is on the VF.
void require_vgpu_adoptable(const Root& root, const Config& config, const ClaimedDevice& device);

/// Removes the vGPU of another tool where it may. Throws Error. The caller holds the PF's lock.
void remove_adopted_vgpu(const DeviceSetup& setup, ClaimedDevice& device);

/// Creates a vGPU of this type with the profile's attributes; which one is noted in `device`
/// before. `gpu_instance`: as set_vgpu. Throws Error. The caller holds the PF's lock.
void create_vgpu(const DeviceSetup& setup, const VgpuType& type, ClaimedDevice& device,
                 std::optional<unsigned> gpu_instance = {});

/// Kind::tear_down.
std::string remove_vgpu(const Root& root, const Claim& owner, ClaimedDevice& device,
                        const Deadlines& deadlines);

/// Kind::remove_unclaimed.
bool remove_unclaimed_vgpu(const Root& root, const PciDevice& device, const Deadlines& deadlines);

}  // namespace gpuward
