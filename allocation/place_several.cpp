// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/place_several.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "allocation/stranded.hpp"

namespace gpuward {

namespace {

/// Domains have few GPUs. So many steps take milliseconds, and are needed only where places are
/// scarce and the requests differ.
constexpr unsigned most_steps = 1000;
/// After the first way, on hosts of so few places for so few requests, to find a better one.
constexpr unsigned most_steps_for_better = 300, most_places_for_better = 64;

/// Sums of all that are chosen: places in the profiles' lists of types, memory that no profile can
/// use, devices far from the domain, cards that were not in use.
using Measure = std::array<int64_t, 4>;

Measure with(Measure sum, const Profile& profile, const Candidate& candidate) {
  sum[0] += candidate.rank;
  sum[1] += candidate.stranded_mib;
  sum[2] += profile.numa != Numa::ignore && !candidate.near ? 1 : 0;
  sum[3] += candidate.opens_card ? 1 : 0;
  return sum;
}

/// A place for each request.
struct Way {
  std::vector<Candidate> chosen;
  Measure measure;
};

bool is_same_place(const Candidate& a, const Candidate& b) {
  return a.type == b.type && card_of(a) == card_of(b);
}

/// The VFs of a card are as good as each other: one candidate, the card, for all that have room.
std::vector<Candidate> by_card(std::span<const Candidate> candidates,
                               const std::map<std::string, CardToPlaceOn>& cards) {
  std::vector<Candidate> result;
  std::map<std::pair<std::string_view, std::string_view>, size_t> places;
  for (const Candidate& candidate : candidates) {
    if (candidate.available == 0) continue;
    const auto [place, is_new] =
        places.try_emplace({card_of(candidate), candidate.type}, result.size());
    if (is_new) {
      result.push_back(candidate);
      result.back().parent = card_of(candidate);
      result.back().card.clear();
    } else {
      result[place->second].available += candidate.available;
    }
  }
  for (Candidate& candidate : result)
    if (const auto card = cards.find(candidate.parent); card != cards.end())
      note_stranded(card->second.room, candidate);
  return result;
}

/// Depth first, the best of each first.
struct Search {
  std::span<const SeveralRequest> requests;
  const IsAllowed& is_allowed;
  std::map<std::string, CardToPlaceOn> cards;
  std::map<const Candidate*, std::vector<Candidate>> options{};  ///< by the first of a request
  bool looks_for_better;
  std::vector<Candidate> chosen{};
  std::vector<Measure> sums{{}};  ///< of the first 0, 1 … of these
  std::optional<Way> first{}, best{};
  unsigned steps = 0;
  /// Card, type and profile of those that are chosen, in order of name: which of several equal
  /// requests has which place makes no difference to those after them.
  using Places = std::vector<std::tuple<std::string, std::string, const Profile*>>;
  std::set<Places> visited{};
  /// By what there is on a card, the next one last.
  std::map<Places, bool> allowed{};

  const GpuSpot* spot_of(const Candidate& candidate) const {
    const auto card = cards.find(card_of(candidate));
    return card != cards.end() && card->second.spot ? &*card->second.spot : nullptr;
  }

  /// For the requests after the next one, by what there is for that.
  void add_missing_links(std::vector<Candidate>& left) const {
    const auto still_to_place = static_cast<unsigned>(requests.size() - chosen.size() - 1);
    if (still_to_place == 0) return;
    std::map<std::string_view, SpotWithRoom> by_card;  // of its types the one with most room
    for (const Candidate& candidate : left)
      if (const GpuSpot* const spot = spot_of(candidate); spot && spot->links.is_any()) {
        SpotWithRoom& card =
            by_card.try_emplace(card_of(candidate), SpotWithRoom{*spot, 0}).first->second;
        card.room = std::max(card.room, candidate.available);
      }
    if (by_card.empty()) return;
    std::vector<SpotWithRoom> possible;
    possible.reserve(by_card.size());
    for (auto& [name, card] : by_card) possible.push_back(std::move(card));
    for (Candidate& candidate : left)
      if (const GpuSpot* const spot = spot_of(candidate))
        candidate.distance += missing_links(*spot, possible, still_to_place + 1);
  }

  void add_distances(std::vector<Candidate>& left) const {
    std::vector<GpuSpot> beside;
    for (const Candidate& other : chosen)
      if (const auto& spot = cards.at(card_of(other)).spot) beside.push_back(*spot);
    if (beside.empty()) return;
    for (Candidate& candidate : left)
      if (const auto& card = cards.find(card_of(candidate));
          card != cards.end() && card->second.spot)
        candidate.distance += distance_to(*card->second.spot, beside);
  }

  std::vector<Candidate> left_for_next() const {
    std::vector<Candidate> left = options.at(requests[chosen.size()].candidates.data());
    for (const Candidate& other : chosen)
      for (Candidate& candidate : left)
        if (is_same_place(candidate, other) && candidate.available > 0) --candidate.available;
    std::set<std::string_view> changed;
    for (const Candidate& other : chosen) changed.insert(card_of(other));
    for (Candidate& candidate : left)
      if (changed.contains(card_of(candidate)))
        note_stranded(cards.at(card_of(candidate)).room, candidate);
    add_distances(left);
    add_missing_links(left);
    return left;
  }

