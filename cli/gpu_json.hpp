// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <nlohmann/json.hpp>

#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "kinds/mig_instances.hpp"

namespace gpuward {

/// In MiB.
nlohmann::json memory_json(const GpuMemory& memory);

/// Null where it is not known which there are.
nlohmann::json mig_instances_json(const MigInstances& mig);

/// All of one GPU as docs/json.md describes it, but its model, types, memory, GPU instances and
/// what the configuration says.
nlohmann::json gpu_json(const Root& root, const Gpu& gpu, const GpuUse& use,
                        const OpenDevices& open);

}  // namespace gpuward
