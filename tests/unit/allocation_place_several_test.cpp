// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/place_several.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "simulated_kernel.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;

Profile profile(const std::string& name, const std::vector<std::string>& types) {
  Profile profile;
  profile.name = name;
  profile.types = types;
  return profile;
}

/// A host of cards that are mdev parents themselves, each with one type of a pool.
struct Host {
  std::map<std::string, CardToPlaceOn> cards;
  std::vector<Candidate> all;

  /// A card with so many MiB and types of these sizes: "16" takes 16 MiB.
  void add(const std::string& name, unsigned mib, const std::vector<unsigned>& sizes) {
    Kernel kernel{Kernel::Kind::pool, {}, {mib}};
    for (const unsigned size : sizes)
      kernel.types.push_back({std::to_string(size),
                              "virtual display, " + std::to_string(size) + " MB video memory",
                              {size}});
    cards[name].room = kernel.room();
    for (size_t at = 0; at < kernel.types.size(); ++at)
      all.push_back({name, kernel.types[at].id, kernel.available(at), 0, true});
  }
  /// Of these types, on these cards.
  std::vector<Candidate> candidates(const Profile& profile,
                                    const std::vector<std::string>& on) const {
    std::vector<Candidate> found;
    for (const Candidate& candidate : all)
      for (unsigned rank = 0; rank < profile.types.size(); ++rank)
        if (candidate.type == profile.types[rank] &&
            std::find(on.begin(), on.end(), candidate.parent) != on.end()) {
          found.push_back(candidate);
          found.back().rank = rank;
        }
    return found;
  }
};

std::vector<std::string> places(const std::optional<std::vector<Candidate>>& chosen) {
  if (!chosen) return {"none"};
  std::vector<std::string> names;
  for (const Candidate& candidate : *chosen)
    names.push_back(candidate.parent + "/" + candidate.type);
  return names;
}

TEST(PlaceSeveralTest, one_that_may_be_anywhere_leaves_its_place_to_one_that_may_not) {
  Host host;
  host.add("a", 16, {16});
  host.add("b", 16, {16});
  const Profile any = profile("any", {"16"}), only_a = profile("a", {"16"});
  const auto anywhere = host.candidates(any, {"a", "b"}), on_a = host.candidates(only_a, {"a"});
  const SeveralRequest requests[] = {{any, anywhere}, {only_a, on_a}};
  EXPECT_THAT(places(place_several(requests, host.cards)), ElementsAre("b/16", "a/16"));
}

/// Each alone has room on the first card; the small one is put there first, as that is fuller.
TEST(PlaceSeveralTest, types_that_share_a_pool_are_counted_together) {
  Host host;
  host.add("a", 16, {16, 4});
  host.add("b", 32, {4});
  const Profile small = profile("small", {"4"}), large = profile("large", {"16"});
  const auto smalls = host.candidates(small, {"a", "b"}), larges = host.candidates(large, {"a"});
  const SeveralRequest requests[] = {{small, smalls}, {large, larges}};
  EXPECT_THAT(places(place_several(requests, host.cards)), ElementsAre("b/4", "a/16"));
}

TEST(PlaceSeveralTest, all_or_none) {
  Host host;
  host.add("a", 16, {16});
  const Profile any = profile("any", {"16"});
  const auto on_a = host.candidates(any, {"a"});
  const SeveralRequest requests[] = {{any, on_a}, {any, on_a}};
  EXPECT_FALSE(place_several(requests, host.cards));
}

TEST(PlaceSeveralTest, each_has_a_virtual_function_of_its_own) {
  Kernel kernel{Kernel::Kind::homogeneous, {{"q", nvidia(4096, 12), {4096}, 12}}, {49152}};
  kernel.total = 49152;
  kernel.vfs = 3;
  const Gpu gpu = card_with_vfs(3);
  std::vector<Candidate> candidates;
  for (const std::string& vf : gpu.mdev_parents)
    candidates.push_back({vf, "q", 1, 0, true, gpu.parent.name});
  const Profile quarter = profile("quarter", {"q"});
  const std::map<std::string, CardToPlaceOn> cards{{gpu.parent.name, {kernel.room()}}};
  std::vector<SeveralRequest> requests(3, {quarter, candidates});
  EXPECT_THAT(places(place_several(requests, cards)),
              ElementsAre("0000:41:00.1/q", "0000:41:00.2/q", "0000:41:00.3/q"));
  requests.push_back({quarter, candidates});
  EXPECT_FALSE(place_several(requests, cards));
}

