// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <string>

#include "base/root.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

/// Names of types as their vendor gives them: "NVIDIA A40-12Q" of nvidia-559, "NVIDIA L40S-12Q" of
/// 1153. Each is looked up once, and of the vendor VFIO framework each VF is read once at most.
struct TypeNames {
  const Root& root;
  std::map<std::string, std::string> mdevs{};                         ///< by id of the type
  std::map<std::string, std::map<std::string, std::string>> vgpus{};  ///< by card and id

  explicit TypeNames(const Root& host) : root(host) {}
  /// "" where the driver gives none: of a vGPU the VFs without one list it, if one more fits.
  std::string of(const GpuInstance& instance);
};

}  // namespace gpuward
