// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/usage.hpp"

#include <gtest/gtest.h>

#include "fake_host.hpp"
#include "hooks/pool_plan.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"

namespace gpuward {
namespace {

using State = ClaimedDevice::State;

const Uuid web = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const PciAddress one{0, 1, 0, 0}, two{0, 2, 0, 0};

struct TakenDevicesTest : testing::Test {
  TakenDevicesTest() { Claims(host_.root()).make_ready(); }
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

TEST_F(TakenDevicesTest, a_claim_takes_its_device_and_its_domain_is_on) {
  claim(State::claimed, Use::whole);
  const auto found = claimed_devices(host_.root());
  EXPECT_EQ(found.taken.at(one).domain, web);
  EXPECT_EQ(found.taken.at(one).what, "web has it");
  EXPECT_TRUE(found.on.contains(web));
}

TEST_F(TakenDevicesTest, a_domain_with_a_device_in_quarantine_is_off) {
  claim(State::quarantined, Use::whole);
  const auto found = claimed_devices(host_.root());
  EXPECT_EQ(found.taken.at(one).what, "it is in quarantine since web had it");
  EXPECT_TRUE(found.on.empty());
}

TEST_F(TakenDevicesTest, an_mdev_takes_no_device_of_a_pool) {
  claim(State::claimed, Use::mdev);
  const auto found = claimed_devices(host_.root());
  EXPECT_TRUE(found.taken.empty());
  EXPECT_TRUE(found.on.contains(web));
}

TEST_F(TakenDevicesTest, a_device_that_is_given_once_is_nobodys) {
  mark_used(host_.root(), two, "web");
  EXPECT_EQ(claimed_devices(host_.root()).taken.at(two).what, "web had it, and it is given once");
}

TEST_F(TakenDevicesTest, an_open_device_is_told_from_a_claimed_one) {
  host_.pci_gpu(to_string(one)).attribute("drm/card0/dev", "226:0");
  host_.pci_gpu(to_string(two)).attribute("drm/card1/dev", "226:1");
  host_.process(77, "Xorg", {"/dev/dri/card0", "/dev/dri/card1"});
  claim(State::claimed, Use::whole);
  auto taken = claimed_devices(host_.root()).taken;
  add_open_devices(host_.root(), {one, two}, taken);
  EXPECT_FALSE(taken.at(one).is_process);
  EXPECT_TRUE(taken.at(two).is_process);
  EXPECT_EQ(taken.at(two).what, "it is open in pid 77 (Xorg)");
}

TEST_F(TakenDevicesTest, an_open_companion_is_taken) {
  const PciAddress audio{0, 1, 0, 1};
  host_.pci_gpu(to_string(one));
  host_.pci_gpu(to_string(audio));
  host_.iommu_group(9, {to_string(audio)});
  host_.process(77, "qemu", {"/dev/vfio/9"});
  TakenDevices taken;
  add_open_devices(host_.root(), devices_of({{"big", {{one, {}, {}, {one, audio}, true}}}}), taken);
  EXPECT_TRUE(taken.contains(audio));
  EXPECT_FALSE(taken.contains(one));
}

TEST_F(TakenDevicesTest, what_is_in_quarantine_is_taken_from_its_last_owner_too) {
  claim(State::claimed, Use::whole);
  EXPECT_FALSE(taken_devices(host_.root(), web).contains(one));
  claim(State::quarantined, Use::whole);
  EXPECT_TRUE(taken_devices(host_.root(), web).contains(one));
}

}  // namespace
}  // namespace gpuward