TEST(PlaceSeveralTest, what_is_not_allowed_beside_the_others_goes_elsewhere) {
  Host host;
  host.add("a", 64, {16});
  host.add("b", 32, {16});
  const Profile any = profile("any", {"16"});
  const auto anywhere = host.candidates(any, {"a", "b"});
  const std::vector<SeveralRequest> requests(3, {any, anywhere});
  const auto one_on_a = [](const std::vector<Candidate>& chosen, const Candidate& next) {
    return next.parent != "a" || std::none_of(chosen.begin(), chosen.end(),
                                              [](auto& other) { return other.parent == "a"; });
  };
  EXPECT_THAT(places(place_several(requests, host.cards, one_on_a)),
              ElementsAre("b/16", "b/16", "a/16"));
}

TEST(PlaceSeveralTest, each_virtual_function_that_is_chosen_is_asked_for) {
  Kernel kernel{Kernel::Kind::homogeneous, {{"q", nvidia(4096, 12), {4096}, 12}}, {49152}};
  kernel.total = 49152;
  kernel.vfs = 3;
  const Gpu gpu = card_with_vfs(3);
  std::vector<Candidate> candidates;
  for (const std::string& vf : gpu.mdev_parents)
    candidates.push_back({vf, "q", 1, 0, true, gpu.parent.name});
  const Profile quarter = profile("quarter", {"q"});
  const std::map<std::string, CardToPlaceOn> cards{{gpu.parent.name, {kernel.room()}}};
  const std::vector<SeveralRequest> requests(2, {quarter, candidates});
  const auto all_but = [](const char* vf) {
    return [vf](const std::vector<Candidate>&, const Candidate& next) { return next.parent != vf; };
  };
  EXPECT_TRUE(place_several(requests, cards, all_but("0000:41:00.3")));
  EXPECT_FALSE(place_several(requests, cards, all_but("0000:41:00.2")));
}

/// Each question reads the host, while all other starts wait for its lock.
TEST(PlaceSeveralTest, what_is_allowed_is_asked_only_where_there_is_room_and_once_for_each_card) {
  Host host;
  for (const char* const name : {"a", "b", "c"}) host.add(name, 48, {16});
  host.add("d", 16, {16});
  const Profile any = profile("any", {"16"}), only_d = profile("d", {"16"});
  const auto anywhere = host.candidates(any, {"a", "b", "c", "d"});
  const auto on_d = host.candidates(only_d, {"d"});
  std::vector<SeveralRequest> requests(9, {any, anywhere});
  requests.push_back({only_d, on_d});
  unsigned asked = 0;
  const auto two_on_each = [&](const std::vector<Candidate>& chosen, const Candidate& next) {
    ++asked;
    return std::count_if(chosen.begin(), chosen.end(),
                         [&](auto& other) { return other.parent == next.parent; }) < 2;
  };
  EXPECT_FALSE(place_several(requests, host.cards, two_on_each));
  EXPECT_LE(asked, 3U * 3 + 2);
  asked = 0;
  const std::vector<SeveralRequest> too_many(11, {any, anywhere});
  EXPECT_FALSE(place_several(too_many, host.cards, two_on_each));
  EXPECT_EQ(asked, 0U) << "ten places, whatever is allowed";
}

TEST(PlaceSeveralTest, those_that_are_as_full_are_near_each_other) {
  Host host;
  for (const char* const name : {"a", "b", "c"}) host.add(name, 16, {16});
  const auto below = [](uint8_t slot, uint8_t root_port) {
    const PciAddress bridge{0, 0, 0, 0}, port{0, 0, root_port, 0};
    return GpuSpot{{0, 1, slot, 0}, 0, BusPath{bridge, {port}}};
  };
  host.cards["a"].spot = below(1, 1);
  host.cards["b"].spot = below(2, 2);
  host.cards["c"].spot = below(3, 1);
  const Profile any = profile("any", {"16"});
  const auto anywhere = host.candidates(any, {"a", "b", "c"});
  const std::vector<SeveralRequest> requests(2, {any, anywhere});
  EXPECT_THAT(places(place_several(requests, host.cards)), ElementsAre("a/16", "c/16"));
}

