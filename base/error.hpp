// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <stdexcept>
#include <string>

namespace gpuward {

/// Something is broken or refused; what() is one line for the sysadmin: what object, what was
/// wanted, what was found, what to do.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A system call failed; what() ends with the text of `code` (an errno value).
struct SystemError : Error {
  SystemError(const std::string& what, int code);
  int code;
};

/// One line naming an errno value, as strerror(3) does.
std::string errno_text(int code);

}  // namespace gpuward
