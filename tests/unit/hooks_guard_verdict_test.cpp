// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/guard_verdict.hpp"

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
  EXPECT_EQ(verdict.reason,
            "maxMemory (line 7 of its XML): memory can be added, and [guard] blocks "
            "memory-hotplug; 'gpuward protect 'web 01'' closes it");
}

TEST(GuardVerdictTest, of_many_the_first_is_named_and_the_others_counted) {
  EXPECT_THAT(guard_verdict({}, "web01", {suspend, room}).reason,
              AllOf(HasSubstr("pm (line 1"), HasSubstr("(and 1 more)")));
}

TEST(GuardVerdictTest, what_protect_cannot_close_comes_first) {
  EXPECT_THAT(guard_verdict({}, "web01", {suspend, growing}).reason,
              AllOf(HasSubstr("memory (line 9"), HasSubstr("'virsh edit web01'"),
                    Not(HasSubstr("protect"))));
}

TEST(GuardVerdictTest, only_guards_that_block_refuse) {
  GuardPolicy policy;
  for (const Policy other : {Policy::warn, Policy::allow}) {
    policy.pause = other;
    EXPECT_TRUE(guard_verdict(policy, "web01", {suspend}));
    EXPECT_THAT(guard_verdict(policy, "web01", {suspend, room}).reason,
                AllOf(HasSubstr("maxMemory"), Not(HasSubstr("more"))));
  }
}

TEST(GuardWarningsTest, are_of_guards_that_warn) {
  GuardPolicy policy;
  EXPECT_THAT(guard_warnings(policy, {suspend, room}), IsEmpty());
  policy.pause = Policy::warn;
  policy.memory_hotplug = Policy::allow;
  EXPECT_THAT(guard_warnings(policy, {suspend, room}),
              ElementsAre("pm (line 1 of its XML): the guest may suspend itself ([guard] pause = "
                          "warn)"));
}

}  // namespace
}  // namespace gpuward
