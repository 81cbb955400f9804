// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/file.hpp"

namespace gpuward {

/// A lock on one number in a lock file, held while the object lives; locks on different numbers do
/// not meet. Open file description locks (fcntl(2)): they end with the process, however it ends,
/// and leave no file behind.
class Lock {
 public:
  /// Nothing when another process still has it after `deadline`; throws SystemError.
  static std::optional<Lock> acquire(const std::string& file, uint64_t number,
                                     std::chrono::milliseconds deadline);

  /// Whether a process has it at this moment.
  static bool is_held(const std::string& file, uint64_t number);

 private:
  explicit Lock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace gpuward
