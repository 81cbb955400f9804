// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pci/vendor_vgpu.hpp"

namespace gpuward {

/// An interface of NVIDIA's driver to the vGPUs on VFs. Each is a file of its own, the only one
/// that names what the interface consists of (tests/static/vgpu-back-ends) and that ends with its
/// row; which one a VF has is chosen in pci/vendor_vgpu.cpp alone.
struct VgpuBackEnd {
  std::string_view type_word;  ///< what it calls the id of a VF's vGPU
  std::string_view absent;     ///< why there is no vGPU on a VF without the interface
  /// Files below the VF's directory in sysfs that the functions here read.
  std::span<const char* const> attributes;

  bool (*is_present)(const Root& root, const PciAddress& vf) = nullptr;
  std::vector<VgpuType> (*creatable)(const Root& root, const PciAddress& vf) = nullptr;
  /// The id as the driver prints it; nothing where it does not. Throws SystemError.
  std::optional<std::string> (*current)(const Root& root, const PciAddress& vf) = nullptr;
  /// Tries once, and reads it back.
  KernelChange (*set)(const Root& root, const PciAddress& vf, unsigned id,
                      std::optional<unsigned> gpu_instance, const WriteOptions& options) = nullptr;
  std::optional<unsigned> (*gpu_instance)(const Root& root, const PciAddress& vf) = nullptr;
  KernelChange (*clear_parameters)(const Root& root, const PciAddress& vf,
                                   const WriteOptions& options) = nullptr;
};

/// Files of each VF: vGPU 17 and later. NVIDIA's next interface is fwctl.
extern const VgpuBackEnd sysfs_vgpus;

}  // namespace gpuward
