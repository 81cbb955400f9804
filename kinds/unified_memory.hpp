// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

#include "config/config.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

/// Why a vGPU of this type gets no unified memory (enable_uvm); "" where it may, and of types whose
/// memory is not known. `card_mib`: memory of the GPU, nothing where only the model tells it. Pure.
std::string no_unified_memory(const GpuType& type, const std::optional<unsigned>& card_mib = {});

/// Throws Error, about `title`, where the profile sets unified memory and the type cannot have it.
void require_unified_memory(const Profile& profile, const GpuType& type, const std::string& title);

}  // namespace gpuward
