// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/reconcile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "base/file.hpp"
#include "fake_host.hpp"
#include "state/claim_store.hpp"
#include "state/gpu_domain_marker.hpp"
#include "state/start_permit.hpp"

namespace gpuward {
namespace {

using Result = Reconciled::Result;
using State = ClaimedDevice::State;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Deadlines deadlines{milliseconds(60'000), milliseconds(60'000), milliseconds(50)};

const Uuid vm = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const Uuid vm2 = *parse_uuid("d0000000-0000-4000-8000-000000000002");
const Uuid one = *parse_uuid("00000000-0000-5000-8000-000000000001");
const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000009");

std::optional<bool> off(const Uuid&) {
  return false;
}
std::optional<bool> on(const Uuid&) {
  return true;
}
std::optional<bool> unknown(const Uuid&) {
  return {};
}

class ReconcileTest : public testing::Test {
 protected:
  ReconcileTest() {
    host_.parent("mbochs").type("mbochs-small", 8);
    host_.instance("mbochs", "mbochs-small", one);
    host_.instance("mbochs", "mbochs-small", foreign);
    claims_.make_ready();
    claims_.write(claim_);
  }
  /// What became of the only claim.
  Reconciled result(const IsActive& is_active, bool dry_run = false) {
    const auto all = reconcile(host_.root(), is_active, deadlines, dry_run);
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? Reconciled{} : all[0];
  }
  void expect_untouched() {
    EXPECT_THAT(host_.writes(), IsEmpty());
    EXPECT_TRUE(claims_.find(vm));
  }
  FakeHost host_;
  Claims claims_{host_.root()};
  Claim claim_{
      vm, "vm1", {{State::claimed, "ua-gpuward-0", "small", one, "mbochs", "mbochs-small"}}};
};

TEST_F(ReconcileTest, a_host_without_claims_has_nothing_to_do) {
  claims_.drop(vm);
  EXPECT_THAT(reconcile(host_.root(), off, deadlines, false), IsEmpty());
}

TEST_F(ReconcileTest, an_orphan_is_given_back) {
  const Reconciled done = result(off);
  EXPECT_EQ(done.result, Result::given_back);
  EXPECT_EQ(done.name, "vm1");
  EXPECT_FALSE(claims_.find(vm));
  EXPECT_EQ(host_.instances().size(), 1u);
  EXPECT_TRUE(host_.instances().contains(foreign));
}

TEST_F(ReconcileTest, a_domain_that_is_on_keeps_its_own) {
  EXPECT_EQ(result(on).result, Result::in_use);
  expect_untouched();
}

TEST_F(ReconcileTest, without_an_answer_of_libvirt_nothing_is_touched) {
  const Reconciled left = result(unknown);
  EXPECT_EQ(left.result, Result::left_alone);
  EXPECT_THAT(left.reason, HasSubstr("cannot query"));
  expect_untouched();
}

TEST_F(ReconcileTest, a_device_that_a_process_has_open_is_left_alone) {
  host_.opens(4711, "qemu-system-x86", one);
  const Reconciled left = result(off);
  EXPECT_EQ(left.result, Result::left_alone);
  EXPECT_THAT(left.reason, HasSubstr("process 4711 (qemu-system-x86)"));
  expect_untouched();
  EXPECT_EQ(claims_.find(vm)->devices[0].state, State::claimed);
}

TEST_F(ReconcileTest, a_domain_that_is_worked_on_is_in_use) {
  const auto lock = claims_.lock_domain(vm, milliseconds(60'000));
  EXPECT_EQ(result(off).result, Result::in_use);
  expect_untouched();
}

TEST_F(ReconcileTest, a_domain_that_starts_while_libvirt_is_asked_is_in_use) {
  const auto starts = [&](const Uuid&) -> std::optional<bool> {
    claims_.write(claim_);
    return false;
  };
  EXPECT_EQ(result(starts).result, Result::in_use);
  expect_untouched();
}

TEST_F(ReconcileTest, one_that_is_released_while_libvirt_is_asked_is_not_touched) {
  const auto released = [&](const Uuid&) -> std::optional<bool> {
    claims_.drop(vm);
    return false;
  };
  EXPECT_EQ(result(released).result, Result::in_use);
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ReconcileTest, what_the_kernel_does_not_let_go_of_is_quarantined) {
  host_.remove_fails(one, EBUSY);
  const Reconciled stuck = result(off);
  EXPECT_EQ(stuck.result, Result::quarantined);
  EXPECT_THAT(stuck.reason, HasSubstr("Device or resource busy"));
  EXPECT_EQ(claims_.find(vm)->devices[0].state, State::quarantined);
}

TEST_F(ReconcileTest, what_was_quarantined_is_tried_again) {
  host_.remove_fails(one, EBUSY);
  result(off);
  host_.behaves();
  EXPECT_EQ(result(off).result, Result::given_back);
  EXPECT_FALSE(claims_.find(vm));
}

TEST_F(ReconcileTest, what_was_quarantined_stays_while_its_domain_is_on_again) {
  claim_.devices[0].state = State::quarantined;
  claims_.write(claim_);
  const Reconciled kept = result(on);
  EXPECT_EQ(kept.result, Result::quarantined);
  EXPECT_THAT(kept.reason, HasSubstr("not retried while the domain runs; run: virsh shutdown vm1"));
  expect_untouched();
}

/// It runs with another device.
TEST_F(ReconcileTest, the_quarantine_of_a_running_domain_is_reported_with_what_ends_it) {
  claim_.devices[0].state = State::quarantined;
  claim_.devices.push_back(
      {State::claimed, "ua-gpuward-1", "small", foreign, "mbochs", "mbochs-small"});
  claims_.write(claim_);
  for (const bool dry_run : {true, false}) {
    const Reconciled kept = result(on, dry_run);
    EXPECT_EQ(kept.result, Result::quarantined);
    EXPECT_THAT(kept.reason, HasSubstr("remains quarantined: not retried while the domain runs"));
    expect_untouched();
  }
}

TEST_F(ReconcileTest, a_claim_that_cannot_be_read_is_left_alone_and_told) {
  const std::string file = host_.root().run("claims/") + to_string(vm);
  write_file_atomically(file, "rubbish\n");
  const Reconciled left = result(off);
  EXPECT_EQ(left.result, Result::left_alone);
  EXPECT_EQ(left.name, file);
  EXPECT_THAT(left.reason, HasSubstr(file + " line 1: "));
  EXPECT_TRUE(exists(file));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ReconcileTest, one_that_fails_does_not_stop_the_others) {
  Claim second = claim_;
  second.domain = vm2;
  second.name = "vm2";
  second.devices.clear();
  claims_.write(second);
  const auto breaks = [&](const Uuid& domain) -> std::optional<bool> {
    if (domain == vm) write_file_atomically(host_.root().run("claims/") + to_string(vm2), "x\n");
    return false;
  };
  const auto all = reconcile(host_.root(), breaks, deadlines, false);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].result, Result::given_back);
  EXPECT_EQ(all[1].result, Result::left_alone);
}

TEST_F(ReconcileTest, a_dry_run_tells_and_touches_neither_kernel_nor_claims) {
  const auto before_sys = host_.tree("/sys");
  const auto before_claims = host_.tree("/run/gpuward/claims");
  const Reconciled would = result(off, true);
  EXPECT_EQ(would.result, Result::given_back);
  EXPECT_EQ(host_.tree("/sys"), before_sys);
  EXPECT_EQ(host_.tree("/run/gpuward/claims"), before_claims);
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ReconcileTest, many_at_once_give_back_once) {
  const auto statuses = in_processes(6, [&](int) {
    for (const Reconciled& done : reconcile(host_.root(), off, deadlines, false))
      if (done.result != Result::given_back && done.result != Result::in_use) return 1;
    return 0;
  });
  EXPECT_EQ(statuses, std::vector<int>(6, 0));
  EXPECT_FALSE(claims_.find(vm));
  EXPECT_EQ(host_.writes().size(), 1u);
}

TEST_F(ReconcileTest, a_mark_goes_with_its_domain_and_not_on_doubt) {
  mark_gpu_domain(host_.root(), vm2, "vm2");
  for (const auto& is_active : {on, unknown}) {
    reconcile(host_.root(), is_active, deadlines, false);
    EXPECT_THAT(guarded_domains(host_.root()), testing::ElementsAre(vm2));
  }
  reconcile(host_.root(), off, deadlines, true);
  EXPECT_THAT(guarded_domains(host_.root()), testing::ElementsAre(vm2)) << "a dry run";
  reconcile(host_.root(), off, deadlines, false);
  EXPECT_THAT(guarded_domains(host_.root()), IsEmpty());
}

TEST_F(ReconcileTest, a_mark_that_cannot_be_removed_is_told) {
  make_directories(host_.root().run("gpu-domains/" + to_string(vm2)));
  const auto results = reconcile(host_.root(), off, deadlines, false);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[1].result, Result::left_alone);
  EXPECT_EQ(results[1].name, to_string(vm2));
  EXPECT_THAT(results[1].reason, HasSubstr("cannot remove"));
}

TEST_F(ReconcileTest, a_mark_that_cannot_be_looked_at_is_told) {
  make_directories(host_.root().run("gpu-domains"));
  const std::string path = host_.root().run("gpu-domains/" + to_string(vm2));
  std::filesystem::create_symlink(path, path);  // ELOOP
  const auto results = reconcile(host_.root(), off, deadlines, false);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[1].result, Result::left_alone);
  EXPECT_THAT(results[1].reason, HasSubstr("cannot read"));
}

