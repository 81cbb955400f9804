// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "config/config_parser.hpp"

namespace gpuward {

/// Selectors that select nothing on this host: the GPU or its driver may come later, or the
/// selector is misspelt.
std::vector<ConfigProblem> unmatched_selectors(const Root& root, const Config& config);

/// GPUs of this host of which it is not known which sections speak of them
/// (GpuSettings::unclear); such a GPU is not assigned. Without a position.
std::vector<ConfigProblem> unclear_gpus(const Root& root, const Config& config);

}  // namespace gpuward
