// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/fraction_rules.hpp"

namespace gpuward {

/// The multiples of `step` around a number that is none: "5% or 10%".
static std::string nearest(unsigned number, unsigned step, unsigned most, const char* unit) {
  const unsigned below = number - number % step, above = below + step;
  if (below >= most) return std::to_string(most) + unit;
  if (below == 0) return std::to_string(above) + unit;
  return std::to_string(below) + unit + " or " + std::to_string(above) + unit;
}

std::string memory_advice(unsigned mib) {
  if (mib > 0 && mib % fraction_memory_step == 0) return {};
  return "expected a multiple of 128MiB, such as " +
         nearest(mib, fraction_memory_step, ~0U - fraction_memory_step, "MiB");
}

std::string compute_advice(unsigned percent) {
  if (percent > 0 && percent <= 100 && percent % fraction_compute_step == 0) return {};
  return std::string(compute_rule) + ", such as " +
         nearest(percent, fraction_compute_step, 100, "%");
}

}  // namespace gpuward
