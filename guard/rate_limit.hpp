// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gpuward {

/// Lets through so many lines of one kind a minute and counts the others, so that a storm of pauses
/// does not become a storm in the journal. Time is handed in.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr unsigned lines = 10;
  static constexpr std::chrono::seconds window{60};

  /// Whether the line may be written.
  bool allow(const std::string& kind, Clock::time_point now);

  struct Withheld {
    std::string kind;
    unsigned count = 0;
  };
  /// What was withheld in minutes that are over, to be said in one line each; what is over is
  /// forgotten, so memory follows what happened in the last minute.
  std::vector<Withheld> ended(Clock::time_point now);

  /// When `ended` will next have something to say; nothing while nothing is withheld.
  std::optional<Clock::time_point> next_end() const;

 private:
  struct Minute {
    Clock::time_point start;
    unsigned written = 0;
    unsigned withheld = 0;
  };
  std::map<std::string, Minute> minutes_;
};

}  // namespace gpuward
