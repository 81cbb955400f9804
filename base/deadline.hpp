// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <chrono>

namespace gpuward {

/// The end of an operation that waits several times: each wait gets what is left until then. By
/// default there is none.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;
  constexpr Deadline() = default;
  constexpr explicit Deadline(Clock::time_point end) : end_(end) {}
  static Deadline in(std::chrono::milliseconds time) { return Deadline(Clock::now() + time); }

  Deadline plus(std::chrono::milliseconds time) const {
    return end_ == Clock::time_point::max() ? *this : Deadline(end_ + time);
  }
  bool is_over() const { return end_ != Clock::time_point::max() && Clock::now() >= end_; }

  /// As much of `wait` as is left; 0 when it is over.
  std::chrono::milliseconds at_most(std::chrono::milliseconds wait) const {
    if (end_ == Clock::time_point::max()) return wait;  // asks no clock
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ - Clock::now());
    return std::clamp(left, std::chrono::milliseconds(0), wait);
  }

 private:
  Clock::time_point end_ = Clock::time_point::max();
};

}  // namespace gpuward
