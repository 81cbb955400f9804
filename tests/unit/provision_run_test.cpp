// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/file.hpp"
#include "fake_host.hpp"
#include "mdev/provisioned.hpp"
#include "provision/provision.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(50)};
constexpr Deadlines hasty{milliseconds(60'000), milliseconds(1000), milliseconds(50)};
const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000009");

class ProvisionTest : public testing::Test {
 protected:
  ProvisionTest() {
    host_.parent("mbochs").type("mbochs-small", 8).type("mbochs-large", 2);
    host_.parent("mtty").type("mtty-1", 8);
    want("mbochs", {{"mbochs-small", 4}});
  }
  void want(const std::string& parent, std::vector<InstanceCount> instances) {
    GpuSection section;
    section.selector.by = GpuSelector::By::name;
    section.selector.name = parent;
    section.instances = std::move(instances);
    std::erase_if(config_.gpus, [&](const auto& s) { return s.selector.name == parent; });
    config_.gpus.push_back(section);
  }
  Provisioned run(const Deadlines& deadlines = patient) {
    return provision(host_.root(), config_, deadlines);
  }
  void expect_nothing(const Provisioned& done) {
    EXPECT_THAT(done.created, IsEmpty());
    EXPECT_THAT(done.removed, IsEmpty());
    EXPECT_THAT(done.kept, IsEmpty());
    EXPECT_THAT(done.failed, IsEmpty());
  }
  size_t count(const std::string& where) {
    const auto all = host_.instances();
    return static_cast<size_t>(
        std::count_if(all.begin(), all.end(), [&](const auto& i) { return i.second == where; }));
  }
  FakeHost host_;
  Config config_;
};

TEST_F(ProvisionTest, makes_what_is_wanted_with_its_stable_uuids) {
  const Provisioned done = run();
  EXPECT_THAT(done.created, SizeIs(4));
  EXPECT_THAT(done.failed, IsEmpty());
  EXPECT_EQ(count("mbochs/mbochs-small"), 4u);
  EXPECT_TRUE(host_.instances().contains(provisioned_uuid("mbochs", "mbochs-small", 3)));
}

TEST_F(ProvisionTest, the_second_time_there_is_nothing_to_do) {
  run();
  const auto before = host_.tree("");
  expect_nothing(run());
  EXPECT_EQ(host_.tree(""), before);
}

TEST_F(ProvisionTest, ten_at_once_are_as_one) {
  const auto statuses = in_processes(10, [&](int) {
    const Provisioned done = run();
    return done.failed.empty() ? static_cast<int>(done.created.size()) : 50;
  });
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 4), 1);
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 0), 9);
  EXPECT_THAT(host_.writes(), SizeIs(4));
  EXPECT_EQ(count("mbochs/mbochs-small"), 4u);
}

TEST_F(ProvisionTest, a_parent_that_comes_later_is_served_then) {
  want("late", {{"t", 2}});
  EXPECT_THAT(run().failed, IsEmpty());
  host_.parent("late").type("t", 4);
  EXPECT_THAT(run().created, SizeIs(2));
  host_.parent_goes("late");
  expect_nothing(run());
}

TEST_F(ProvisionTest, less_wanted_removes_the_rest) {
  run();
  want("mbochs", {{"mbochs-small", 1}});
  EXPECT_THAT(run().removed, SizeIs(3));
  EXPECT_EQ(count("mbochs/mbochs-small"), 1u);
}

TEST_F(ProvisionTest, an_empty_configuration_takes_all_of_ours_back_and_no_more) {
  host_.instance("mbochs", "mbochs-small", foreign);
  run();
  config_ = Config();
  EXPECT_THAT(run().removed, SizeIs(4));
  EXPECT_EQ(host_.instances().size(), 1u);
  EXPECT_TRUE(host_.instances().contains(foreign));
}

TEST_F(ProvisionTest, room_is_made_before_it_is_needed) {
  want("mbochs", {{"mbochs-small", 8}});
  run();
  want("mbochs", {{"mbochs-large", 2}});
  const Provisioned done = run();
  EXPECT_THAT(done.removed, SizeIs(8));
  EXPECT_THAT(done.created, SizeIs(2));
  EXPECT_THAT(done.failed, IsEmpty());
}

TEST_F(ProvisionTest, what_is_open_is_kept_and_the_process_named) {
  run();
  const Uuid open = provisioned_uuid("mbochs", "mbochs-small", 2);
  host_.opens(4711, "qemu-system-x86", open);
  config_ = Config();
  const Provisioned done = run();
  EXPECT_THAT(done.removed, SizeIs(3));
  ASSERT_THAT(done.kept, SizeIs(1));
  EXPECT_THAT(done.kept[0], HasSubstr(to_string(open)));
  EXPECT_THAT(done.kept[0], HasSubstr("process 4711 (qemu-system-x86)"));
  EXPECT_TRUE(host_.instances().contains(open));
}

