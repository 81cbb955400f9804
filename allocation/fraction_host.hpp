// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "allocation/fraction.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/snapshot.hpp"

namespace gpuward {

/// The GPUs of the host as this fraction of them is requested, by name: NVIDIA's library is asked
/// for the scheduler of a GPU only where the request has a share of the compute units that the GPU
/// may give. `selectors`: of a profile that may use these alone; empty for all.
std::vector<FractionGpu> fraction_gpus(const Root& root, const Config& config, const Host& host,
                                       const FractionRequest& request,
                                       const std::vector<GpuSelector>& selectors = {});

}  // namespace gpuward
