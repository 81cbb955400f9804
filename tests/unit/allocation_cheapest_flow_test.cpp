// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/cheapest_flow.hpp"

#include <gtest/gtest.h>

namespace gpuward {
namespace {

TEST(CheapestFlowTest, a_later_unit_sends_an_earlier_one_elsewhere) {
  constexpr size_t from = 0, one = 1, other = 2, to = 3;
  CheapestFlow flow(4);
  flow.add(from, to, 1, 9);
  const size_t first = flow.add(from, one, 1, 1), between = flow.add(one, other, 1, 1);
  const size_t last = flow.add(other, to, 1, 1);
  flow.add(from, other, 1, 4);
  flow.add(one, to, 1, 4);
  EXPECT_EQ(flow.send(from, to), 3);
  EXPECT_TRUE(flow.is_used(first) && flow.is_used(between) && flow.is_used(last));
  EXPECT_EQ(flow.send(from, to), 7) << "the unit between the two does not cost 1 any more";
  EXPECT_FALSE(flow.is_used(between));
  EXPECT_EQ(flow.send(from, to), 9);
  EXPECT_FALSE(flow.send(from, to)) << "no way is left";
}

TEST(CheapestFlowTest, what_goes_already_leaves_less) {
  CheapestFlow flow(2);
  const size_t cheap = flow.add(0, 1, 1, 0);
  flow.add(0, 1, 1, 5);
  flow.use(cheap);
  EXPECT_TRUE(flow.is_used(cheap));
  EXPECT_EQ(flow.send(0, 1), 5);
}

}  // namespace
}  // namespace gpuward
