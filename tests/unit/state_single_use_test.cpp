// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/single_use.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"
#include "pci/pci_device.hpp"
#include "pci_fixtures.hpp"
#include "started_log.hpp"
#include "state/paths.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// Configuration space whose first extended capability is PCIe's serial number.
std::string config_space_with_serial(unsigned number) {
  std::string bytes(4096, '\0');
  bytes[0x100] = 3;  // Device Serial Number, version 1, the last
  bytes[0x102] = 1;
  bytes[0x104] = static_cast<char>(number);
  return bytes;
}

Identity with_serials(std::vector<std::string> serials) {
  Identity identity;
  identity.serials = std::move(serials);
  return identity;
}

TEST(SameCardTest, is_by_uuid_and_serial_number_where_both_have_them) {
  Identity one, other;
  EXPECT_EQ(is_same_card(one, other), SameDevice::unknown);
  one.uuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";
  EXPECT_EQ(is_same_card(one, other), SameDevice::unknown);
  other.uuid = one.uuid;
  EXPECT_EQ(is_same_card(one, other), SameDevice::yes);
  other.uuid = "00000000-1d52-d8f3-2516-782e98ab3fa0";
  EXPECT_EQ(is_same_card(one, other), SameDevice::no);
}

/// A card that amdgpu had is bound to vfio-pci later: only PCIe's number is left.
TEST(SameCardTest, one_kind_of_serial_number_says_nothing_of_the_other) {
  const Identity of_driver = with_serials({"692231000131", "3c6f0a1b2d4e5f60"});
  const Identity of_pcie = with_serials({"48-b0-2d-ff-fe-12-34-56"});
  EXPECT_EQ(is_same_card(of_driver, of_pcie), SameDevice::unknown);
  EXPECT_EQ(is_same_card(of_driver, with_serials({"692231000131"})), SameDevice::yes);
  EXPECT_EQ(is_same_card(of_driver, with_serials({"692231000131", "3c6f0a1b2d4e5f61"})),
            SameDevice::no)
      << "two on one board";
  EXPECT_EQ(is_same_card(of_pcie, with_serials({"48-b0-2d-ff-fe-12-34-57"})), SameDevice::no);
}

TEST(SameCardTest, is_by_slot_and_subsystem_otherwise) {
  Identity one, other;
  one.subsystem = other.subsystem = "10de:0145";
  EXPECT_EQ(is_same_card(one, other), SameDevice::unknown);
  one.slot = other.slot = "4";
  EXPECT_EQ(is_same_card(one, other), SameDevice::yes);
  other.slot = "5";
  EXPECT_EQ(is_same_card(one, other), SameDevice::no);
  other = one;
  other.subsystem = "10de:0146";
  EXPECT_EQ(is_same_card(one, other), SameDevice::no);
}

/// Two cards of one model, 41 and 42, and a PF at 43.
class SingleUseTest : public testing::Test {
 protected:
  SingleUseTest() {
    card("0000:41:00.0", "serial-a");
    card("0000:42:00.0", "serial-b");
    host_.sriov("0000:43:00.0", 4);
    host_.set_vfs("0000:43:00.0", 4);
    host_.pci_gpu("0000:43:00.0").attribute("unique_id", "serial-c");
  }
  FakeDevice& card(const std::string& address, const std::string& serial) {
    return host_.pci_gpu(address)
        .attribute("subsystem_vendor", "0x1002")
        .attribute("subsystem_device", "0x0145")
        .attribute("unique_id", serial);
  }
  std::string pending(const std::string& address) {
    return mark_pending(root_, at(address), {}, web01_, "web01");
  }
  std::vector<std::string> used() {
    std::vector<std::string> addresses;
    for (const UsedDevice& device : used_devices(root_, single_use_marks(root_)))
      addresses.push_back(to_string(device.address) + ' ' + device.owner);
    return addresses;
  }
  std::string directory() { return paths::single_use(root_); }
  const Uuid web01_ = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
  FakeHost host_;
  const Root& root_ = host_.root();
};

TEST_F(SingleUseTest, a_pending_mark_counts_as_used_until_it_is_taken_back) {
  const std::string file = pending("0000:41:00.0");
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "web01");
  EXPECT_FALSE(used_by(root_, at("0000:42:00.0")));
  EXPECT_THAT(used(), ElementsAre("0000:41:00.0 web01"));
  withdraw_mark(file);
  EXPECT_FALSE(used_by(root_, at("0000:41:00.0")));
  EXPECT_THAT(list_directory(directory()), IsEmpty());
}

