// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/distance.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include "base/joined.hpp"

namespace gpuward {

static constexpr size_t level_count = 4;

/// What two devices have in common at a distance, from the farthest: NUMA node, host bridge, root
/// port, switch.
using Levels = std::array<PciAddress, level_count>;

/// A node without a number is that of the host bridge alone.
static std::optional<Levels> levels_of(const GpuSpot& spot) {
  if (!spot.bus) return {};
  const auto& [bridge, ports] = *spot.bus;
  PciAddress node = bridge;
  if (spot.node)
    node = {static_cast<uint32_t>(*spot.node), 0, 0, 7};  // no bridge has this function
  // Root port, upstream port of a switch, its downstream port. Directly below a root port there is
  // one card only, on the root bus itself one for each slot.
  const PciAddress slot{spot.card.domain, spot.card.bus, spot.card.slot, 0};
  const PciAddress root_port = ports.empty() ? slot : ports.front();
  const PciAddress upstream = ports.size() < 3 ? root_port : ports[ports.size() - 2];
  return Levels{node, bridge, root_port, upstream};
}

/// How many levels two devices have in common.
static size_t common(const Levels& one, const Levels& other) {
  return static_cast<size_t>(std::mismatch(one.begin(), one.end(), other.begin()).first -
                             one.begin());
}

Distance distance(const GpuSpot& one, const GpuSpot& other) {
  const auto first = levels_of(one), second = levels_of(other);
  if (!first || !second) return Distance::far;
  return static_cast<Distance>(level_count - common(*first, *second));
}

static bool has_link_to(const NvLinks& links, const PciAddress& card) {
  return std::find(links.cards.begin(), links.cards.end(), card) != links.cards.end();
}

bool are_linked(const GpuSpot& one, const GpuSpot& other) {
  if (one.card == other.card) return one.links.is_any();
  return has_link_to(one.links, other.card) || has_link_to(other.links, one.card) ||
         (one.links.has_switch && other.links.has_switch);
}

unsigned distance_to(const GpuSpot& spot, std::span<const GpuSpot> others) {
  return std::accumulate(others.begin(), others.end(), 0U, [&](unsigned sum, const GpuSpot& other) {
    return sum + static_cast<unsigned>(distance(spot, other)) +
           (are_linked(spot, other) ? 0 : distance_without_link);
  });
}

std::string links_text(const GpuSpot& spot, std::span<const GpuSpot> others) {
  std::set<PciAddress> cards;
  for (const GpuSpot& other : others)
    if (other.card != spot.card && are_linked(spot, other)) cards.insert(other.card);
  const std::string names =
      joined(cards, ", ", [](const PciAddress& card) { return to_string(card); });
  return names.empty() ? "" : "NVLink to " + names;
}

unsigned missing_links(const GpuSpot& spot, std::span<const SpotWithRoom> possible,
                       unsigned still_to_place) {
  for (const SpotWithRoom& other : possible)
    if (are_linked(spot, other.spot)) still_to_place -= std::min(still_to_place, other.room);
  return still_to_place * expected_without_link;
}

// ---- the nearest

namespace {

/// Devices that were chosen together.
struct Choice {
  Costs costs{};
  uint64_t apart = 0;  ///< the sum of the distances between each two
  std::vector<size_t> devices{};

  bool is_better_than(const Choice& other) const {
    return std::tie(costs, apart) < std::tie(other.costs, other.apart);
  }
};

/// The best choice of none, of one, of two …
using Choices = std::vector<Choice>;

Choice together(const Choice& one, const Choice& other, uint64_t distance) {
  Choice sum = one;
  for (size_t at = 0; at < sum.costs.size(); ++at) sum.costs[at] += other.costs[at];
  sum.apart += other.apart + distance * one.devices.size() * other.devices.size();
  sum.devices.insert(sum.devices.end(), other.devices.begin(), other.devices.end());
  return sum;
}

/// Of two groups of devices each of which is as far from each of the other group. Of equal ones
/// that with more of the first.
Choices together(const Choices& one, const Choices& other, uint64_t distance, size_t most) {
  const size_t count = std::min(one.size() + other.size() - 2, most);
  Choices best(count + 1);
  for (size_t number = 0; number <= count; ++number) {
    const size_t least = number < other.size() ? 0 : number - (other.size() - 1);
    for (size_t of_one = std::min(number, one.size() - 1) + 1; of_one-- > least;) {
      Choice choice = together(one[of_one], other[number - of_one], distance);
      if (best[number].devices.size() < number || choice.is_better_than(best[number]))
        best[number] = std::move(choice);
    }
  }
  return best;
}

struct Nearest {
  std::span<const SpotCosts> devices;
  std::vector<std::optional<Levels>> levels;
  size_t most;

  /// Split by what they have in common one level further, in the order of the first of each.
  std::vector<std::vector<size_t>> groups(const std::vector<size_t>& members, size_t level) const {
    std::vector<std::vector<size_t>> groups;
    std::map<PciAddress, size_t> numbers;
    for (const size_t member : members) {
      const auto& known = levels[member];
      const auto number =
          known ? numbers.emplace((*known)[level], groups.size()).first->second : groups.size();
      if (number == groups.size()) groups.emplace_back();
      groups[number].push_back(member);
    }
    return groups;
  }

  /// Of devices that have so many levels in common.
  Choices of(const std::vector<size_t>& members, size_t level) const {
    Choices best(1);
    const uint64_t apart = level_count - level;
    if (level == level_count || members.size() == 1) {
      for (const size_t member : members)
        best = together(best, {{}, {devices[member].costs, devices[member].apart, {member}}}, apart,
                        most);
      return best;
    }
    for (const auto& group : groups(members, level))
      best = together(best, of(group, level + 1), apart, most);
    return best;
  }
};

}  // namespace

std::vector<size_t> nearest(std::span<const SpotCosts> devices, size_t count) {
  if (devices.empty() || count == 0) return {};
  Nearest search{devices, {}, count};
  search.levels.reserve(devices.size());
  for (const SpotCosts& device : devices) search.levels.push_back(levels_of(device.spot));
  std::vector<size_t> all(devices.size());
  std::iota(all.begin(), all.end(), size_t{0});
  std::vector<size_t> found = std::move(search.of(all, 0).back().devices);
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace gpuward
