// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/stranded.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <tuple>

#include "allocation/place_several.hpp"
#include "simulated_kernel.hpp"

namespace gpuward {
namespace {

using Kind = Kernel::Kind;

/// A card of so many MiB with types of these sizes: "6" takes 6 MiB.
Kernel card_of(Kind kind, unsigned mib, const std::vector<unsigned>& sizes, unsigned vfs = 0) {
  Kernel kernel{kind, {}, {mib}};
  kernel.total = mib;
  kernel.vfs = vfs;
  for (const unsigned size : sizes) {
    const std::string name = std::to_string(size);
    kernel.types.push_back({name, nvidia(size, mib / size), {size}, mib / size});
    if (kind != Kind::pool) continue;
    kernel.types.back().description = "virtual display, " + name + " MB video memory";
    kernel.types.back().most = 1000;
  }
  return kernel;
}

/// Only these types count.
CardRoom with_profiles(CardRoom room, const std::vector<std::string>& types) {
  for (TypeRoom& type : room.types)
    type.counts = std::find(types.begin(), types.end(), type.id) != types.end();
  return room;
}

TEST(StrandedTest, what_no_profile_fits_into) {
  const auto eight_left = card_of(Kind::pool, 8, {2, 6, 8}).room();
  const auto twelve_left = card_of(Kind::pool, 12, {2, 6, 8}).room();
  EXPECT_EQ(stranded_by(with_profiles(eight_left, {"6", "8"}), "6"), 2);
  EXPECT_EQ(stranded_by(with_profiles(twelve_left, {"6", "8"}), "6"), 0) << "another fits";
  EXPECT_EQ(stranded_by(with_profiles(twelve_left, {"8"}), "6"), -2 + 4)
      << "of 12, 4 were stranded before and 6 are now";
  EXPECT_EQ(stranded_by(with_profiles(twelve_left, {"8"}), "2"), -2) << "8 remain for one";
  EXPECT_EQ(stranded_by(eight_left, "6"), 0) << "without profiles all types count";
  EXPECT_EQ(stranded_by(eight_left, "unknown"), 0);
}

TEST(StrandedTest, types_are_combined) {
  EXPECT_EQ(
      usable_mib(with_profiles(card_of(Kind::pool, 23, {1, 4, 9, 10}).room(), {"4", "9", "10"})),
      23U)
      << "9 + 10 + 4";
  EXPECT_EQ(usable_mib(card_of(Kind::pool, 12, {5, 6, 7}).room()), 12U) << "not 7 + 5 alone";
  EXPECT_EQ(usable_mib(card_of(Kind::pool, 3, {4}).room()), 0U);
}

/// With one size on a card the first decides for all that come.
TEST(StrandedTest, where_the_driver_wants_one_size_there_is_one) {
  Kernel kernel = card_of(Kind::homogeneous, 48, {5, 12, 48}, 8);
  EXPECT_EQ(usable_mib(kernel.room()), 48U);
  EXPECT_EQ(stranded_by(kernel.room(), "12"), 0) << "three more of it";
  EXPECT_EQ(stranded_by(kernel.room(), "5"), 8) << "of 8 VFs each has 5 MiB";
  kernel.create(0);
  EXPECT_EQ(usable_mib(kernel.room()), 35U);
}

TEST(StrandedTest, vfs_are_used_up) {
  EXPECT_EQ(usable_mib(card_of(Kind::homogeneous, 48, {12, 48}, 2).room()), 48U);
  EXPECT_EQ(usable_mib(with_profiles(card_of(Kind::homogeneous, 48, {12, 48}, 2).room(), {"12"})),
            24U);
}

TEST(StrandedTest, what_a_type_that_counts_takes_must_be_known) {
  CardRoom room = card_of(Kind::pool, 8, {2, 6, 8}).room();
  room.types[2].size.reset();
  EXPECT_EQ(stranded_by(with_profiles(room, {"2", "8"}), "6"), 0);
  EXPECT_EQ(stranded_by(with_profiles(room, {"2"}), "6"), 0) << "2 remain, and fit";
  EXPECT_EQ(stranded_by(with_profiles(room, {"6"}), "2"), -2);
}

/// Two types of one GPU instance of MIG are not both created.
TEST(StrandedTest, a_gpu_instance_of_mig_is_used_once) {
  CardRoom room;
  room.left = {7, 40};
  room.slots = 4;
  const auto add = [&](const std::string& id, unsigned slices, unsigned mib) {
    TypeRoom type;
    type.id = id;
    type.cost = {slices, mib};
    type.available = 1;
    type.size = mib;
    type.mig_slices = slices;
    room.types.push_back(type);
  };
  add("1-5C", 1, 5);
  add("1-5CME", 1, 5);
  add("2-10C", 2, 10);
  EXPECT_EQ(usable_mib(room), 15U);
  EXPECT_EQ(stranded_by(room, "1-5C"), 0);
}

// ---- against every combination

std::vector<size_t> numbers(const Kernel& kernel, const std::vector<std::string>& types) {
  std::vector<size_t> found;
  for (size_t at = 0; at < kernel.types.size(); ++at)
    if (std::find(types.begin(), types.end(), kernel.types[at].id) != types.end())
      found.push_back(at);
  return found;
}

/// The most memory of these types that the kernel creates in any order.
unsigned most_created(const Kernel& kernel, const std::vector<size_t>& types, size_t from = 0) {
  unsigned most = 0;
  for (size_t at = from; at < types.size(); ++at) {
    Kernel with = kernel;
    if (!with.create(types[at])) continue;
    most = std::max(most, with.types[types[at]].takes[0] + most_created(with, types, at));
  }
  return most;
}

struct Card {
  Kernel kernel;
  std::vector<std::string> counting;
  bool near = true;

