// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <nlohmann/json.hpp>

#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"

namespace gpuward {

/// In MiB.
nlohmann::json memory_json(const GpuMemory& memory);

/// All of one GPU as docs/json.md describes it, but its model, types, memory and what the
/// configuration says.
nlohmann::json gpu_json(const Root& root, const Gpu& gpu, const GpuUse& use,
                        const OpenDevices& open);

}  // namespace gpuward