/// Cards with room for one each, on one switch: a letter for each, linked with those that have the
/// same digit; 0 with none.
struct LinkedCards {
  Host host;
  std::vector<std::string> names{};
  std::string groups;

  explicit LinkedCards(const std::string& of_each) : groups(of_each) {
    for (size_t number = 0; number < groups.size(); ++number) {
      names.emplace_back(1, static_cast<char>('a' + number));
      host.add(names.back(), 16, {16});
      GpuSpot spot{card(number), 0, BusPath{{0, 0, 0, 0}, {{0, 0, 1, 0}}}};
      for (size_t other = 0; other < groups.size(); ++other)
        if (other != number && groups[other] == groups[number] && groups[number] != '0')
          spot.links.cards.push_back(card(other));
      host.cards[names.back()].spot = spot;
    }
  }
  static PciAddress card(size_t number) { return {0, 1, static_cast<uint8_t>(number), 0}; }

  std::string chosen(size_t count, Placement placement = Placement::binpack) const {
    Profile any = profile("any", {"16"});
    any.placement = placement;
    const auto anywhere = host.candidates(any, names);
    const std::vector<SeveralRequest> requests(count, {any, anywhere});
    const auto places = place_several(requests, host.cards);
    std::string letters;
    for (const Candidate& candidate : *places) letters += candidate.parent;
    std::sort(letters.begin(), letters.end());
    return letters;
  }
  /// Of cards with these letters.
  unsigned missing_links(const std::string& letters) const {
    unsigned missing = 0;
    for (size_t one = 0; one < letters.size(); ++one)
      for (size_t other = 0; other < one; ++other) {
        const auto& spot = host.cards.at({letters[one]}).spot;
        missing += !are_linked(*spot, *host.cards.at({letters[other]}).spot);
      }
    return missing;
  }
};

TEST(PlaceSeveralTest, two_are_on_linked_cards_whatever_the_numbering) {
  for (const Placement placement : {Placement::binpack, Placement::spread}) {
    EXPECT_EQ(LinkedCards("0000").chosen(2, placement), "ab");
    EXPECT_EQ(LinkedCards("1212").chosen(2, placement), "ac");
    EXPECT_EQ(LinkedCards("1221").chosen(2, placement), "ad");
    EXPECT_EQ(LinkedCards("1122").chosen(2, placement), "ab");
    EXPECT_EQ(LinkedCards("0101").chosen(2, placement), "bd");
    EXPECT_EQ(LinkedCards("1202").chosen(2, placement), "bd");
    EXPECT_EQ(LinkedCards("121222").chosen(3, placement), "bde");
    EXPECT_EQ(LinkedCards("0101").chosen(1, placement), "a");
  }
}

/// As few missing links as any choice of as many cards has.
TEST(PlaceSeveralPropertyTest, no_choice_of_equal_cards_has_more_links) {
  Random random(11);
  for (int round = 0; round < 1000; ++round) {
    std::string groups(any(random, 2, 8), '0');
    for (char& group : groups) group = static_cast<char>('0' + any(random, 0, 3));
    const LinkedCards cards(groups);
    const unsigned count =
        any(random, 2, std::min<unsigned>(4, static_cast<unsigned>(groups.size())));
    unsigned least = ~0U;
    for (unsigned set = 0; set < 1U << groups.size(); ++set) {
      std::string letters;
      for (size_t number = 0; number < groups.size(); ++number)
        if ((set >> number & 1) != 0) letters += cards.names[number];
      if (letters.size() == count) least = std::min(least, cards.missing_links(letters));
    }
    const std::string chosen = cards.chosen(count);
    ASSERT_EQ(cards.missing_links(chosen), least) << groups << ": " << chosen;
  }
}

