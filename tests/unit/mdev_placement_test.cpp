// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace gpuward {
namespace {

Profile profile(Placement placement, Numa numa = Numa::prefer) {
  Profile result;
  result.name = "small";
  result.types = {"t"};
  result.placement = placement;
  result.numa = numa;
  return result;
}

/// The parent of the best; the same whatever the order in which they are given.
std::string best(const Profile& wanted, std::vector<Candidate> candidates) {
  const auto by_parent = [](const Candidate& a, const Candidate& b) { return a.parent < b.parent; };
  std::sort(candidates.begin(), candidates.end(), by_parent);
  const auto first = place(wanted, candidates);
  do {
    const auto again = place(wanted, candidates);
    EXPECT_EQ(again ? again->parent : "none", first ? first->parent : "none");
  } while (std::next_permutation(candidates.begin(), candidates.end(), by_parent));
  return first ? first->parent : "none";
}

const Profile binpack = profile(Placement::binpack);
const Profile spread = profile(Placement::spread);

TEST(PlacementTest, without_candidates_there_is_none) {
  EXPECT_FALSE(place(binpack, {}));
}

TEST(PlacementTest, what_is_full_is_never_taken) {
  EXPECT_EQ(best(binpack, {{"a", "t", 0}, {"b", "t", 0}}), "none");
  EXPECT_EQ(best(binpack, {{"a", "t", 0}, {"b", "t", 9}}), "b");
}

TEST(PlacementTest, the_answer_is_the_whole_candidate) {
  const Candidate only{"a", "t", 3, 1, false};
  const auto found = place(binpack, {&only, 1});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->parent, "a");
  EXPECT_EQ(found->type, "t");
  EXPECT_EQ(found->available, 3u);
}

TEST(PlacementTest, binpack_takes_the_fullest) {
  EXPECT_EQ(best(binpack, {{"a", "t", 4}, {"b", "t", 1}, {"c", "t", 2}}), "b");
}

TEST(PlacementTest, spread_takes_the_emptiest) {
  EXPECT_EQ(best(spread, {{"a", "t", 2}, {"b", "t", 1}, {"c", "t", 4}}), "c");
}

TEST(PlacementTest, equals_go_by_name) {
  EXPECT_EQ(best(binpack, {{"c", "t", 2}, {"a", "t", 2}, {"b", "t", 2}}), "a");
  EXPECT_EQ(best(spread, {{"c", "t", 2}, {"a", "t", 2}, {"b", "t", 2}}), "a");
}

TEST(PlacementTest, the_type_named_first_wins_over_all_else) {
  EXPECT_EQ(best(binpack, {{"a", "second", 1, 1, true}, {"b", "first", 9, 0, false}}), "b");
}

TEST(PlacementTest, the_next_type_is_taken_when_the_first_has_no_room) {
  EXPECT_EQ(best(binpack, {{"a", "first", 0, 0}, {"b", "second", 1, 1}}), "b");
}

TEST(PlacementTest, numa_prefer_takes_the_near_one_first_and_a_far_one_when_need_be) {
  EXPECT_EQ(best(binpack, {{"far", "t", 1, 0, false}, {"near", "t", 9, 0, true}}), "near");
  EXPECT_EQ(best(binpack, {{"far", "t", 1, 0, false}, {"near", "t", 0, 0, true}}), "far");
}

TEST(PlacementTest, numa_require_never_takes_a_far_one) {
  const Profile strict = profile(Placement::binpack, Numa::require);
  EXPECT_EQ(best(strict, {{"far", "t", 1, 0, false}, {"near", "t", 9, 0, true}}), "near");
  EXPECT_EQ(best(strict, {{"far", "t", 1, 0, false}, {"near", "t", 0, 0, true}}), "none");
}

TEST(PlacementTest, numa_ignore_does_not_look) {
  const Profile blind = profile(Placement::binpack, Numa::ignore);
  EXPECT_EQ(best(blind, {{"far", "t", 1, 0, false}, {"near", "t", 9, 0, true}}), "far");
}

}  // namespace
}  // namespace gpuward
