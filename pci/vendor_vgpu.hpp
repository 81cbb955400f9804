// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/kernel_write.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

// NVIDIA's vendor-specific VFIO framework (vGPU 17 and later): a VF has nvidia/current_vgpu_type,
// and its driver is the VFIO provider itself. 0 is no vGPU.

/// One line of nvidia/creatable_vgpu_types: "1145  : NVIDIA L40S-1B".
struct VgpuType {
  unsigned id = 0;
  std::string name;
};

bool offers_vgpus(const Root& root, const PciAddress& vf);

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

/// Writes the id, 0 for none, and reads it back; tries again, as a driver that is still clearing up
/// refuses or ignores the write for a moment, until its deadline is over.
KernelChange set_vgpu(const Root& root, const PciAddress& vf, unsigned id,
                      const WriteOptions& options);

}  // namespace gpuward