TEST_F(ReconcileTest, what_a_killed_process_wrote_of_a_mark_goes_but_not_what_one_is_writing) {
  host_.process(4712, "gpuward", {});
  const std::string file = "/run/gpuward/gpu-domains/" + to_string(vm2) + ".tmp";
  host_.file(file + "4711", "we");
  host_.file(file + "4712", "we");
  reconcile(host_.root(), off, deadlines, false);
  EXPECT_THAT(list_directory(host_.root().run("gpu-domains")),
              testing::ElementsAre(to_string(vm2) + ".tmp4712"));
}

TEST_F(ReconcileTest, a_mark_of_a_domain_that_starts_meanwhile_stays) {
  mark_gpu_domain(host_.root(), vm2, "vm2");
  const auto starts = [&](const Uuid& domain) -> std::optional<bool> {
    if (domain == vm2) mark_gpu_domain(host_.root(), vm2, "vm2");
    return false;
  };
  reconcile(host_.root(), starts, deadlines, false);
  EXPECT_THAT(guarded_domains(host_.root()), testing::ElementsAre(vm2));
}

TEST_F(ReconcileTest, what_is_shown_of_a_domain_started_anyway_goes_with_its_domain) {
  make_directories(host_.root().run("started-anyway"));
  const auto shown_domains = [&] { return domains_started_anyway(host_.root()); };
  record_started_anyway(host_.root(), {vm2, "vm2", "ticket 4711", 1});
  for (const auto& is_active : {on, unknown}) {
    reconcile(host_.root(), is_active, deadlines, false);
    EXPECT_THAT(shown_domains(), testing::ElementsAre(vm2));
  }
  reconcile(host_.root(), off, deadlines, true);
  EXPECT_THAT(shown_domains(), testing::ElementsAre(vm2)) << "a dry run";
  reconcile(host_.root(), off, deadlines, false);
  EXPECT_THAT(shown_domains(), IsEmpty());
}

}  // namespace
}  // namespace gpuward
