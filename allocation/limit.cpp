// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/limit.hpp"

namespace gpuward {

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
