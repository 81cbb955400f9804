// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/verdict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpuward {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const Gap room{Guard::memory_hotplug, 7, "maxMemory", "memory can be added"};
const Gap suspend{Guard::pause, 1, "pm", "the guest may suspend itself"};
const Gap growing{Guard::memory_hotplug, 9, "memory", "it can grow", false};

TEST(GuardVerdictTest, without_gaps_it_may_start) {
  EXPECT_TRUE(guard_verdict({}, "web01", {}));
}

TEST(GuardVerdictTest, a_gap_is_named_with_the_command_that_closes_it) {
  const Verdict verdict = guard_verdict({}, "web 01", {room});
  EXPECT_FALSE(verdict);
  EXPECT_EQ(to_string(verdict.reason),
            "domain XML line 7 (maxMemory): memory can be added, blocked by [guard] "
            "memory-hotplug; run: gpuward protect 'web 01'");
}

TEST(GuardVerdictTest, of_many_the_first_is_named_and_the_others_counted) {
  EXPECT_THAT(to_string(guard_verdict({}, "web01", {suspend, room}).reason),
              AllOf(HasSubstr("line 1 (pm)"), HasSubstr("(and 1 more)")));
}

TEST(GuardVerdictTest, what_protect_cannot_close_comes_first) {
  EXPECT_THAT(to_string(guard_verdict({}, "web01", {suspend, growing}).reason),
              AllOf(HasSubstr("line 9 (memory)"), HasSubstr("virsh edit web01"),
                    Not(HasSubstr("protect"))));
}

TEST(GuardVerdictTest, only_guards_that_block_refuse) {
  GuardPolicy policy;
  for (const Policy other : {Policy::warn, Policy::allow}) {
    policy.pause = other;
    EXPECT_TRUE(guard_verdict(policy, "web01", {suspend}));
    EXPECT_THAT(to_string(guard_verdict(policy, "web01", {suspend, room}).reason),
                AllOf(HasSubstr("maxMemory"), Not(HasSubstr("more"))));
  }
}

TEST(GuardWarningsTest, are_of_guards_that_warn) {
  GuardPolicy policy;
  EXPECT_THAT(guard_warnings(policy, "web01", {suspend, room}), IsEmpty());
  policy.pause = Policy::warn;
  policy.memory_hotplug = Policy::allow;
  EXPECT_THAT(guard_warnings(policy, "web01", {suspend, room}),
              ElementsAre("domain XML line 1 (pm): the guest may suspend itself ([guard] pause = "
                          "warn)"));
}

TEST(GuardVerdictTest, an_open_port_is_refused_from_the_next_release_on) {
  const Gap port{Guard::gpu_hotplug, 20, "hostdev ua-gpuward-0", "PCI port 2 has hot-plug"};
  const Gap bridge{Guard::gpu_hotplug, 20, "hostdev ua-x", "it is behind a bridge", false};
  EXPECT_EQ(bool(guard_verdict({}, "web01", {port, bridge})), !refuses_open_ports);
  if (refuses_open_ports) return;
  EXPECT_THAT(guard_warnings({}, "web01", {port, bridge}),
              ElementsAre(AllOf(HasSubstr("PCI port 2"), HasSubstr("the next release refuses"),
                                HasSubstr("gpuward protect web01"), HasSubstr("--all")),
                          AllOf(HasSubstr("behind a bridge"), HasSubstr("virsh edit web01"))));
  GuardPolicy policy;
  policy.gpu_hotplug = Policy::allow;
  EXPECT_THAT(guard_warnings(policy, "web01", {port}), IsEmpty());
}

TEST(GuardTable, each_guard_has_its_row_in_order) {
  ASSERT_EQ(guard_table().size(), std::size(guard_keys));
  for (size_t i = 0; i < guard_table().size(); ++i) {
    EXPECT_EQ(guard_table()[i].guard, static_cast<Guard>(i));
    EXPECT_FALSE(guard_table()[i].events.empty());
    EXPECT_EQ(guard_table()[i].calls.empty(), guard_table()[i].calls_text.empty());
  }
}

}  // namespace
}  // namespace gpuward
