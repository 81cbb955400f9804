// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/guard_decision.hpp"

#include <gtest/gtest.h>
#include <libvirt/libvirt.h>

#include "libvirt/events.hpp"

namespace gpuward {
namespace {

using Act = Decision::Act;

TEST(GuardDecision, resumes_what_a_user_paused) {
  const Decision decision = on_pause(Policy::block, Condition::paused_by_user);
  EXPECT_EQ(decision.act, Act::undo);
  EXPECT_EQ(decision.reason, "paused by a user (pause = block)");
}

TEST(GuardDecision, leaves_all_other_pauses_alone) {
  for (const auto condition :
       {Condition::running, Condition::paused_by_cause, Condition::paused, Condition::off})
    EXPECT_EQ(on_pause(Policy::block, condition).act, Act::nothing);
}

TEST(GuardDecision, resumes_a_pause_without_a_job_when_qemu_says_paused) {
  EXPECT_EQ(on_pause_in_qemu(Policy::block, "paused", "web01").act, Act::undo);
  EXPECT_EQ(on_pause_in_qemu(Policy::warn, "paused", "web01").act, Act::report);
  EXPECT_EQ(on_pause_in_qemu(Policy::allow, "paused", "web01").act, Act::nothing);
  EXPECT_EQ(on_pause_in_qemu(Policy::block, "running", "web01").act, Act::nothing);
}

TEST(GuardDecision, never_resumes_any_other_state_of_qemu_and_says_what_to_run) {
  for (const char* status : {"postmigrate", "finish-migrate", "inmigrate", "internal-error",
                             "io-error", "watchdog", "guest-panicked", "save-vm", "restore-vm",
                             "prelaunch", "suspended", "colo", "debug", "", "Paused", "paused "})
    for (const Policy policy : {Policy::block, Policy::warn}) {
      const Decision decision = on_pause_in_qemu(policy, status, "web01");
      EXPECT_EQ(decision.act, Act::report) << status;
      EXPECT_NE(decision.reason.find("'" + std::string(status) + "'"), std::string::npos);
      EXPECT_NE(decision.reason.find("; run: "), std::string::npos) << status;
      EXPECT_NE(decision.reason.find(" web01"), std::string::npos) << decision.reason;
      EXPECT_EQ(decision.reason.find("NAME"), std::string::npos) << decision.reason;
    }
  EXPECT_EQ(on_pause_in_qemu(Policy::allow, "postmigrate", "web01").act, Act::nothing);
}

TEST(GuardDecision, says_of_a_migrated_domain_that_its_disks_may_be_in_use) {
  EXPECT_NE(on_pause_in_qemu(Policy::block, "postmigrate", "web01").reason.find("disks"),
            std::string::npos);
}

/// A post-copy migration that runs is waited for; after one that failed the disks are at stake.
TEST(GuardDecision, tells_a_post_copy_migration_that_runs_from_one_that_failed) {
  EXPECT_TRUE(is_passing(cause_of_pause(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY)));
  EXPECT_EQ(cause_of_pause(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED), "postmigrate");
  EXPECT_FALSE(is_passing("postmigrate"));
  EXPECT_FALSE(is_passing(cause_of_pause(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR)));
  EXPECT_FALSE(is_passing(cause_of_pause(VIR_DOMAIN_PMSUSPENDED, 0)));
}

TEST(GuardDecision, does_what_the_policy_says_of_a_pause) {
  EXPECT_EQ(on_pause(Policy::warn, Condition::paused_by_user).act, Act::report);
  EXPECT_EQ(on_pause(Policy::allow, Condition::paused_by_user).act, Act::nothing);
}

TEST(GuardDecision, aborts_jobs_that_copy_the_devices_state) {
  for (const Job job : {Job::migration, Job::save, Job::dump, Job::snapshot})
    EXPECT_EQ(on_job(Policy::block, job, JobSeen::migrating).act, Act::undo) << to_string(job);
  EXPECT_EQ(on_job(Policy::block, Job::save, JobSeen::migrating).reason,
            "save of a domain with a GPU (migration = block)");
}

TEST(GuardDecision, leaves_other_jobs_alone) {
  for (const Job job : {Job::none, Job::other})
    EXPECT_EQ(on_job(Policy::block, job, JobSeen::migrating).act, Act::nothing) << to_string(job);
}

TEST(GuardDecision, leaves_a_dump_and_a_snapshot_alone_that_may_be_without_devices) {
  EXPECT_EQ(on_job(Policy::block, Job::dump, JobSeen::by_name).act, Act::nothing);
  EXPECT_EQ(on_job(Policy::block, Job::snapshot, JobSeen::by_name).act, Act::nothing);
  EXPECT_EQ(on_job(Policy::block, Job::migration, JobSeen::by_name).act, Act::undo);
  EXPECT_EQ(on_job(Policy::block, Job::save, JobSeen::by_name).act, Act::undo);
}

TEST(GuardDecision, does_what_the_policy_says_of_a_job) {
  EXPECT_EQ(on_job(Policy::warn, Job::migration, JobSeen::migrating).act, Act::report);
  EXPECT_EQ(on_job(Policy::allow, Job::migration, JobSeen::migrating).act, Act::nothing);
}

TEST(GuardDecision, takes_back_memory_that_was_added) {
  const Decision added = on_memory(Policy::block, 0, 524288);
  EXPECT_EQ(added.act, Act::undo);
  EXPECT_EQ(added.reason, "memory of 512 MiB was added while running (memory-hotplug = block)");
  const Decision grown = on_memory(Policy::warn, 131072, 524288);
  EXPECT_EQ(grown.act, Act::report);
  EXPECT_EQ(grown.reason, "memory device grew from 128 MiB to 512 MiB (memory-hotplug = warn)");
}

TEST(GuardDecision, leaves_memory_alone_that_is_as_it_was_or_less) {
  EXPECT_EQ(on_memory(Policy::block, 524288, 524288).act, Act::nothing);
  EXPECT_EQ(on_memory(Policy::block, 524288, 131072).act, Act::nothing);
  EXPECT_EQ(on_memory(Policy::allow, 0, 524288).act, Act::nothing);
}

TEST(GuardDecision, takes_out_gpus_alone_and_only_those_that_were_not_there) {
  EXPECT_EQ(on_hostdev(Policy::block, true, false).act, Act::undo);
  EXPECT_EQ(on_hostdev(Policy::block, true, true).act, Act::nothing);
  EXPECT_EQ(on_hostdev(Policy::block, false, false).act, Act::nothing);
  EXPECT_EQ(on_hostdev(Policy::allow, true, false).act, Act::nothing);
}

TEST(GuardDecision, reports_a_gpu_that_left_as_nothing_brings_it_back) {
  EXPECT_EQ(on_hostdev_gone(Policy::block, true).act, Act::report);
  EXPECT_EQ(on_hostdev_gone(Policy::block, false).act, Act::nothing);
  EXPECT_EQ(on_hostdev_gone(Policy::allow, true).act, Act::nothing);
}

}  // namespace
}  // namespace gpuward