TEST_F(ProvisionTest, where_there_is_less_room_what_fits_is_made_and_the_rest_told) {
  want("mbochs", {{"mbochs-small", 11}, {"mbochs-large", 1}});
  want("mtty", {{"mtty-1", 2}});
  const Provisioned done = run();
  EXPECT_EQ(count("mbochs/mbochs-small"), 8u);
  EXPECT_EQ(count("mtty/mtty-1"), 2u) << "another GPU is not held up";
  ASSERT_THAT(done.failed, SizeIs(2));
  EXPECT_EQ(
      done.failed[0],
      "mbochs: 3 of 11 instances of mbochs-small cannot be created: available_instances is 8; "
      "reduce instances in the [gpu] section");
  EXPECT_EQ(done.failed[1],
            "mbochs: 1 of 1 instances of mbochs-large cannot be created: No space left on device; "
            "reduce instances in the [gpu] section or shut down a domain that uses one")
      << "how its types share it only the kernel knows";
}

TEST_F(ProvisionTest, what_does_not_fit_is_not_tried) {
  want("mbochs", {{"mbochs-small", 1000}});
  run();
  EXPECT_THAT(host_.writes(), SizeIs(8));
}

/// Another program was faster.
TEST_F(ProvisionTest, after_no_room_the_same_is_not_tried_over_and_over) {
  host_.create_fails("mbochs", "mbochs-small", ENOSPC);
  const Provisioned done = run();
  ASSERT_THAT(done.failed, SizeIs(1));
  EXPECT_EQ(done.failed[0],
            "mbochs: 4 of 4 instances of mbochs-small cannot be created: No space left on device; "
            "reduce instances in the [gpu] section or shut down a domain that uses one");
  EXPECT_THAT(host_.writes(), SizeIs(1));
}

TEST_F(ProvisionTest, a_create_that_hangs_is_told_and_other_gpus_are_served) {
  want("mtty", {{"mtty-1", 2}});
  host_.create_hangs("mbochs", "mbochs-small");
  const Provisioned done = run(hasty);
  ASSERT_THAT(done.failed, SizeIs(1));
  EXPECT_THAT(done.failed[0], HasSubstr("creation is blocked in the kernel (process "));
  EXPECT_EQ(count("mtty/mtty-1"), 2u);
}

TEST_F(ProvisionTest, a_remove_that_hangs_is_kept_and_told) {
  run();
  host_.remove_hangs(provisioned_uuid("mbochs", "mbochs-small", 0));
  config_ = Config();
  const Provisioned done = run(hasty);
  EXPECT_THAT(done.removed, SizeIs(3));
  ASSERT_THAT(done.kept, SizeIs(1));
  EXPECT_THAT(done.kept[0], HasSubstr("blocked in the kernel"));
}

TEST_F(ProvisionTest, any_other_failure_is_told_with_its_errno) {
  host_.create_fails("mbochs", "mbochs-small", EIO);
  const Provisioned done = run();
  ASSERT_THAT(done.failed, SizeIs(1));
  EXPECT_THAT(done.failed[0], HasSubstr("Input/output error"));
}

TEST_F(ProvisionTest, an_instance_that_a_killed_process_created_counts) {
  const Uuid second = provisioned_uuid("mbochs", "mbochs-small", 1);
  host_.before_write = [&](const std::string& line) {
    if (line.find(to_string(second)) == line.npos) return;
    host_.instance("mbochs", "mbochs-small", second);
    die();
  };
  const Provisioned done = run();
  EXPECT_THAT(done.failed, IsEmpty());
  EXPECT_THAT(done.created, SizeIs(4));
  EXPECT_EQ(count("mbochs/mbochs-small"), 4u);
}

TEST_F(ProvisionTest, a_process_killed_before_it_created_one_is_reported) {
  want("mtty", {{"mtty-1", 2}});
  const Uuid first = provisioned_uuid("mbochs", "mbochs-small", 0);
  host_.before_write = [&](const std::string& line) {
    if (line.find(to_string(first)) != line.npos) die();
  };
  const Provisioned done = run();
  EXPECT_THAT(done.failed, ElementsAre("mbochs-small on mbochs: process creating " +
                                       to_string(first) + " died; check: journalctl -k"));
  EXPECT_EQ(count("mtty/mtty-1"), 2u);
}

TEST_F(ProvisionTest, what_mdevctl_has_made_already_is_adopted) {
  const Uuid shared = provisioned_uuid("mbochs", "mbochs-small", 0);
  host_.mdevctl_definition("mbochs", shared);
  host_.instance("mbochs", "mbochs-small", shared);
  const Provisioned done = run();
  EXPECT_THAT(done.created, SizeIs(3));
  EXPECT_THAT(done.failed, IsEmpty());
}

/// With a ready instance that its author has written into the XML.
struct ProvisionClaimedTest : ProvisionTest {
  ProvisionClaimedTest() {
    run();
    config_ = Config();
  }
  void claim() {
    const Claims claims(host_.root());
    claims.make_ready();
    claims.write({domain,
                  "web",
                  {{.alias = "hostdev0",
                    .profile = "-",
                    .instance = ready,
                    .parent = "mbochs",
                    .type = "mbochs-small"}}});
  }
  const Uuid domain = *parse_uuid("d0000000-0000-4000-8000-000000000001");
  const Uuid ready = provisioned_uuid("mbochs", "mbochs-small", 2);
};

