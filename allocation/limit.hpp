// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

namespace gpuward {

/// How hard a part of a GPU is limited: whether its domain can take more than its part.
struct Limit {
  enum class Kind {
    hard,       ///< never
    averaged,   ///< only within `period_ms`, over which it has its part
    contended,  ///< while the others leave it unused
    none,       ///< nothing limits it, or nothing is known of what does
  } kind = Kind::none;
  unsigned period_ms = 0;
  bool operator==(const Limit&) const = default;
};

/// Memory and compute units apart.
struct Limits {
  Limit memory, compute;
  bool operator==(const Limits&) const = default;
};

/// What holds for both, of memory and compute units apart.
Limits weaker(const Limits& one, const Limits& other);

/// "hard", "averaged over 32 ms", "only under contention", "none"
std::string to_string(const Limit& limit);

}  // namespace gpuward
