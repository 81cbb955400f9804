// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/place_several.hpp"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace gpuward {

namespace {

/// Domains have few GPUs. So many steps take milliseconds, and are needed only where places are
/// scarce and the requests differ.
constexpr unsigned most_steps = 5000;

const std::string& card_of(const Candidate& candidate) {
  return candidate.card.empty() ? candidate.parent : candidate.card;
}

bool is_same_place(const Candidate& a, const Candidate& b) {
  return card_of(a) == card_of(b) && a.type == b.type;
}

/// The VFs of a card are as good as each other: one candidate for all that have room.
std::vector<Candidate> by_card(std::span<const Candidate> candidates) {
  std::vector<Candidate> result;
  for (const Candidate& candidate : candidates) {
    if (candidate.available == 0) continue;
    const auto same = std::find_if(result.begin(), result.end(), [&](const Candidate& other) {
      return is_same_place(other, candidate);
    });
    if (same == result.end())
      result.push_back(candidate);
    else
      same->available += candidate.available;
  }
  return result;
}

/// Depth first, the best of each first.
struct Search {
  std::span<const SeveralRequest> requests;
  const IsAllowed& is_allowed;
  std::map<std::string, CardRoom> rooms;
  std::vector<std::vector<Candidate>> candidates{};
  std::vector<Candidate> chosen{};
  unsigned steps = 0;
  /// Card, type and profile of those that are chosen, in order of name: which of several equal
  /// requests has which place makes no difference to those after them.
  using Places = std::vector<std::tuple<std::string, std::string, const Profile*>>;
  std::set<Places> visited{};

  std::vector<Candidate> left_for_next() const {
    std::vector<Candidate> left = candidates[chosen.size()];
    for (const Candidate& other : chosen)
      for (Candidate& candidate : left)
        if (is_same_place(candidate, other) && candidate.available > 0) --candidate.available;
    return left;
  }

  bool is_visited() {
    Places places;
    for (size_t number = 0; number < chosen.size(); ++number)
      places.emplace_back(card_of(chosen[number]), chosen[number].type, &requests[number].profile);
    std::sort(places.begin(), places.end());
    return !visited.insert(std::move(places)).second;
  }

  bool choose(const Candidate& candidate) {
    if (is_allowed && !is_allowed(chosen, candidate)) return false;
    CardRoom& room = rooms[card_of(candidate)];
    const CardRoom before = room;
    if (!take(room, candidate.type)) return false;
    chosen.push_back(candidate);
    if (find()) return true;
    chosen.pop_back();
    room = before;
    return false;
  }

  bool find() {
    if (chosen.size() == requests.size()) return true;
    if (is_visited()) return false;
    std::vector<Candidate> left = left_for_next();
    while (const auto best = place(requests[chosen.size()].profile, left)) {
      if (++steps > most_steps) return false;
      if (choose(*best)) return true;
      std::erase_if(left, [&](const Candidate& other) { return is_same_place(other, *best); });
    }
    return false;
  }
};

/// The first VF that has room and that no other has; a card that is the parent itself has room for
/// several.
bool choose_parents(std::span<const SeveralRequest> requests, std::vector<Candidate>& chosen) {
  std::set<std::string> used;
  for (size_t number = 0; number < chosen.size(); ++number) {
    if (chosen[number].card.empty()) continue;
    const auto& of_card = requests[number].candidates;
    const auto found = std::find_if(of_card.begin(), of_card.end(), [&](const Candidate& vf) {
      return vf.available > 0 && is_same_place(vf, chosen[number]) && !used.contains(vf.parent);
    });
    if (found == of_card.end()) return false;
    chosen[number] = *found;
    used.insert(found->parent);
  }
  return true;
}

}  // namespace

std::optional<std::vector<Candidate>> place_several(std::span<const SeveralRequest> requests,
                                                    std::map<std::string, CardRoom> rooms,
                                                    const IsAllowed& is_allowed) {
  Search search{requests, is_allowed, std::move(rooms)};
  for (const SeveralRequest& request : requests)
    search.candidates.push_back(by_card(request.candidates));
  if (!search.find() || !choose_parents(requests, search.chosen)) return {};
  return std::move(search.chosen);
}

}  // namespace gpuward
