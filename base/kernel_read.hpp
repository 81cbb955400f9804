// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "base/deadline.hpp"

namespace gpuward {

/// Reads from the open file into the buffer; returns how many bytes it has put there. In a program
/// with threads it must not allocate: another thread may have had the allocator's lock at fork(2).
using ReadBytes = size_t (*)(int file, char* to, size_t size);

/// What `read` gets of a file of the kernel's that may block who reads it without a timeout and
/// unkillably, read in a throw-away child as write_in_child writes; "" when the file cannot be
/// opened. Nothing when it is not read after `deadline`: the child is left to end when the kernel
/// lets it, and until then this program starts no second one for the same file. Throws SystemError
/// when there can be no child.
std::optional<std::string> read_in_child(const std::string& path, ReadBytes read,
                                         std::chrono::milliseconds deadline);

/// While it lives no read_in_child of this program waits, or begins, after `end`, however many
/// cards are asleep: who compares cards knows nothing of who has to answer in time. One at a time.
class ReadLimit {
 public:
  explicit ReadLimit(const Deadline& end);
  ~ReadLimit();
  ReadLimit(const ReadLimit&) = delete;
  ReadLimit& operator=(const ReadLimit&) = delete;
};

}  // namespace gpuward
