// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/error.hpp"

namespace gpuward {

/// What a decision says. A refusal carries its reason.
struct Verdict {
  bool allowed = true;
  Reason reason;

  static Verdict allow() { return {}; }
  static Verdict deny(Reason why) { return {false, std::move(why)}; }
  explicit operator bool() const { return allowed; }
};

}  // namespace gpuward
