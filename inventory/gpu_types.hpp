// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

/// Adds what the type's name and description say of its size, each driver in its own words.
void add_size(GpuType& type);

/// The types of a GPU, by id; of a card with VFs one for all of them. How many instances a part of
/// the GPU has room for is read of each part, so only of the types `counted` where that is given.
std::vector<GpuType> types_of(const Root& root, const Gpu& gpu,
                              const std::vector<std::string>* counted = nullptr);

/// Likewise without any counts, from the first part of the GPU that lists types: all of its VFs
/// offer the same.
std::vector<GpuType> catalogue_of(const Root& root, const Gpu& gpu);

/// The memory of a GPU and what of it is given away. `types`: all of the GPU, counted or not.
GpuMemory memory_of(const Root& root, const Gpu& gpu, const std::vector<GpuType>& types,
                    const GpuUse& use, const std::vector<GpuInstance>& instances);

/// How much memory the card has whose vGPUs have this name ("NVIDIA L40S-12Q": 49152), where that
/// is known. The vendor VFIO framework does not report the memory.
std::optional<unsigned> card_memory_of_vgpu(std::string_view name);

/// Names of types as their vendor gives them: "NVIDIA A40-12Q" of nvidia-559, "NVIDIA L40S-12Q" of
/// 1153. Each is looked up once, and of the vendor VFIO framework each VF is read once at most.
class TypeNames {
 public:
  explicit TypeNames(const Root& root) : root_(root) {}
  /// "" where the driver gives none: of a vGPU the VFs without one list it, if one more fits.
  std::string of(const GpuInstance& instance);

 private:
  std::string of_mdev(const Instance& instance);
  std::string of_vgpu(const std::string& card, const std::string& id);
  const Root& root_;
  std::map<std::string, std::string> mdevs_;                         ///< by id of the type
  std::map<std::string, std::map<std::string, std::string>> vgpus_;  ///< by card and id
};

}  // namespace gpuward
