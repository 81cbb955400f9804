// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/error.hpp"

#include <cstring>

namespace gpuward {

static std::string joined(const std::string& first, const char* separator,
                          const std::string& second) {
  return first.empty() || second.empty() ? first + second : first + separator + second;
}

std::string without_remedy(const Reason& reason) {
  return joined(reason.object, ": ", reason.problem);
}

std::string to_string(const Reason& reason) {
  return joined(without_remedy(reason), "; ", reason.remedy);
}

std::string hint(const Reason& reason) {
  constexpr std::string_view command = "run: ";
  return reason.remedy.starts_with(command) ? reason.remedy.substr(command.size()) : reason.remedy;
}

Reason about(const std::string& object, Reason reason) {
  reason.object = joined(object, ": ", reason.object);
  return reason;
}

std::string errno_text(int code) {
  return ::strerror(code);
}

SystemError::SystemError(const std::string& what, int code_)
    : Error({}, what + ": " + errno_text(code_)), code(code_) {}

}  // namespace gpuward
