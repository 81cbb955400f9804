// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <utility>

#include "base/log.hpp"

namespace gpuward {

/// The log of a test: with it, and not in the tests of the same program that follow, lines are
/// written.
class StartedLog {
 public:
  explicit StartedLog(log::To to, const std::string& program = "gpuward",
                      log::Sockets sockets = {}) {
    log::start(to, program, {}, std::move(sockets));
  }
  ~StartedLog() { log::stop(); }
  StartedLog(const StartedLog&) = delete;
  StartedLog& operator=(const StartedLog&) = delete;
};

}  // namespace gpuward
