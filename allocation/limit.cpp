// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/limit.hpp"

#include <tuple>

namespace gpuward {

static Limit weaker(const Limit& one, const Limit& other) {
  // Kind has the hardest first.
  return std::tie(one.kind, one.period_ms) < std::tie(other.kind, other.period_ms) ? other : one;
}

Limits weaker(const Limits& one, const Limits& other) {
  return {weaker(one.memory, other.memory), weaker(one.compute, other.compute)};
}

std::string to_string(const Limit& limit) {
  switch (limit.kind) {
    case Limit::Kind::hard:
      return "hard";
    case Limit::Kind::averaged:
      return "averaged over " + std::to_string(limit.period_ms) + " ms";
    case Limit::Kind::contended:
      return "only under contention";
    case Limit::Kind::none:
      break;
  }
  return "none";
}

}  // namespace gpuward
