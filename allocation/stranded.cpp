// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/stranded.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace gpuward {

namespace {

/// Types of one card that differ in nothing but their names.
struct Size {
  const TypeRoom* type;
  unsigned most;  ///< of all of them, whatever the card has left of its units
};

uint64_t mib(const Size& size) {
  return *size.type->size;
}

bool is_same(const TypeRoom& one, const TypeRoom& other) {
  return one.size == other.size && one.cost == other.cost && one.one_size == other.one_size &&
         one.mig_slices == other.mig_slices;
}

/// The largest first.
std::vector<Size> sizes_of(const CardRoom& room) {
  std::vector<Size> sizes;
  sizes.reserve(room.types.size());
  for (const TypeRoom& type : room.types) {
    const unsigned most = type.counts && type.size ? permitted(room, type) : 0;
    if (most == 0) continue;
    const auto same = std::find_if(sizes.begin(), sizes.end(),
                                   [&](const Size& other) { return is_same(*other.type, type); });
    if (same == sizes.end())
      sizes.push_back({&type, most});
    else if (!type.mig_slices)  // those need one GPU instance
      same->most += most;
  }
  std::stable_sort(sizes.begin(), sizes.end(),
                   [](const Size& one, const Size& other) { return mib(one) > mib(other); });
  return sizes;
}

/// Depth first, as many of the largest as fit first: that is mostly as good as any.
struct Search {
  /// A card on which a longer search finds more has many types of sizes that go badly together.
  static constexpr unsigned most_steps = 2000;

  bool mixes_sizes;
  std::vector<Size> sizes;
  std::vector<uint64_t> left;  ///< units
  unsigned slots;
  std::optional<unsigned> one_size{};  ///< that all others need to have
  unsigned used_slices = 0;            ///< of MIG: a bit for each number
  uint64_t best = 0;
  unsigned steps = 0;

  unsigned fit(const Size& size) const {
    const TypeRoom& type = *size.type;
    if (type.one_size && !mixes_sizes && one_size && one_size != type.size) return 0;
    if (type.mig_slices && (used_slices >> *type.mig_slices & 1U)) return 0;
    uint64_t count = std::min(size.most, slots);
    for (size_t unit = 0; unit < left.size(); ++unit)
      if (type.cost[unit] > 0) count = std::min(count, left[unit] / type.cost[unit]);
    return static_cast<unsigned>(count);
  }
  /// No more MiB than that can come from the last unit of the card, by those from `at` on.
  uint64_t at_most(size_t at) const {
    uint64_t most = 0, step = 0;
    for (; at < sizes.size(); ++at) {
      const uint64_t cost = sizes[at].type->cost.back(), size = mib(sizes[at]);
      if (cost == 0) return ~uint64_t{0};
      most = std::max(most, size == cost ? left.back() : scaled(left.back(), size, cost));
      step = std::gcd(step, size);
    }
    return step ? most / step * step : 0;
  }
  /// Shares may have 62 bits.
  static uint64_t scaled(uint64_t units, uint64_t size, uint64_t cost) {
    constexpr double slightly_more = 1 + 1e-12;
    return static_cast<uint64_t>(static_cast<double>(units) / static_cast<double>(cost) *
                                 static_cast<double>(size) * slightly_more);
  }
  void search(size_t at, uint64_t sum) {
    best = std::max(best, sum);
    if (at == sizes.size() || at_most(at) <= best - sum || ++steps > most_steps) return;
    const TypeRoom& type = *sizes[at].type;
    const auto size_before = one_size;
    const unsigned slices_before = used_slices;
    for (unsigned count = fit(sizes[at]) + 1; count-- > 0;) {
      take(type, count);
      search(at + 1, sum + count * mib(sizes[at]));
      give_back(type, count);
      one_size = size_before;
      used_slices = slices_before;
    }
  }
  void take(const TypeRoom& type, unsigned count) {
    for (size_t unit = 0; unit < left.size(); ++unit) left[unit] -= count * type.cost[unit];
    slots -= count;
    if (count > 0 && type.one_size) one_size = type.size;
    if (count > 0 && type.mig_slices) used_slices |= 1U << *type.mig_slices;
  }
  void give_back(const TypeRoom& type, unsigned count) {
    for (size_t unit = 0; unit < left.size(); ++unit) left[unit] += count * type.cost[unit];
    slots += count;
  }
};

}  // namespace

uint64_t usable_mib(const CardRoom& room) {
  Search search{room.mixes_sizes, sizes_of(room), room.left, room.slots.value_or(~0U)};
  search.search(0, 0);
  return search.best;
}

int stranded_by(const CardRoom& room, std::string_view type) {
  std::optional<unsigned> size;
  for (const TypeRoom& other : room.types) {
    if (other.counts && !other.size) return 0;
    if (other.id == type || other.name == type) size = other.size;
  }
  if (!size) return 0;
  CardRoom after = room;
  take_anyway(after, type);
  return static_cast<int>(usable_mib(room)) - static_cast<int>(usable_mib(after)) -
         static_cast<int>(*size);
}

void note_stranded(const CardRoom& room, Candidate& candidate) {
  candidate.stranded_mib = stranded_by(room, candidate.type);
  candidate.opens_card = room.present.empty();
}

}  // namespace gpuward