TEST_F(SingleUseTest, becomes_final_at_release_in_the_same_file) {
  const std::string file = pending("0000:41:00.0");
  EXPECT_THAT(*read_file(file), HasSubstr("record pending\n"));
  host_.parent_goes("0000:41:00.0");  // pulled: what it was is known from before
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  EXPECT_THAT(*read_file(file), HasSubstr("record used\n"));
  EXPECT_THAT(*read_file(file), HasSubstr("serial serial-a\n"));
  EXPECT_THAT(list_directory(directory()), SizeIs(1));
}

TEST_F(SingleUseTest, follows_the_card_to_another_address) {
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  host_.parent_goes("0000:41:00.0");
  card("0000:41:00.0", "serial-new");
  card("0000:44:00.0", "serial-a");
  EXPECT_FALSE(used_by(root_, at("0000:41:00.0"))) << "another card";
  EXPECT_EQ(used_by(root_, at("0000:44:00.0")), "web01");
  EXPECT_THAT(used(), ElementsAre("0000:44:00.0 web01"));
  EXPECT_FALSE(clear_used(root_, at("0000:41:00.0")));
  EXPECT_TRUE(clear_used(root_, at("0000:44:00.0")));
  EXPECT_THAT(used(), IsEmpty());
}

TEST_F(SingleUseTest, two_cards_may_have_been_used_at_one_address) {
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  card("0000:41:00.0", "serial-new");
  card("0000:44:00.0", "serial-a");
  mark_used(root_, at("0000:41:00.0"), Uuid{}, "db02");
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "db02");
  EXPECT_EQ(used_by(root_, at("0000:44:00.0")), "web01");
}

TEST_F(SingleUseTest, a_mark_of_the_card_that_was_here_before_is_not_of_this_one) {
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  card("0000:41:00.0", "serial-new");
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "web01");
  EXPECT_THAT(list_directory(directory()), SizeIs(2));
}

/// Bound to another driver, it may not tell what it is.
TEST_F(SingleUseTest, stays_at_its_address_while_the_card_does_not_tell_who_it_is) {
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  host_.pci_gpu("0000:41:00.0").without("unique_id");
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "web01");
  EXPECT_THAT(used(), ElementsAre("0000:41:00.0 web01"));
}

TEST_F(SingleUseTest, of_a_card_that_is_gone_is_cleared_by_where_it_was) {
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  card("0000:41:00.0", "serial-new");
  EXPECT_THAT(used(), IsEmpty());
  EXPECT_TRUE(clear_used(root_, at("0000:41:00.0")));
  EXPECT_THAT(list_directory(directory()), IsEmpty());
}

// ---- two cards with one serial number, as boards with a fixed one or with two GPUs have

TEST_F(SingleUseTest, does_not_pass_to_another_card_with_its_number) {
  card("0000:42:00.0", "serial-a");
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "web01");
  EXPECT_FALSE(used_by(root_, at("0000:42:00.0")));
  EXPECT_THAT(used(), ElementsAre("0000:41:00.0 web01"));
  mark_used(root_, at("0000:42:00.0"), Uuid{}, "db02");
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "web01");
  EXPECT_EQ(used_by(root_, at("0000:42:00.0")), "db02");
  EXPECT_TRUE(clear_used(root_, at("0000:42:00.0")));
  EXPECT_THAT(used(), ElementsAre("0000:41:00.0 web01"));
}

TEST_F(SingleUseTest, goes_by_slot_where_two_cards_have_one_number) {
  card("0000:42:00.0", "serial-a");
  host_.file("/sys/bus/pci/slots/4/address", "0000:41:00\n");
  host_.file("/sys/bus/pci/slots/5/address", "0000:42:00\n");
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  card("0000:43:00.0", "serial-a");  // a third one moves their addresses
  host_.file("/sys/bus/pci/slots/3/address", "0000:41:00\n");
  host_.file("/sys/bus/pci/slots/4/address", "0000:42:00\n");
  host_.file("/sys/bus/pci/slots/5/address", "0000:43:00\n");
  EXPECT_FALSE(used_by(root_, at("0000:41:00.0")));
  EXPECT_EQ(used_by(root_, at("0000:42:00.0")), "web01");
  EXPECT_FALSE(used_by(root_, at("0000:43:00.0")));
  EXPECT_THAT(used(), ElementsAre("0000:42:00.0 web01"));
}

