// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/kernel_write.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

// NVIDIA's vendor-specific VFIO framework (vGPU 17 and later): vGPUs are created on VFs, whose
// driver is the VFIO provider itself. 0 is no vGPU. What is read and written for it is a back
// end (pci/vgpu_back_end.hpp).

/// 1145, "NVIDIA L40S-1B"
struct VgpuType {
  unsigned id = 0;
  std::string name;
};

bool offers_vgpus(const Root& root, const PciAddress& vf);

/// Why it does not; "" where it does.
std::string reason_without_vgpus(const Root& root, const PciAddress& vf);

/// What can be made on this VF now. It shrinks with what its GPU's other VFs have, and is empty
/// while this one has a vGPU.
std::vector<VgpuType> creatable_vgpus(const Root& root, const PciAddress& vf);

/// Whether a profile's "type" means this one: by id or by name.
bool is_called(const VgpuType& type, const std::string& id_or_name);

/// The type that a profile's list means first, or null.
const VgpuType* first_fit(const std::vector<std::string>& wanted,
                          const std::vector<VgpuType>& types);

/// The id of the vGPU that it has, 0 for none; nothing when it cannot be read.
std::optional<unsigned> current_vgpu(const Root& root, const PciAddress& vf);

/// The same as the driver prints it, and what the driver calls it.
std::optional<std::string> current_vgpu_text(const Root& root, const PciAddress& vf);
std::string_view vgpu_type_word(const Root& root, const PciAddress& vf);

/// The id of the GPU instance of MIG that the vGPU on the VF is in, where the driver says it.
std::optional<unsigned> gpu_instance_of_vgpu(const Root& root, const PciAddress& vf);

/// Files below the VF's directory in sysfs that `offers_vgpus` and what is about types read.
std::span<const char* const> vgpu_attributes(const Root& root, const PciAddress& vf);

/// Sets the id, 0 for none, and reads it back; tries again, as a driver that is still clearing up
/// refuses or ignores the write for a moment, until its deadline is over. `gpu_instance`: the one
/// of MIG in which the vGPU shall be; a driver that cannot be told puts it where there is room.
KernelChange set_vgpu(const Root& root, const PciAddress& vf, unsigned id,
                      const WriteOptions& options, std::optional<unsigned> gpu_instance = {});

/// Removes what a profile's `set` has left for the next vGPU on the VF.
KernelChange clear_vgpu_parameters(const Root& root, const PciAddress& vf,
                                   const WriteOptions& options);

}  // namespace gpuward
