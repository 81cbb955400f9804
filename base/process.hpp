// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/root.hpp"

namespace gpuward {

/// A process that is not taken for a later one of the same number.
struct Process {
  pid_t pid = 0;       ///< 0: none
  uint64_t start = 0;  ///< when it started, in the kernel's ticks since boot; 0: not known
  explicit operator bool() const { return pid != 0; }
  bool operator==(const Process&) const = default;
};

/// With its start time as far as /proc reports it.
Process identify(const Root& root, pid_t pid);

/// Whether it still runs; one that has ended and is not yet waited for does not. Of a process whose
/// start time is not known, one of the same number counts when its name contains "gpuward". Throws
/// SystemError when /proc cannot be read.
bool is_running(const Root& root, const Process& process);

/// Returns when it does not run any more, or after `deadline`.
void wait_until_ended(const Root& root, const Process& process, std::chrono::milliseconds deadline);

/// "4711@12345", "4711" without a start time; nothing for any other text.
std::string to_string(const Process& process);
std::optional<Process> parse_process(std::string_view text);

}  // namespace gpuward
