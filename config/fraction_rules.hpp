// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

namespace gpuward {

// What a fraction of a GPU may be: memory by 128 MiB, alone or with compute units by 5 %.

inline constexpr unsigned fraction_memory_step = 128;  ///< MiB
inline constexpr unsigned fraction_compute_step = 5;   ///< percent

/// "" for a size in MiB that may be requested, else the rule and the nearest ones.
std::string memory_advice(unsigned mib);

/// The same for percent of the compute units, 0 and numbers above 100 included.
std::string compute_advice(unsigned percent);

/// For a text that is no percentage.
inline constexpr std::string_view compute_rule = "expected a multiple of 5% from 5% to 100%";

}  // namespace gpuward
