// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "allocation/request.hpp"
#include "base/root.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

/// The types that these GPUs offer now, each once. Of vGPUs on VFs those that can be
/// created: a driver lists no others.
std::vector<OfferedType> offered_types(const Root& root, const std::vector<Gpu>& gpus);

}  // namespace gpuward
