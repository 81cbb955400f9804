// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "allocation/gpu_choice.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"

namespace gpuward {

/// Where prepare would create the domain's mdevs right now; nothing is changed. An instance that
/// exists stays where it is. Throws Error as prepare, also while a claim cannot be read; a GPU
/// without a parent is none.
std::vector<GpuChoice> mdev_choices(const Root& root, const Config& config, const Domain& domain);

}  // namespace gpuward