  CardRoom room() const { return with_profiles(kernel.room(), counting); }
  unsigned stranded() const {
    unsigned has = kernel.total;
    for (const size_t at : kernel.present) has -= kernel.types[at].takes[0];
    return has - most_created(kernel, numbers(kernel, counting));
  }
};

/// With types that mostly do not divide each other, and some of their instances.
Card random_card(Random& random, unsigned types) {
  const Kind kind = any(random, 0, 1) ? Kind::pool : Kind::homogeneous;
  const unsigned mib = any(random, 6, 40);
  // The largest type has all of the card; by one of 1 MiB the driver of a pool tells what is left.
  std::vector<unsigned> sizes{kind == Kind::pool ? 1 : mib};
  for (unsigned number = 1; number < types; ++number)
    sizes.push_back(any(random, mib / 6 + 1, mib - 1));
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  const unsigned vfs = kind == Kind::homogeneous && any(random, 0, 1) ? any(random, 1, 8) : 0;
  Card card{card_of(kind, mib, sizes, vfs), {}, any(random, 0, 2) > 0};
  for (unsigned count = any(random, 0, 2); count > 0; --count)
    card.kernel.create(any(random, 0, static_cast<unsigned>(sizes.size()) - 1));
  for (const unsigned size : sizes)
    if (any(random, 0, 1)) card.counting.push_back(std::to_string(size));
  return card;
}

TEST(StrandedPropertyTest, no_combination_has_more_memory_and_there_is_one_that_has_it) {
  Random random(1);
  for (int round = 0; round < 5000; ++round) {
    const Card card = random_card(random, any(random, 1, 5));
    const CardRoom room = card.room();
    ASSERT_EQ(usable_mib(room), most_created(card.kernel, numbers(card.kernel, card.counting)))
        << "round " << round;
    for (size_t at = 0; at < card.kernel.types.size(); ++at) {
      Card with = card;
      if (!with.kernel.create(at)) continue;
      ASSERT_EQ(stranded_by(room, card.kernel.types[at].id),
                static_cast<int>(with.stranded()) - static_cast<int>(card.stranded()))
          << "round " << round << ", type " << card.kernel.types[at].id;
    }
  }
}

// ---- placement by its measure

/// Stranded MiB of the host, devices far from the domain, cards that were not in use before.
using Measure = std::tuple<unsigned, unsigned, unsigned>;

struct SmallHost {
  std::vector<Card> cards{};

