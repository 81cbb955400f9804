// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/error.hpp"

#include <cstring>

namespace gpuward {

std::string errno_text(int code) {
  return ::strerror(code);
}

SystemError::SystemError(const std::string& what, int code_)
    : Error(what + ": " + errno_text(code_)), code(code_) {}

}  // namespace gpuward
