// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "allocation/fraction.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/snapshot.hpp"

namespace gpuward {

/// The GPUs of the host as fractions of them are requested, by name. `selectors`: of a profile that
/// may use these alone; empty for all.
std::vector<FractionGpu> fraction_gpus(const Root& root, const Config& config, const Host& host,
                                       const std::vector<GpuSelector>& selectors = {});

}  // namespace gpuward
