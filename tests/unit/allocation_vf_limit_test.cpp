// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/vf_limit.hpp"

#include <gtest/gtest.h>

#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

const PciAddress vf = at("0000:03:00.1");

/// The card and two VFs, with 2 GiB and 20 ms each.
std::vector<VfProfile> profiles(const std::string& priority = "low") {
  std::vector<VfProfile> all;
  all.reserve(3);
  for (const char* const address : {"0000:03:00.0", "0000:03:00.1", "0000:03:00.2"})
    all.push_back({.address = at(address),
                   .vram_quota = 2147483648,
                   .exec_quantum_ms = 20,
                   .sched_priority = priority});
  all.front().vram_quota.reset();
  return all;
}

std::string compute(const std::vector<VfProfile>& all) {
  const VfLimits found = limits_of_vf(all, vf);
  EXPECT_EQ(found.no_compute.empty(), found.limits.compute.kind != Limit::Kind::none);
  return to_string(found.limits.compute);
}

TEST(VfLimitTest, memory_is_hard_where_the_driver_has_a_quota) {
  auto all = profiles();
  EXPECT_EQ(to_string(limits_of_vf(all, vf).limits.memory), "hard");
  all[1].vram_quota = 0;
  EXPECT_EQ(to_string(limits_of_vf(all, vf).limits.memory), "none");
  EXPECT_EQ(limits_of_vf(all, vf).no_memory, "vram_quota is 0");
  all[1].vram_quota.reset();
  EXPECT_EQ(limits_of_vf(all, vf).no_memory, "vram_quota is not reported by the driver");
}

TEST(VfLimitTest, compute_units_are_averaged_over_all_turns_where_none_is_left_out) {
  EXPECT_EQ(compute(profiles("normal")), "averaged over 60 ms");
  EXPECT_EQ(compute(profiles("low")), "only under contention");
  auto all = profiles("normal");
  all[2].sched_priority = "low";
  EXPECT_EQ(compute(all), "only under contention");
}

TEST(VfLimitTest, compute_units_are_not_limited_where_one_turn_has_no_end_or_is_unknown) {
  for (size_t which = 0; which < 3; ++which) {
    auto all = profiles("normal");
    all[which].exec_quantum_ms = 0;
    EXPECT_EQ(compute(all), "none") << which;
    all[which].exec_quantum_ms.reset();
    EXPECT_EQ(compute(all), "none") << which;
    all = profiles("normal");
    all[which].sched_priority.clear();
    EXPECT_EQ(compute(all), "none") << which;
  }
  auto all = profiles("normal");
  all.front().sched_priority = "high";
  EXPECT_EQ(limits_of_vf(all, vf).no_compute, "sched_priority of the card is high");
}

TEST(VfLimitTest, nothing_limits_a_device_that_is_not_a_vf_of_the_card) {
  const VfLimits found = limits_of_vf(profiles("normal"), at("0000:04:00.1"));
  EXPECT_EQ(found.limits, Limits{});
  EXPECT_EQ(found.no_memory, "device is not a VF of the claimed card");
}

TEST(VfLimitTest, the_weaker_of_two_holds_for_both) {
  const Limits hard{{Limit::Kind::hard}, {Limit::Kind::averaged, 60}};
  const Limits soft{{Limit::Kind::none}, {Limit::Kind::averaged, 90}};
  EXPECT_EQ(weaker(hard, soft), soft);
  EXPECT_EQ(weaker(soft, hard), soft);
}

}  // namespace
}  // namespace gpuward