  Places places_of_chosen() const {
    Places places;
    places.reserve(chosen.size() + 1);
    for (size_t number = 0; number < chosen.size(); ++number)
      places.emplace_back(card_of(chosen[number]), chosen[number].type, &requests[number].profile);
    std::sort(places.begin(), places.end());
    return places;
  }

  bool is_visited() { return !visited.insert(places_of_chosen()).second; }

  /// What is on other cards makes no difference.
  bool is_next_allowed(const Candidate& next) {
    if (!is_allowed) return true;
    const std::string& card = card_of(next);
    Places places = places_of_chosen();
    std::erase_if(places, [&](const auto& place) { return std::get<0>(place) != card; });
    places.emplace_back(card, next.type, &requests[chosen.size()].profile);
    const auto [answer, is_new] = allowed.try_emplace(std::move(places));
    if (is_new) answer->second = is_allowed(chosen, next);
    return answer->second;
  }

  /// The first parent on the card that has room.
  const Candidate& parent_on(const Candidate& card) const {
    const auto& all = requests[chosen.size()].candidates;
    return *std::find_if(all.begin(), all.end(), [&](const Candidate& candidate) {
      return candidate.available > 0 && is_same_place(candidate, card);
    });
  }

  bool choose(const Candidate& card) {
    const Candidate& parent = parent_on(card);
    CardRoom& room = cards[card_of(card)].room;
    const CardRoom before = room;
    if (!take(room, card.type)) return false;
    if (is_next_allowed(parent)) {
      sums.push_back(with(sums.back(), requests[chosen.size()].profile, card));
      chosen.push_back(parent);
      if (find()) return true;
      chosen.pop_back();
      sums.pop_back();
    }
    room = before;
    return false;
  }

  /// Whether to look for no other.
  bool note_way() {
    if (!first) {
      first = Way{chosen, sums.back()};
      steps = most_steps - std::min(most_steps, most_steps_for_better);
    } else if (sums.back() < (best ? *best : *first).measure) {
      best = Way{chosen, sums.back()};
    }
    return !looks_for_better;
  }

  /// True where the search is over.
  bool find() {
    if (chosen.size() == requests.size()) return note_way();
    if (is_visited()) return false;
    std::vector<Candidate> left = left_for_next();
    while (const auto next = place(requests[chosen.size()].profile, left)) {
      if (++steps > most_steps) return false;
      if (choose(*next)) return true;
      std::erase_if(left, [&](const Candidate& other) { return is_same_place(other, *next); });
    }
    return false;
  }
};

/// A parent on each card: of VFs the first that has room and that no other has.
bool choose_vfs(std::span<const SeveralRequest> requests, std::vector<Candidate>& chosen) {
  std::set<std::string> used;
  for (size_t number = 0; number < chosen.size(); ++number) {
    const auto& all = requests[number].candidates;
    const auto found = std::find_if(all.begin(), all.end(), [&](const Candidate& candidate) {
      return candidate.available > 0 && is_same_place(candidate, chosen[number]) &&
             (candidate.card.empty() || !used.contains(candidate.parent));
    });
    if (found == all.end()) return false;
    chosen[number] = *found;
    used.insert(found->parent);
  }
  return true;
}

/// Asked again where it is a VF that is chosen: its own settings may say less than those of the
/// card's first.
bool are_allowed(const std::vector<Candidate>& chosen, const IsAllowed& is_allowed) {
  if (!is_allowed) return true;
  std::vector<Candidate> before;
  before.reserve(chosen.size());
  for (const Candidate& next : chosen) {
    if (!next.card.empty() && !is_allowed(before, next)) return false;
    before.push_back(next);
  }
  return true;
}

/// No more of the request than these fit, were there no others.
unsigned most_places(const Search& search, const SeveralRequest& request) {
  unsigned most = 0;
  for (const Candidate& candidate : search.options.at(request.candidates.data()))
    if (const auto card = search.cards.find(card_of(candidate)); card != search.cards.end())
      most += std::min(candidate.available, room_for(card->second.room, candidate.type));
  return most;
}

bool has_too_few_places(const Search& search) {
  std::map<const Candidate*, unsigned> equal;
  for (const SeveralRequest& request : search.requests)
    if (++equal[request.candidates.data()] > most_places(search, request)) return true;
  return false;
}

/// Who wants the emptiest cards does not go by what memory is left.
bool may_be_better(const Search& search) {
  size_t places = 0;
  for (const SeveralRequest& request : search.requests) {
    if (request.profile.placement != Placement::binpack) return false;
    places += search.options.at(request.candidates.data()).size();
  }
  return places <= most_places_for_better;
}

}  // namespace

std::optional<std::vector<Candidate>> place_several(std::span<const SeveralRequest> requests,
                                                    std::map<std::string, CardToPlaceOn> cards,
                                                    const IsAllowed& is_allowed) {
  Search search{requests, is_allowed, std::move(cards), {}, false};
  for (const SeveralRequest& request : requests)
    if (const auto [of_request, is_new] = search.options.try_emplace(request.candidates.data());
        is_new)
      of_request->second = by_card(request.candidates, search.cards);
  search.looks_for_better = may_be_better(search);
  if (has_too_few_places(search)) return {};
  search.find();
  for (std::optional<Way>* const way : {&search.best, &search.first})
    if (*way && choose_vfs(requests, (*way)->chosen) && are_allowed((*way)->chosen, is_allowed))
      return std::move((*way)->chosen);
  return {};
}

}  // namespace gpuward
