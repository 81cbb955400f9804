// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

namespace gpuward {

/// What a decision says. The reason of a refusal names the object, what was found and what to do.
struct Verdict {
  bool allowed = true;
  std::string reason;

  static Verdict allow() { return {}; }
  static Verdict deny(std::string why) { return {false, std::move(why)}; }
  explicit operator bool() const { return allowed; }
};

}  // namespace gpuward