/// Equal requests are not tried in each order: 16 of which the last finds no room would take more
/// steps than there are atoms.
TEST(PlaceSeveralTest, many_equal_ones_without_room_are_refused_at_once) {
  Host host;
  for (const char* const name : {"a", "b", "c", "d", "e"}) host.add(name, 48, {16});
  const Profile any = profile("any", {"16"});
  const auto anywhere = host.candidates(any, {"a", "b", "c", "d", "e"});
  std::vector<SeveralRequest> requests(15, {any, anywhere});
  EXPECT_TRUE(place_several(requests, host.cards));
  requests.push_back(requests.front());
  EXPECT_FALSE(place_several(requests, host.cards));
}

// ---- against every way to place them

using Kernels = std::map<std::string, Kernel>;

/// Whether the kernels create them all in some way.
bool fits(Kernels& kernels, std::span<const SeveralRequest> requests) {
  if (requests.empty()) return true;
  for (const Candidate& candidate : requests.front().candidates) {
    Kernel& kernel = kernels.at(candidate.parent);
    const Kernel before = kernel;
    const bool is_created = kernel.create(std::stoul(candidate.type));
    if (is_created && fits(kernels, requests.subspan(1))) return true;
    kernel = before;
  }
  return false;
}

/// A few cards of small pools whose sizes divide each other, as types of drivers do, and requests
/// that may be on some of the cards.
struct Case {
  Kernels kernels{};
  std::map<std::string, CardToPlaceOn> cards{};
  std::deque<Profile> profiles{};
  std::deque<std::vector<Candidate>> candidates{};
  std::vector<SeveralRequest> requests{};
};

void add_card(Random& random, const std::string& name, Case& result) {
  Kernel kernel{Kernel::Kind::pool, {}, {4 * any(random, 1, 6)}};
  for (const unsigned mib : {4U, 8U, 16U})
    kernel.types.push_back({std::to_string(kernel.types.size()),
                            "virtual display, " + std::to_string(mib) + " MB video memory",
                            {mib}});
  result.cards[name].room = kernel.room();
  result.cards[name].room.card = name;
  result.kernels.emplace(name, kernel);
}

void add_request(Random& random, Case& result) {
  const std::string type = std::to_string(any(random, 0, 2));
  result.profiles.push_back(profile("p" + std::to_string(result.profiles.size()), {type}));
  result.profiles.back().placement = any(random, 0, 1) ? Placement::spread : Placement::binpack;
  result.candidates.emplace_back();
  for (auto& [name, kernel] : result.kernels)
    if (any(random, 0, 2))
      result.candidates.back().push_back({name, type, kernel.available(std::stoul(type)), 0, true});
  result.requests.push_back({result.profiles.back(), result.candidates.back()});
}

TEST(PlaceSeveralPropertyTest, refused_only_where_no_way_to_place_them_exists) {
  Random random(20261130);
  unsigned placed = 0, refused = 0;
  for (int round = 0; round < 5000; ++round) {
    Case host;
    for (unsigned number = any(random, 1, 4); number > 0; --number)
      add_card(random, std::string(1, static_cast<char>('a' + number)), host);
    for (unsigned number = any(random, 1, 6); number > 0; --number) add_request(random, host);
    const auto chosen = place_several(host.requests, host.cards);
    ASSERT_EQ(chosen.has_value(), fits(host.kernels, host.requests)) << "round " << round;
    ++(chosen ? placed : refused);
    if (!chosen) continue;
    // `fits` has created them its way.
    for (auto& [name, kernel] : host.kernels) {
      const unsigned total = static_cast<unsigned>(host.cards[name].room.types[0].available) * 4;
      kernel.left = {total};
      kernel.present.clear();
    }
    for (size_t number = 0; number < chosen->size(); ++number)
      ASSERT_TRUE(
          host.kernels.at((*chosen)[number].parent).create(std::stoul((*chosen)[number].type)))
          << "round " << round;
  }
  EXPECT_GT(placed, 500U);
  EXPECT_GT(refused, 500U);
}

}  // namespace
}  // namespace gpuward
