// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

#include "inventory/gpu.hpp"

namespace gpuward {

/// "12 GiB", "512 MiB"; "" when not known.
std::string memory_text(const std::optional<unsigned>& mib);

/// Given and total: "12/48 GiB", "?/48 GiB"; "" when the total is not known.
std::string memory_text(const GpuMemory& memory);

}  // namespace gpuward
