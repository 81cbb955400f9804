// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/usage.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>

#include "allocation/reassignment.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"
#include "mdev/provisioned.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"

namespace gpuward {
namespace {

using State = ClaimedDevice::State;

const Uuid web = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const PciAddress one{0, 1, 0, 0}, two{0, 2, 0, 0};

struct DevicesInUseTest : testing::Test {
  DevicesInUseTest() { Claims(host_.root()).make_ready(); }
  void claim(State state, Use use) {
    ClaimedDevice device{.state = state,
                         .alias = "ua-gpuward-0",
                         .profile = "big",
                         .instance = {},
                         .parent = "mtty",
                         .type = "-"};
    device.use = use;
    device.address = one;
    Claims(host_.root()).write({web, "web", {device}});
  }
  FakeHost host_;
};

TEST_F(DevicesInUseTest, a_claim_takes_its_device_and_its_domain_is_on) {
  claim(State::claimed, Use::whole);
  const auto found = claimed_devices(host_.root());
  EXPECT_EQ(found.taken.at(one).domain, web);
  EXPECT_EQ(found.taken.at(one).what, "in use by domain 'web'");
  EXPECT_TRUE(found.on.contains(web));
}

TEST_F(DevicesInUseTest, a_domain_with_a_device_in_quarantine_is_off) {
  claim(State::quarantined, Use::whole);
  const auto found = claimed_devices(host_.root());
  EXPECT_EQ(found.taken.at(one).what, "quarantined after use by domain 'web'");
  EXPECT_TRUE(found.on.empty());
}

TEST_F(DevicesInUseTest, an_mdev_takes_no_device_of_a_pool) {
  claim(State::claimed, Use::mdev);
  const auto found = claimed_devices(host_.root());
  EXPECT_TRUE(found.taken.empty());
  EXPECT_TRUE(found.on.contains(web));
}

TEST_F(DevicesInUseTest, a_device_that_is_given_once_is_nobodys) {
  mark_used(host_.root(), two, Uuid{}, "web");
  EXPECT_EQ(claimed_devices(host_.root()).taken.at(two).what,
            "already used by domain 'web' (one-time = yes)");
}

TEST_F(DevicesInUseTest, an_open_device_is_told_from_a_claimed_one) {
  host_.pci_gpu(to_string(one)).attribute("drm/card0/dev", "226:0");
  host_.pci_gpu(to_string(two)).attribute("drm/card1/dev", "226:1");
  host_.process(77, "Xorg", {"/dev/dri/card0", "/dev/dri/card1"});
  claim(State::claimed, Use::whole);
  auto taken = claimed_devices(host_.root()).taken;
  add_open_devices(host_.root(), {one, two}, taken);
  EXPECT_FALSE(taken.at(one).is_process);
  EXPECT_TRUE(taken.at(two).is_process);
  EXPECT_EQ(taken.at(two).what, "in use by process 77 (Xorg)");
}

TEST_F(DevicesInUseTest, an_open_companion_is_taken) {
  const PciAddress audio{0, 1, 0, 1};
  host_.pci_gpu(to_string(one));
  host_.pci_gpu(to_string(audio));
  host_.iommu_group(9, {to_string(audio)});
  host_.process(77, "qemu", {"/dev/vfio/9"});
  DevicesInUse taken;
  add_open_devices(host_.root(), devices_of({{"big", {{one, {}, {}, {one, audio}, true}}}}), taken);
  EXPECT_TRUE(taken.contains(audio));
  EXPECT_FALSE(taken.contains(one));
}

TEST_F(DevicesInUseTest, what_is_in_quarantine_is_taken_from_its_last_owner_too) {
  claim(State::claimed, Use::whole);
  EXPECT_FALSE(taken_devices(host_.root(), web).contains(one));
  claim(State::quarantined, Use::whole);
  EXPECT_TRUE(taken_devices(host_.root(), web).contains(one));
}

/// A card with two VFs on which mdevs can be made.
struct CardInUseTest : DevicesInUseTest {
  CardInUseTest() {
    host_.pci_gpu("0000:41:00.0");
    host_.sriov("0000:41:00.0", 2);
    host_.set_vfs("0000:41:00.0", 2);
    for (const char* vf : {"0000:41:00.1", "0000:41:00.2"}) host_.parent(vf).type("nvidia-63", 1);
    host_.instance("0000:41:00.1", "nvidia-63", mdev);
  }
  void claim_mdev(const Uuid& domain, const std::string& name, const std::string& parent) {
    Claims(host_.root())
        .write({domain,
                name,
                {{.alias = "ua-gpuward-0",
                  .profile = "small",
                  .instance = mdev,
                  .parent = parent,
                  .type = "nvidia-63"}}});
  }
  const Uuid mdev = *parse_uuid("00000000-0000-4000-8000-000000000001");
  const PciAddress card{0, 0x41, 0, 0}, first{0, 0x41, 0, 1}, second{0, 0x41, 0, 2};
};

TEST_F(CardInUseTest, a_claimed_mdev_keeps_its_vf_and_its_card) {
  claim_mdev(web, "web", "0000:41:00.1");
  const auto taken = claimed_devices(host_.root()).taken;
  for (const PciAddress& device : {card, first}) {
    ASSERT_TRUE(taken.contains(device)) << to_string(device);
    EXPECT_EQ(taken.at(device).domain, web);
    EXPECT_EQ(taken.at(device).what,
              "instance " + to_string(mdev) + " on 0000:41:00.1: in use by domain 'web'");
  }
  EXPECT_FALSE(taken.contains(second)) << "another domain may have it";
  EXPECT_EQ(use_of_vfs(host_.root(), card),
            "instance " + to_string(mdev) + " on 0000:41:00.1 is in use by domain 'web'");
}

TEST_F(CardInUseTest, a_card_is_known_by_the_link_of_its_vf_alone) {
  claim_mdev(web, "web", "0000:41:00.1");
  ASSERT_TRUE(
      std::filesystem::remove(host_.root().sys("bus/pci/devices/0000:41:00.1/") + "vendor"));
  EXPECT_TRUE(claimed_devices(host_.root()).taken.contains(card));
}

TEST_F(CardInUseTest, an_open_mdev_keeps_its_vf_and_its_card) {
  host_.opens(77, "qemu", mdev);
  DevicesInUse taken;
  add_open_devices(host_.root(), {card, first, second}, taken);
  const std::string what =
      "instance " + to_string(mdev) + " on 0000:41:00.1: in use by process 77 (qemu)";
  for (const PciAddress& device : {card, first}) {
    ASSERT_TRUE(taken.contains(device)) << to_string(device);
    EXPECT_EQ(taken.at(device).what, what);
    EXPECT_TRUE(taken.at(device).is_process);
  }
  EXPECT_FALSE(taken.contains(second));
  EXPECT_EQ(use_of_vfs(host_.root(), card), what);
}

TEST_F(CardInUseTest, a_card_in_use_as_a_whole_keeps_its_vfs) {
  DevicesInUse taken;
  add_own_devices(host_.root(), web, {card}, {}, taken);
  EXPECT_EQ(taken.size(), 3u);
}

TEST_F(CardInUseTest, a_domain_is_not_given_the_card_below_its_own_mdev) {
  DevicesInUse taken;
  add_own_devices(host_.root(), web, {}, {mdev}, taken);
  EXPECT_TRUE(taken.contains(card));
  EXPECT_TRUE(taken.contains(first));
  EXPECT_FALSE(taken.contains(second));
}

TEST_F(CardInUseTest, a_card_that_two_domains_use_is_free_for_neither) {
  const Uuid db = *parse_uuid("d0000000-0000-4000-8000-000000000002");
  claim_mdev(web, "web", "0000:41:00.1");
  claim_mdev(db, "db", "0000:41:00.2");
  EXPECT_TRUE(taken_devices(host_.root(), web).contains(card));
  EXPECT_TRUE(taken_devices(host_.root(), db).contains(card));
  EXPECT_FALSE(taken_devices(host_.root(), web).contains(first));
}

TEST_F(CardInUseTest, vfs_do_not_change_while_a_claim_cannot_be_read) {
  host_.file("/run/gpuward/claims/" + to_string(web), "no claim");
  EXPECT_NE(use_of_vfs(host_.root(), card), "");
}

/// An instance that another program has created, open or not.
TEST_F(CardInUseTest, an_mdev_that_no_domain_has_claimed_keeps_its_vf_and_card) {
  EXPECT_NE(use_of_vfs(host_.root(), card).find("instance " + to_string(mdev)), std::string::npos);
  for (const PciAddress& device : {card, first}) {
    const auto user = open_user_after(host_.root(), device, std::chrono::minutes(10));
    ASSERT_TRUE(user) << to_string(device);
    EXPECT_NE(user->what.find("created by another program"), std::string::npos);
    EXPECT_TRUE(taken_devices(host_.root(), web).contains(device));
  }
  EXPECT_FALSE(open_user_after(host_.root(), second, std::chrono::milliseconds(0)));
}

TEST_F(CardInUseTest, one_that_gpuward_keeps_ready_keeps_nothing) {
  const std::string parent = to_string(second);
  host_.parent(parent).type("nvidia-1", 4);
  host_.instance_goes(mdev);
  host_.instance(parent, "nvidia-1", provisioned_uuid(parent, "nvidia-1", 0));
  EXPECT_EQ(use_of_vfs(host_.root(), card), "");
}

/// Whether the process has the device open is unknown.
struct UnreadableProcessTest : CardInUseTest {
  UnreadableProcessTest() {
    host_.instance_goes(mdev);
    host_.pci_gpu(to_string(first)).attribute("drm/card3/dev", "226:3");
    const std::string directory = host_.root().proc("77");
    make_directories(directory);
    host_.file("/proc/77/comm", "odd\n");
    EXPECT_EQ(::symlink("fd", (directory + "/fd").c_str()), 0);  // ELOOP, also for root
  }
};

TEST_F(UnreadableProcessTest, an_answer_of_nobody_is_refused_with_what_cannot_be_read) {
  try {
    OpenDevices(host_.root()).holder_of(first);
    FAIL() << "it has none";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("the open files of process 77 (odd) cannot be read: "),
              std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("/proc/77/fd"), std::string::npos);
  }
  EXPECT_NE(use_of_vfs(host_.root(), card).find("/proc/77/fd"), std::string::npos);
  EXPECT_THROW(open_user_after(host_.root(), first, std::chrono::milliseconds(0)), Error);
}

TEST_F(UnreadableProcessTest, who_is_seen_is_told_all_the_same) {
  host_.process(78, "Xorg", {"/dev/dri/card3"});
  EXPECT_EQ(OpenDevices(host_.root()).holder_of(first)->pid, 78);
}

TEST_F(UnreadableProcessTest, a_list_shows_what_can_be_seen) {
  EXPECT_FALSE(OpenDevices(host_.root(), Uninspected::ignore).holder_of(first));
  EXPECT_FALSE(taken_devices(host_.root(), web).contains(first));
}

TEST_F(DevicesInUseTest, an_iommu_group_is_in_use_as_a_whole) {
  host_.pci_gpu(to_string(one));
  host_.pci_gpu(to_string(two));
  host_.iommu_group(1, {to_string(one), to_string(two)});
  claim(State::claimed, Use::whole);
  const auto taken = claimed_devices(host_.root()).taken;
  ASSERT_TRUE(taken.contains(two));
  EXPECT_EQ(taken.at(two).what, "IOMMU group 1, device 0000:01:00.0: in use by domain 'web'");
  EXPECT_FALSE(taken_devices(host_.root(), web).contains(two)) << "it may have both";
  claim(State::quarantined, Use::whole);
  EXPECT_FALSE(claimed_devices(host_.root()).taken.contains(two)) << "nobody has the group";
}

}  // namespace
}  // namespace gpuward
