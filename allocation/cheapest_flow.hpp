// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace gpuward {

/// Units that flow through a network, each unit on the cheapest way that is left, where a later one
/// may send an earlier one elsewhere: successive shortest paths, after which no other flow of as
/// many units costs less (Ahuja, Magnanti, Orlin: Network Flows, 9.7). Of equal ways the one that
/// was added first, so that the same network gives the same answer.
class CheapestFlow {
 public:
  explicit CheapestFlow(size_t nodes) : ways_from_(nodes) {}

  /// A way for `capacity` units; its number.
  size_t add(size_t from, size_t to, int capacity, int cost = 0);

  /// Sends one unit; its cost, nothing where no way is left.
  std::optional<int> send(size_t from, size_t to);

  /// Notes that a unit goes this way already.
  void use(size_t way);

  bool is_used(size_t way) const { return ways_[way ^ 1].left > 0; }

 private:
  struct Way {
    size_t to;
    int left;
    int cost;
  };
  /// Each is followed by its way back.
  std::vector<Way> ways_;
  std::vector<std::vector<size_t>> ways_from_;
};

}  // namespace gpuward
