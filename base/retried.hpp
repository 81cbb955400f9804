// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cerrno>

namespace gpuward {

/// The result of a system call, called again as long as a signal interrupts it.
template <typename Call>
auto retried(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace gpuward
