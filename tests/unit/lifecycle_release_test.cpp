// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/release.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"
#include "kinds/mdev.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using State = ClaimedDevice::State;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(50)};
constexpr Deadlines hasty{milliseconds(60'000), milliseconds(1000), milliseconds(50)};

const Uuid vm = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const Uuid one = *parse_uuid("00000000-0000-5000-8000-000000000001");
const Uuid two = *parse_uuid("00000000-0000-5000-8000-000000000002");
const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000009");

class GiveBackTest : public testing::Test {
 protected:
  GiveBackTest() {
    host_.parent("mbochs").type("mbochs-small", 8);
    host_.parent("mtty").type("mtty-1", 8);
    host_.instance("mbochs", "mbochs-small", one);
    host_.instance("mtty", "mtty-1", two);
    host_.instance("mbochs", "mbochs-small", foreign);
    claims_.make_ready();
    claims_.write(claim_);
    const auto group =
        read_link(host_.root().sys("bus/mdev/devices/") + to_string(one) + "/iommu_group");
    group_ = "/dev/vfio/" + std::string(base_name(group.value()));
  }
  std::vector<QuarantinedDevice> give_back_now(const Deadlines& deadlines = patient) {
    return release_devices(host_.root(), claims_, *claims_.find(vm), deadlines);
  }
  bool is_there(const Uuid& uuid) { return host_.instances().contains(uuid); }

  FakeHost host_;
  std::string group_;  ///< the node through which `one` is opened
  Claims claims_{host_.root()};
  Claim claim_{vm,
               "vm1",
               {{State::claimed, "ua-gpuward-0", "small", one, "mbochs", "mbochs-small"},
                {State::claimed, "ua-gpuward-1", "port", two, "mtty", "mtty-1"}}};
};

TEST_F(GiveBackTest, removes_what_the_claim_names_and_drops_it) {
  EXPECT_THAT(give_back_now(), IsEmpty());
  EXPECT_FALSE(is_there(one));
  EXPECT_FALSE(is_there(two));
  EXPECT_FALSE(claims_.find(vm));
}

TEST_F(GiveBackTest, touches_nothing_else) {
  give_back_now();
  EXPECT_TRUE(is_there(foreign));
  EXPECT_THAT(host_.writes(), ElementsAre("remove " + to_string(one), "remove " + to_string(two)));
}

TEST_F(GiveBackTest, twice_does_no_harm) {
  give_back_now();
  EXPECT_THAT(release_devices(host_.root(), claims_, claim_, patient), IsEmpty());
  EXPECT_EQ(host_.writes().size(), 2u);
}

TEST_F(GiveBackTest, what_is_gone_already_is_given_back) {
  host_.instance_goes(one);
  EXPECT_THAT(give_back_now(), IsEmpty());
  EXPECT_FALSE(claims_.find(vm));
}

TEST_F(GiveBackTest, a_claim_whose_gpu_was_pulled_is_dropped) {
  host_.parent_goes("mbochs");
  EXPECT_THAT(give_back_now(), IsEmpty());
  EXPECT_FALSE(is_there(two));
  EXPECT_FALSE(claims_.find(vm));
}

TEST_F(GiveBackTest, the_same_uuid_on_another_parent_is_left_alone) {
  claim_.devices = {{State::claimed, "ua-gpuward-0", "small", foreign, "mtty", "mtty-1"}};
  claims_.write(claim_);
  EXPECT_THAT(give_back_now(), IsEmpty());
  EXPECT_TRUE(is_there(foreign));
  EXPECT_FALSE(claims_.find(vm));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(GiveBackTest, what_is_open_is_kept_and_quarantined_and_nothing_written) {
  host_.opens(4711, "qemu-system-x86", one);
  const auto kept = give_back_now();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].reason, "in use by process 4711 (qemu-system-x86)");
  EXPECT_EQ(kept[0].device.instance, one);
  EXPECT_TRUE(is_there(one));
  EXPECT_THAT(host_.writes(), ElementsAre("remove " + to_string(two)));
}

TEST_F(GiveBackTest, what_is_kept_stays_in_the_claim_alone) {
  host_.opens(4711, "qemu-system-x86", one);
  give_back_now();
  const auto claim = claims_.find(vm);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->name, "vm1");
  ASSERT_EQ(claim->devices.size(), 1u);
  EXPECT_EQ(claim->devices[0].instance, one);
  EXPECT_EQ(claim->devices[0].state, State::quarantined);
}

TEST_F(GiveBackTest, what_was_kept_goes_when_it_is_closed) {
  host_.opens(4711, "qemu-system-x86", one);
  give_back_now();
  host_.ends(4711);
  EXPECT_THAT(give_back_now(), IsEmpty());
  EXPECT_FALSE(is_there(one));
  EXPECT_FALSE(claims_.find(vm));
}

