// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <vector>

#include "config/config.hpp"
#include "config/gpu_id.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

/// Of each of the types whether memory of the card that it can have is not stranded
/// (TypeRoom::counts): whether one of the profiles that this is true of may have it on one of these
/// parts of the card, or there is no such profile. Pure.
std::vector<bool> counted_types(const Config& config,
                                const std::function<bool(const Profile&)>& matches,
                                const std::vector<const GpuId*>& parts,
                                const std::vector<GpuType>& types);

}  // namespace gpuward
