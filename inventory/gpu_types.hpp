// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

/// Adds what the type's name and description say of its size, each driver in its own words.
void add_size(GpuType& type);

/// The memory of a GPU, in MiB, as amdgpu reports it or as NVIDIA's types show it; nothing where
/// neither does. `types`: all of the GPU, counted or not.
std::optional<unsigned> total_memory(const Root& root, const Gpu& gpu,
                                     const std::vector<GpuType>& types);

/// The same, and what of it is given away.
GpuMemory memory_of(const Root& root, const Gpu& gpu, const std::vector<GpuType>& types,
                    const GpuUse& use, const std::vector<GpuInstance>& instances);

/// How much memory the card has whose vGPUs have this name ("NVIDIA L40S-12Q": 49152), where that
/// is known. The vendor VFIO framework does not report the memory.
std::optional<unsigned> card_memory_of_vgpu(std::string_view name);

}  // namespace gpuward
