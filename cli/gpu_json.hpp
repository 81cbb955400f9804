// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <nlohmann/json.hpp>

#include "inventory/host_view.hpp"
#include "inventory/usage.hpp"

namespace gpuward {

/// All of one GPU as docs/json.md describes it, but its model and what the configuration says.
nlohmann::json gpu_json(const Root& root, const GpuView& gpu, const GpuUse& use,
                        const OpenDevices& open);

}  // namespace gpuward