/// It may be either, so neither is given until the administrator has said which.
TEST_F(SingleUseTest, is_of_both_cards_with_its_number_when_it_has_left_its_place) {
  card("0000:42:00.0", "serial-a");
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  host_.parent_goes("0000:41:00.0");
  card("0000:44:00.0", "serial-a");
  EXPECT_EQ(used_by(root_, at("0000:42:00.0")), "web01");
  EXPECT_EQ(used_by(root_, at("0000:44:00.0")), "web01");
  EXPECT_TRUE(clear_used(root_, at("0000:42:00.0")));
  EXPECT_FALSE(used_by(root_, at("0000:42:00.0")));
  EXPECT_EQ(used_by(root_, at("0000:44:00.0")), "web01");
  EXPECT_TRUE(clear_used(root_, at("0000:44:00.0")));
  EXPECT_THAT(list_directory(directory()), IsEmpty());
}

/// Its driver does not report the number of the marked one, which is in D3cold, until it is read.
TEST_F(SingleUseTest, stays_with_the_card_at_its_place_that_sleeps_beside_one_with_its_number) {
  const auto sleeper = [&](const std::string& address, const char* state) {
    card(address, "")
        .attribute("config", config_space_with_serial(7))
        .attribute("power_state", state);
  };
  sleeper("0000:41:00.0", "D0");
  sleeper("0000:42:00.0", "D0");
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  sleeper("0000:41:00.0", "D3cold");
  EXPECT_THAT(used(), ElementsAre("0000:41:00.0 web01"));
  EXPECT_FALSE(used_by(root_, at("0000:42:00.0")));
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "web01");
}

TEST_F(SingleUseTest, follows_a_card_that_sleeps_at_its_new_address) {
  const auto sleeper = [&](const std::string& address, unsigned number, const char* state) {
    card(address, "")
        .attribute("config", config_space_with_serial(number))
        .attribute("power_state", state);
  };
  sleeper("0000:41:00.0", 7, "D0");
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  sleeper("0000:41:00.0", 8, "D0");
  sleeper("0000:44:00.0", 7, "D3cold");
  EXPECT_THAT(used(), ElementsAre("0000:44:00.0 web01"));
}

/// The slot of the marked card, and its model, do not tell that the card there is the marked one.
TEST_F(SingleUseTest, follows_a_card_that_sleeps_as_does_another_in_its_place) {
  const auto sleeper = [&](const std::string& address, unsigned number, const char* state) {
    card(address, "")
        .attribute("subsystem_vendor", "0x10de")
        .attribute("subsystem_device", "0x0145")
        .attribute("config", config_space_with_serial(number))
        .attribute("power_state", state);
  };
  for (const bool has_slots : {false, true}) {
    if (has_slots) {
      host_.file("/sys/bus/pci/slots/4/address", "0000:41:00\n");
      host_.file("/sys/bus/pci/slots/5/address", "0000:44:00\n");
    }
    sleeper("0000:41:00.0", 7, "D0");
    sleeper("0000:44:00.0", 9, "D0");
    mark_used(root_, at("0000:41:00.0"), web01_, "web01");
    sleeper("0000:41:00.0", 7, "D3cold");
    sleeper("0000:44:00.0", 9, "D3cold");
    EXPECT_THAT(used(), ElementsAre("0000:41:00.0 web01")) << has_slots;
    sleeper("0000:41:00.0", 8, "D3cold");
    sleeper("0000:44:00.0", 7, "D3cold");
    EXPECT_THAT(used(), ElementsAre("0000:44:00.0 web01")) << has_slots;
    EXPECT_FALSE(used_by(root_, at("0000:41:00.0")));
    EXPECT_TRUE(clear_used(root_, at("0000:44:00.0")));
  }
}

TEST_F(SingleUseTest, of_cards_with_one_number_goes_by_place) {
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  EXPECT_THAT(marks_by_address(root_), IsEmpty());
  card("0000:42:00.0", "serial-a");
  EXPECT_THAT(marks_by_address(root_), SizeIs(1));
}

