// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/rate_limit.hpp"

namespace gpuward {

bool RateLimit::allow(const std::string& kind, Clock::time_point now) {
  Minute& minute = minutes_.try_emplace(kind, Minute{now}).first->second;
  // One with lines withheld waits for ended(), or its count would be lost.
  if (now - minute.start >= window && minute.withheld == 0) minute = {now};
  if (minute.written < lines) {
    ++minute.written;
    return true;
  }
  ++minute.withheld;
  return false;
}

std::vector<RateLimit::Withheld> RateLimit::ended(Clock::time_point now) {
  std::vector<Withheld> result;
  for (auto at = minutes_.begin(); at != minutes_.end();) {
    if (now - at->second.start < window) {
      ++at;
      continue;
    }
    if (at->second.withheld > 0) result.push_back({at->first, at->second.withheld});
    at = minutes_.erase(at);
  }
  return result;
}

std::optional<RateLimit::Clock::time_point> RateLimit::next_end() const {
  std::optional<Clock::time_point> next;
  for (const auto& [kind, minute] : minutes_)
    if (minute.withheld > 0 && (!next || minute.start + window < *next))
      next = minute.start + window;
  return next;
}

}  // namespace gpuward
