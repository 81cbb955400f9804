// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/rate_limit.hpp"

#include <gtest/gtest.h>

namespace gpuward {
namespace {

using std::chrono::seconds;
const RateLimit::Clock::time_point start{};

unsigned allowed(RateLimit& limit, const std::string& kind, unsigned times, seconds at) {
  unsigned count = 0;
  for (unsigned i = 0; i < times; ++i) count += limit.allow(kind, start + at);
  return count;
}

TEST(RateLimit, lets_ten_lines_a_minute_through_and_counts_the_others) {
  RateLimit limit;
  EXPECT_EQ(allowed(limit, "web01: resume", 100, seconds(0)), 10u);
  EXPECT_EQ(limit.next_end(), start + seconds(60));
  EXPECT_TRUE(limit.ended(start + seconds(59)).empty());
  const auto withheld = limit.ended(start + seconds(60));
  ASSERT_EQ(withheld.size(), 1u);
  EXPECT_EQ(withheld[0].kind, "web01: resume");
  EXPECT_EQ(withheld[0].count, 90u);
}

TEST(RateLimit, begins_anew_when_the_minute_is_over) {
  RateLimit limit;
  EXPECT_EQ(allowed(limit, "a", 10, seconds(0)), 10u);
  EXPECT_EQ(allowed(limit, "a", 1, seconds(59)), 0u);
  EXPECT_EQ(limit.ended(start + seconds(60)).size(), 1u);
  EXPECT_EQ(allowed(limit, "a", 20, seconds(61)), 10u);
}

TEST(RateLimit, needs_nobody_to_look_when_nothing_was_withheld) {
  RateLimit limit;
  EXPECT_EQ(allowed(limit, "a", 10, seconds(0)), 10u);
  EXPECT_EQ(limit.next_end(), std::nullopt);
  EXPECT_EQ(allowed(limit, "a", 10, seconds(60)), 10u);
}

TEST(RateLimit, loses_no_count_when_nobody_looked_in_time) {
  RateLimit limit;
  EXPECT_EQ(allowed(limit, "a", 15, seconds(0)), 10u);
  EXPECT_EQ(allowed(limit, "a", 5, seconds(70)), 0u);
  ASSERT_EQ(limit.ended(start + seconds(70)).size(), 1u);
}

TEST(RateLimit, keeps_kinds_apart_and_forgets_them) {
  RateLimit limit;
  EXPECT_EQ(allowed(limit, "a", 20, seconds(0)), 10u);
  EXPECT_EQ(allowed(limit, "b", 20, seconds(30)), 10u);
  EXPECT_EQ(limit.ended(start + seconds(60)).size(), 1u);
  EXPECT_EQ(limit.next_end(), start + seconds(90));
  EXPECT_EQ(limit.ended(start + seconds(90)).size(), 1u);
  EXPECT_EQ(limit.next_end(), std::nullopt);
}

}  // namespace
}  // namespace gpuward