/// A FIFO without a writer blocks who opens it, as a card that does not resume blocks who reads it.
TEST_F(SingleUseTest, of_a_card_that_does_not_resume_goes_by_its_place) {
  card("0000:41:00.0", "")
      .attribute("power_state", "D3cold")
      .attribute("power/runtime_status", "suspended");
  const std::string config = pci_path(root_, at("0000:41:00.0")) + "/config";
  ASSERT_EQ(::mkfifo(config.c_str(), 0600), 0);
  const StartedLog log(log::To::terminal);
  testing::internal::CaptureStderr();
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  const std::string said = testing::internal::GetCapturedStderr();
  const std::string problem = "domain 'web01': device 0000:41:00.0: cannot read its serial number";
  EXPECT_THAT(said, HasSubstr(problem));
  EXPECT_THAT(said, HasSubstr("; recorded by its PCI address; check:"));
  EXPECT_EQ(said.find(problem), said.rfind(problem)) << "once";
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "web01");
  EXPECT_FALSE(used_by(root_, at("0000:42:00.0")));
  EXPECT_THAT(marks_by_address(root_), SizeIs(1));
  const Fd release(::open(config.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

TEST_F(SingleUseTest, of_a_card_with_another_number_is_not_said_to_go_by_its_place) {
  card("0000:41:00.0", "serial-a").attribute("power_state", "D3cold");
  const std::string config = pci_path(root_, at("0000:41:00.0")) + "/config";
  ASSERT_EQ(::mkfifo(config.c_str(), 0600), 0);
  const StartedLog log(log::To::terminal);
  testing::internal::CaptureStderr();
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("cannot read its serial number"));
  EXPECT_EQ(said.find("recorded by"), std::string::npos) << said;
  const Fd release(::open(config.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

TEST_F(SingleUseTest, of_a_vf_follows_its_pf_and_number) {
  mark_used(root_, at("0000:43:00.2"), web01_, "web01");
  EXPECT_FALSE(used_by(root_, at("0000:43:00.1")));
  host_.set_vfs("0000:43:00.0", 0);
  host_.parent_goes("0000:43:00.0");
  host_.sriov("0000:53:00.0", 4);
  host_.set_vfs("0000:53:00.0", 4);
  host_.pci_gpu("0000:53:00.0").attribute("unique_id", "serial-c");
  EXPECT_EQ(used_by(root_, at("0000:53:00.2")), "web01");
  EXPECT_FALSE(used_by(root_, at("0000:53:00.1")));
  EXPECT_THAT(used(), ElementsAre("0000:53:00.2 web01"));
}

TEST_F(SingleUseTest, a_mark_of_the_last_version_is_read) {
  make_directories(directory());
  write_file_atomically(directory() + "/0000:42:00.0", "db02\n");
  EXPECT_EQ(used_by(root_, at("0000:42:00.0")), "db02");
  EXPECT_THAT(used(), ElementsAre("0000:42:00.0 db02"));
  EXPECT_THAT(marks_by_address(root_), SizeIs(1));
  EXPECT_TRUE(clear_used(root_, at("0000:42:00.0")));
}

TEST_F(SingleUseTest, a_mark_that_cannot_be_understood_holds_its_address) {
  const std::string file = pending("0000:41:00.0");
  write_file_atomically(file, "gpuward-record 1\ndevice nonsense\n");
  EXPECT_TRUE(used_by(root_, at("0000:41:00.0")));
  write_file_atomically(file, "");
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "");
  write_file_atomically(file, "gpuward-record 2\nanything\n");
  EXPECT_EQ(used_by(root_, at("0000:41:00.0")), "");
}

TEST_F(SingleUseTest, that_cannot_be_read_is_an_error) {
  make_directories(directory() + "/0000:42:00.0");
  EXPECT_THROW(used_by(root_, at("0000:42:00.0")), SystemError);
  EXPECT_THROW(used_devices(root_, single_use_marks(root_)), SystemError);
}

TEST_F(SingleUseTest, a_card_that_cannot_be_told_from_another_is_known) {
  host_.pci_gpu("0000:41:00.0").without("unique_id");
  mark_used(root_, at("0000:41:00.0"), web01_, "web01");
  mark_used(root_, at("0000:42:00.0"), web01_, "web01");
  const auto found = marks_by_address(root_);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].device.address, at("0000:41:00.0"));
}

}  // namespace
}  // namespace gpuward
