// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "allocation/capacity.hpp"
#include "allocation/distance.hpp"
#include "allocation/placement.hpp"
#include "config/config.hpp"

namespace gpuward {

/// One of several mdevs of a domain, and where it could be if it were the only one.
struct SeveralRequest {
  const Profile& profile;
  std::span<const Candidate> candidates;
};

struct CardToPlaceOn {
  CardRoom room;
  std::optional<GpuSpot> spot{};  ///< nothing where it is no PCI device
};

/// What the rooms of cards do not tell, [gpu] max and the fractions on a card: whether the next
/// request may be at this candidate beside those that are chosen for the requests before it. Asked
/// once for what is on a card, with its first VF that has room, and then of each VF that is chosen.
using IsAllowed =
    std::function<bool(const std::vector<Candidate>& chosen, const Candidate& candidate)>;

/// A place for each of them, all at once; nothing where there is none, or none was found in a
/// bounded number of steps. Each gets the best that place() has for it, near those before it, in
/// order; where that leaves one without, those before it take the next best. On small hosts, with
/// binpack, another way is taken that is better by the sums of what place() goes by. `cards`: of
/// all candidates, by name.
std::optional<std::vector<Candidate>> place_several(std::span<const SeveralRequest> requests,
                                                    std::map<std::string, CardToPlaceOn> cards,
                                                    const IsAllowed& is_allowed = {});

}  // namespace gpuward
