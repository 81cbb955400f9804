// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/placement.hpp"

#include <string_view>
#include <tuple>

namespace gpuward {

static bool better(const Profile& profile, const Candidate& a, const Candidate& b) {
  const bool numa_counts = profile.numa != Numa::ignore;
  const auto key = [&](const Candidate& c) {
    const unsigned fullness =
        profile.placement == Placement::binpack ? c.available : ~0U - c.available;
    return std::tuple(c.rank, numa_counts && !c.near, fullness, std::string_view(c.parent));
  };
  return key(a) < key(b);
}

std::optional<Candidate> place(const Profile& profile, std::span<const Candidate> candidates) {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (candidate.available == 0) continue;
    if (profile.numa == Numa::require && !candidate.near) continue;
    if (!best || better(profile, candidate, *best)) best = &candidate;
  }
  if (!best) return {};
  return *best;
}

}  // namespace gpuward
