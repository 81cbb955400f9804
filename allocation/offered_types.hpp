// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "allocation/request.hpp"
#include "base/root.hpp"

namespace gpuward {

/// The types that GPUs of this host offer now, each once. Of vGPUs on VFs those that can be
/// created: a driver lists no others.
std::vector<OfferedType> offered_types(const Root& root);

}  // namespace gpuward
