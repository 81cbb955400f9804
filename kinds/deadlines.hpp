// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include "base/deadline.hpp"
#include "base/kernel_write.hpp"

namespace gpuward {

/// When the hook has answered at the latest, whatever is locked or blocked: libvirt has no timeout
/// for hooks and holds the domain locked while one runs. A scrub program is waited for apart.
/// gpuward-qemu-hook(8) says these numbers.
inline constexpr std::chrono::seconds prepare_limit{60};
inline constexpr std::chrono::seconds release_limit{30};

/// Of them: for all that is not a wait, and for the last try of a write, which gets a second.
inline constexpr std::chrono::seconds limit_margin{3};

/// How long each wait may take.
struct Deadlines {
  std::chrono::milliseconds lock{40'000};    ///< for the other gpuward processes: eighty at once
  std::chrono::milliseconds write{8'000};    ///< for one write to a control file of the kernel
  std::chrono::milliseconds release{3'000};  ///< for a process that still has the device open
  std::chrono::milliseconds scrub{60'000};   ///< for a profile's scrub program, waited for or not
  std::chrono::milliseconds settle{3'000};   ///< for the guard to point others at what is free
  std::chrono::milliseconds scrub_wait{5'000};  ///< until a scrub program goes on by itself
  /// Of the time until `end`: what is kept, while there are locks to wait for, for what follows: at
  /// prepare for undoing, at release for giving the devices back.
  std::chrono::milliseconds reserve{15'000};
  Deadline end{};  ///< of all of them together

  std::chrono::milliseconds lock_wait() const { return end.at_most(lock); }
  std::chrono::milliseconds release_wait() const { return end.at_most(release); }
  std::chrono::milliseconds scrub_answer_wait() const { return end.at_most(scrub_wait); }
  std::chrono::milliseconds settle_wait() const { return end.at_most(settle); }
  std::chrono::milliseconds write_wait() const { return end.at_most(write); }
  WriteOptions writing(std::function<void(pid_t)> on_start = {}) const {
    return {write, end, std::move(on_start)};
  }

  /// The same, but over when only the reserve is left.
  Deadlines before_reserve() const {
    Deadlines earlier = *this;
    earlier.end = end.plus(-reserve);
    return earlier;
  }
};

}  // namespace gpuward