TEST_F(GiveBackTest, a_process_that_ends_a_moment_later_is_waited_for) {
  host_.opens(4711, "qemu-system-x86", one);
  const Deadlines waiting{milliseconds(60'000), milliseconds(60'000), milliseconds(60'000)};
  const auto statuses = in_processes(2, [&](int number) {
    if (number == 1) host_.ends(4711);
    return number == 0 && !give_back_now(waiting).empty() ? 1 : 0;
  });
  EXPECT_THAT(statuses, ElementsAre(0, 0));
  EXPECT_FALSE(is_there(one));
}

TEST_F(GiveBackTest, a_removal_that_hangs_is_kept_and_its_process_named) {
  host_.remove_hangs(one);
  const auto kept = give_back_now(hasty);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_THAT(kept[0].reason, HasSubstr("removal is blocked in the kernel (process "));
  EXPECT_EQ(claims_.find(vm)->devices[0].state, State::quarantined);
  EXPECT_FALSE(is_there(two)) << "the others go";
}

TEST_F(GiveBackTest, a_removal_that_hangs_is_not_begun_again_and_ends_when_it_ends) {
  host_.remove_hangs(one);
  give_back_now(hasty);
  host_.behaves();
  const auto kept = give_back_now(hasty);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_THAT(kept[0].reason, HasSubstr("removal is blocked in the kernel until"));
  EXPECT_EQ(claims_.find(vm)->devices.size(), 1u);
  EXPECT_EQ(host_.writes().size(), 2u) << "one for each device";
  host_.lets_go();
  EXPECT_THAT(give_back_now(), IsEmpty());
  EXPECT_FALSE(claims_.find(vm));
}

TEST_F(GiveBackTest, one_whose_removal_hangs_still_shows_who_has_it_open) {
  host_.remove_hangs(one);
  give_back_now(hasty);
  host_.process(4711, "qemu-system-x86", {group_});
  EXPECT_EQ(give_back_now(hasty).at(0).reason, "in use by process 4711 (qemu-system-x86)");
}

TEST_F(GiveBackTest, a_removal_that_the_kernel_refuses_is_kept) {
  for (const int code : {EBUSY, EAGAIN, EIO}) {
    host_.remove_fails(one, code);
    const auto kept = give_back_now();
    ASSERT_EQ(kept.size(), 1u);
    EXPECT_EQ(kept[0].reason, "kernel rejected the removal: " + errno_text(code));
  }
}

TEST_F(GiveBackTest, an_instance_that_stays_after_the_write_is_kept) {
  host_.remove_lingers(one);
  const auto kept = give_back_now(hasty);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_THAT(kept[0].reason, HasSubstr("still exists"));
}

TEST_F(GiveBackTest, one_that_another_is_removing_is_given_back_when_it_goes) {
  host_.remove_fails(one, ENODEV);
  EXPECT_EQ(give_back_now(hasty).size(), 1u) << "it has not gone yet";
  host_.instance_goes(one);
  EXPECT_THAT(give_back_now(), IsEmpty());
}

TEST_F(GiveBackTest, many_at_once_remove_each_once_and_end_well) {
  const auto statuses = in_processes(6, [&](int) {
    const auto lock = claims_.lock_domain(vm, milliseconds(60'000));
    if (!lock) return 1;
    const auto claim = claims_.find(vm);
    return claim && !release_devices(host_.root(), claims_, *claim, patient).empty() ? 2 : 0;
  });
  EXPECT_EQ(statuses, std::vector<int>(6, 0));
  EXPECT_EQ(host_.writes().size(), 2u);
}

TEST_F(GiveBackTest, a_claim_that_cannot_be_written_is_told) {
  host_.opens(4711, "qemu-system-x86", one);
  const Claim claim = *claims_.find(vm);
  claims_.drop(vm);
  make_directories(host_.root().run("claims/") + to_string(vm));
  EXPECT_THROW(release_devices(host_.root(), claims_, claim, patient), SystemError);
}

TEST_F(GiveBackTest, remove_instance_of_what_is_not_there_is_well) {
  EXPECT_EQ(remove_instance(host_.root(), vm, patient).failure, "");
}

}  // namespace
TEST(QuarantineReason, EndsWithTheOneCommandThatHelps) {
  ClaimedDevice device;
  device.alias = "ua-gpuward-0";
  device.use = Use::whole;
  device.address = *parse_pci_address("0000:41:00.0");
  device.scrub = "/usr/bin/scrub";
  EXPECT_EQ(quarantine_reason({device, "scrub program failed"}).remedy, "run: gpuward reconcile");
  device.scrub = unknown_scrub;
  EXPECT_EQ(quarantine_reason({device, "scrub program is unknown"}).remedy,
            "scrub the device, then run: gpuward clear 0000:41:00.0");
}

}  // namespace gpuward