  Card& card(const std::string& name) { return cards[static_cast<size_t>(name.front() - 'a')]; }
  static std::string name_of(size_t card) { return std::string(1, static_cast<char>('a' + card)); }
  static std::optional<size_t> number(const Card& card, const std::string& type) {
    const auto found = numbers(card.kernel, {type});
    return found.empty() ? std::nullopt : std::optional(found.front());
  }
  std::vector<Candidate> candidates(const std::string& type) const {
    std::vector<Candidate> found;
    for (size_t at = 0; at < cards.size(); ++at)
      if (const auto of_type = number(cards[at], type)) {
        const Kernel& kernel = cards[at].kernel;
        found.push_back({name_of(at), type, kernel.available(*of_type), 0, cards[at].near});
        note_stranded(cards[at].room(), found.back());
      }
    return found;
  }
  /// Of what is created on these cards; nothing where a kernel refuses one.
  std::optional<Measure> measure(const std::vector<std::string>& on,
                                 const std::vector<std::string>& types) const {
    SmallHost after = *this;
    Measure result{};
    for (size_t at = 0; at < on.size(); ++at) {
      Card& card = after.card(on[at]);
      const auto of_type = number(card, types[at]);
      std::get<1>(result) += card.near ? 0 : 1;
      std::get<2>(result) += card.kernel.present.empty() ? 1 : 0;
      if (!of_type || !card.kernel.create(*of_type)) return {};
    }
    for (const Card& card : after.cards) std::get<0>(result) += card.stranded();
    return result;
  }
  /// The best of all ways.
  std::optional<Measure> best(const std::vector<std::string>& types,
                              std::vector<std::string> on = {}) const {
    if (on.size() == types.size()) return measure(on, types);
    std::optional<Measure> found;
    for (size_t at = 0; at < cards.size(); ++at) {
      on.push_back(name_of(at));
      const auto other = best(types, on);
      if (other && (!found || *other < *found)) found = other;
      on.pop_back();
    }
    return found;
  }
};

/// Of cards of one driver and model, as a profile's mostly are, with different instances.
SmallHost random_host(Random& random) {
  SmallHost host;
  const Card model = random_card(random, any(random, 2, 4));
  for (unsigned count = any(random, 1, 4); count > 0; --count) {
    Card card = model;
    card.kernel.left = {card.kernel.total};
    card.kernel.present.clear();
    card.near = any(random, 0, 2) > 0;
    for (unsigned instances = any(random, 0, 3); instances > 0; --instances)
      card.kernel.create(any(random, 0, static_cast<unsigned>(card.kernel.types.size()) - 1));
    host.cards.push_back(card);
  }
  return host;
}

std::string any_type(Random& random, const SmallHost& host) {
  const auto& types = host.cards.front().kernel.types;
  return types[any(random, 0, static_cast<unsigned>(types.size()) - 1)].id;
}

TEST(PlacementPropertyTest, no_other_place_of_a_gpu_is_better_by_the_measure) {
  Random random(2);
  unsigned placed = 0, refused = 0, by_stranded = 0;
  for (int round = 0; round < 5000; ++round) {
    const SmallHost host = random_host(random);
    const std::string type = any_type(random, host);
    Profile profile;
    profile.types = {type};
    auto candidates = host.candidates(type);
    const auto chosen = place(profile, candidates);
    const auto best = host.best({type});
    ASSERT_EQ(chosen.has_value(), best.has_value()) << "round " << round;
    ++(chosen ? placed : refused);
    if (!chosen) continue;
    ASSERT_EQ(host.measure({chosen->parent}, {type}), best) << "round " << round;
    for (Candidate& candidate : candidates) candidate.stranded_mib = 0;
    by_stranded += place(profile, candidates)->parent != chosen->parent ? 1 : 0;
  }
  EXPECT_GT(placed, 1000U);
  EXPECT_GT(refused, 100U);
  EXPECT_GT(by_stranded, 20U);
}

TEST(PlacementPropertyTest, no_other_places_of_several_are_better_by_the_measure) {
  Random random(3);
  unsigned placed = 0;
  for (int round = 0; round < 3000; ++round) {
    SmallHost host = random_host(random);
    std::vector<std::string> types;
    std::deque<Profile> profiles;
    std::deque<std::vector<Candidate>> candidates;
    std::vector<SeveralRequest> requests;
    std::map<std::string, CardToPlaceOn> cards;
    for (size_t at = 0; at < host.cards.size(); ++at) {
      cards[SmallHost::name_of(at)].room = host.cards[at].room();
    }
    for (unsigned count = any(random, 2, 4); count > 0; --count) {
      types.push_back(any_type(random, host));
      profiles.emplace_back().types = {types.back()};
      profiles.back().name = std::to_string(count);
      candidates.push_back(host.candidates(types.back()));
      requests.push_back({profiles.back(), candidates.back()});
    }
    const auto chosen = place_several(requests, cards);
    const auto best = host.best(types);
    if (!chosen || !best) continue;
    std::vector<std::string> on;
    for (const Candidate& each : *chosen) on.push_back(each.parent);
    ASSERT_EQ(host.measure(on, types), best) << "round " << round;
    ++placed;
  }
  EXPECT_GT(placed, 500U);
}

}  // namespace
}  // namespace gpuward
