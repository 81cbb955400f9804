// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <stdexcept>
#include <string>

namespace gpuward {

/// Why something failed or is refused. Library code returns or throws it; the program shows the
/// parts in its own way, once.
struct Reason {
  std::string object;   ///< what it is about, "GPU 0"; empty where the problem names it
  std::string problem;  ///< what was found, lower-case and without a full stop
  std::string remedy;   ///< "run: COMMAND", or what to do in words; empty where nothing helps

  bool operator==(const Reason&) const = default;
};

/// "OBJECT: PROBLEM"; either may be empty.
std::string without_remedy(const Reason& reason);

/// One line, "OBJECT: PROBLEM; REMEDY".
std::string to_string(const Reason& reason);

/// The remedy where it has a line of its own: a command without "run: ".
std::string hint(const Reason& reason);

/// The same reason, about something within `object`: "domain 'web01'" and "GPU 0" become
/// "domain 'web01': GPU 0".
Reason about(const std::string& object, Reason reason);

/// Something is broken or refused; what() is the reason as one line.
struct Error : std::runtime_error {
  explicit Error(Reason why) : std::runtime_error(to_string(why)), reason(std::move(why)) {}
  Error(std::string object, std::string problem, std::string remedy = {})
      : Error(Reason{std::move(object), std::move(problem), std::move(remedy)}) {}
  Reason reason;
};

/// A system call failed; the problem ends with the text of `code` (an errno value).
struct SystemError : Error {
  SystemError(const std::string& what, int code);
  int code;
};

/// One line naming an errno value, as strerror(3) does.
std::string errno_text(int code);

}  // namespace gpuward