TEST_F(ProvisionClaimedTest, what_a_claim_names_is_kept_and_the_domain_named) {
  claim();
  const Provisioned done = run();
  EXPECT_THAT(done.removed, SizeIs(3));
  EXPECT_THAT(done.kept, ElementsAre("instance " + to_string(ready) +
                                     " on mbochs: no longer configured, not removed: "
                                     "in use by domain 'web'"));
  EXPECT_TRUE(host_.instances().contains(ready));
}

TEST_F(ProvisionClaimedTest, all_are_kept_while_a_claim_cannot_be_read) {
  host_.file("/run/gpuward/claims/" + to_string(domain), "no claim");
  const Provisioned done = run();
  EXPECT_THAT(done.removed, IsEmpty());
  ASSERT_THAT(done.kept, SizeIs(4));
  EXPECT_THAT(done.kept[0], HasSubstr("claim of domain " + to_string(domain)));
}

TEST_F(ProvisionClaimedTest, what_is_claimed_after_the_plan_was_made_is_kept) {
  const std::string ours = "remove " + to_string(ready);
  host_.before_write = [&](const std::string& line) {  // while another is removed
    if (line != ours) claim();
  };
  const Provisioned done = run();
  EXPECT_TRUE(host_.instances().contains(ready));
  ASSERT_THAT(done.kept, SizeIs(1));
  EXPECT_THAT(done.kept[0], HasSubstr("in use by domain 'web'"));
}

/// A domain that starts waits for the host's lock.
TEST_F(ProvisionTest, others_get_the_lock_between_two_instances_that_are_not_removed) {
  want("mbochs", {{"mbochs-small", 8}});
  run();
  for (unsigned number = 0; number < 8; ++number)
    host_.remove_fails(provisioned_uuid("mbochs", "mbochs-small", number), EBUSY);
  config_ = Config();
  const size_t before = host_.writes().size();
  size_t removals = 8;
  std::thread other([&] {
    while (host_.writes().size() == before) std::this_thread::sleep_for(milliseconds(1));
    const auto lock = Claims(host_.root()).lock_host(milliseconds(60'000));
    if (lock) removals = host_.writes().size() - before;
  });
  EXPECT_THAT(run().kept, SizeIs(8));
  other.join();
  EXPECT_LT(removals, 8u);
}

TEST_F(ProvisionTest, others_get_the_lock_while_a_removal_is_blocked) {
  run();
  host_.remove_hangs(provisioned_uuid("mbochs", "mbochs-small", 0));
  config_ = Config();
  const size_t before = host_.writes().size();
  std::thread other([&] {
    while (host_.writes().size() == before) std::this_thread::sleep_for(milliseconds(1));
    const auto lock = Claims(host_.root()).lock_host(milliseconds(60'000));
    host_.lets_go();
  });
  const Provisioned done = run({milliseconds(60'000), milliseconds(60'000), milliseconds(50)});
  other.join();
  EXPECT_THAT(done.removed, SizeIs(4));
  EXPECT_THAT(done.kept, IsEmpty());
}

TEST_F(ProvisionTest, claims_of_domains_are_not_looked_at_nor_their_instances_removed) {
  const Uuid domains = name_uuid(foreign, "ua-gpuward-0");
  host_.instance("mbochs", "mbochs-small", domains);
  config_ = Config();
  expect_nothing(run());
  EXPECT_TRUE(host_.instances().contains(domains));
}

/// 4Q stays on the card while a domain has one: no 8Q can be created beside it.
TEST_F(ProvisionTest, what_cannot_be_removed_makes_no_room) {
  const std::string card = "0000:41:00.0";
  for (const auto& [type, most] : {std::pair("8Q", 2), {"4Q", 4}})
    host_.parent(card)
        .type(type, static_cast<unsigned>(most))
        .attribute("mdev_supported_types/" + std::string(type) + "/description",
                   "framebuffer=" + std::to_string(16384 / most) +
                       "M, max_instance=" + std::to_string(most));
  for (unsigned number = 0; number < 3; ++number)
    host_.instance(card, "4Q", provisioned_uuid(card, "4Q", number));
  const Claims claims(host_.root());
  claims.make_ready();
  claims.write({foreign,
                "vm1",
                {{.alias = "-",
                  .profile = "-",
                  .instance = provisioned_uuid(card, "4Q", 1),
                  .parent = card,
                  .type = "4Q"}}});
  GpuSection section;
  section.selector.by = GpuSelector::By::address;
  section.selector.address = *parse_pci_address(card);
  section.instances = {{"8Q", 1}};
  config_.gpus = {section};
  const ProvisionPlan plan = plan_host(host_.root(), config_);
  EXPECT_THAT(plan.remove, SizeIs(2));
  EXPECT_THAT(plan.create, IsEmpty());
  const Provisioned done = run();
  EXPECT_THAT(done.kept, SizeIs(1));
  EXPECT_THAT(done.failed, ElementsAre(HasSubstr("all vGPUs of a card have the same memory size")));
}

}  // namespace
}  // namespace gpuward
