// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "config/config_parser.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

/// Selectors that select nothing on this host: the GPU or its driver may come later, or the
/// selector is misspelt.
std::vector<ConfigProblem> unmatched_selectors(const Root& root, const Config& config);
/// The same by the GPUs that have been read already; of their VFs it reads what selectors need.
std::vector<ConfigProblem> unmatched_selectors(const Root& root, const Config& config,
                                               const std::vector<Gpu>& gpus);

/// GPUs and VFs of this host of which it is not known which sections and profiles speak of them;
/// such a GPU is not assigned. Those of sections are without a position.
struct UnclearGpus {
  std::vector<ConfigProblem> errors{};
  /// What a selector goes by cannot be read now: the user is not root, the card sleeps, or a guest
  /// has it.
  std::vector<ConfigProblem> unread{};
};
UnclearGpus unclear_gpus(const Root& root, const Config& config);

}  // namespace gpuward
