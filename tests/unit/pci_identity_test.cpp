// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/identity.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <future>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/kernel_read.hpp"
#include "fake_host.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string gpu = "0000:41:00.0";
const std::string uuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";

// ---- what sits there

/// Configuration space as a device has it.
struct ConfigSpace {
  std::string bytes = std::string(4096, '\0');
  void put(unsigned offset, uint32_t value) {
    for (unsigned i = 0; i < 4; ++i) bytes[offset + i] = static_cast<char>(value >> 8 * i);
  }
  void capability(unsigned offset, unsigned id, unsigned next) {
    put(offset, id | 1u << 16 | next << 20);
  }
  /// Behind two others.
  static ConfigSpace with_serial(uint32_t high, uint32_t low) {
    ConfigSpace space;
    space.capability(0x100, 0x0002, 0x250);
    space.capability(0x250, 0x0001, 0x148);
    space.capability(0x148, 0x0003, 0);
    space.put(0x14c, low);
    space.put(0x150, high);
    return space;
  }
};

class IdentityTest : public testing::Test {
 protected:
  IdentityTest() { device().attribute("power_state", "D0"); }
  FakeDevice& device() { return host_.pci_gpu(gpu); }
  void has(const ConfigSpace& space) { device().attribute("config", space.bytes); }
  Identity found() const { return find_identity(host_.root(), *parse_pci_address(gpu)); }
  FakeHost host_;
};

TEST_F(IdentityTest, may_be_nothing) {
  EXPECT_EQ(to_string(found()), "");
}

TEST_F(IdentityTest, has_the_serial_number_of_pcie_as_lspci_writes_it) {
  has(ConfigSpace::with_serial(0x48b02dff, 0xfe123456));
  EXPECT_THAT(found().serials, ElementsAre("48-b0-2d-ff-fe-12-34-56"));
}

TEST_F(IdentityTest, resumes_no_device_to_read_its_configuration_space) {
  has(ConfigSpace::with_serial(1, 2));
  for (const char* state : {"D3cold", "unknown", ""}) {
    device().attribute("power_state", state);
    EXPECT_THAT(found().serials, IsEmpty()) << state;
    EXPECT_TRUE(found().unread) << state;
  }
  device().without("power_state");
  EXPECT_THAT(found().serials, IsEmpty());
  EXPECT_TRUE(found().unread);
}

/// As vfio-pci leaves one that no process has open.
TEST_F(IdentityTest, reads_a_device_in_d3hot_which_is_not_resumed_for_that) {
  has(ConfigSpace::with_serial(1, 2));
  device().attribute("power_state", "D3hot").attribute("power/runtime_status", "suspended");
  EXPECT_THAT(found().serials, ElementsAre("00-00-00-01-00-00-00-02"));
  EXPECT_FALSE(found().unread);
}

TEST_F(IdentityTest, resumes_a_device_where_its_caller_wants_that) {
  has(ConfigSpace::with_serial(1, 2));
  device().attribute("power_state", "D3cold").attribute("power/runtime_status", "suspended");
  const Identity resumed = find_identity(host_.root(), *parse_pci_address(gpu), Sleepers::wake);
  EXPECT_THAT(resumed.serials, ElementsAre("00-00-00-01-00-00-00-02"));
  EXPECT_FALSE(resumed.unread);
}

/// A FIFO without a writer blocks who opens it, as a card that does not resume blocks who reads it.
class BlockedIdentityTest : public IdentityTest {
 protected:
  BlockedIdentityTest() {
    device().without("config");
    config_ = host_.root().sys("bus/pci/devices/" + gpu + "/config");
    EXPECT_EQ(::mkfifo(config_.c_str(), 0600), 0);
  }
  ~BlockedIdentityTest() override { release(); }
  /// Whoever has it open for reading goes on.
  void release() { const Fd writer(::open(config_.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)); }
  /// Nothing when the reader was still blocked after a minute.
  std::optional<Identity> found_in_time(Sleepers sleepers) {
    auto reading = std::async(std::launch::async, [&] {
      return find_identity(host_.root(), *parse_pci_address(gpu), sleepers);
    });
    const bool is_in_time = reading.wait_for(std::chrono::minutes(1)) == std::future_status::ready;
    if (!is_in_time) release();
    const Identity found = reading.get();
    return is_in_time ? std::optional(found) : std::nullopt;
  }
  std::string config_;
};

TEST_F(BlockedIdentityTest, does_not_wait_for_a_card_that_does_not_resume) {
  device().attribute("subsystem_vendor", "0x10de").attribute("subsystem_device", "0x0145");
  device().attribute("power_state", "D3cold").attribute("power/runtime_status", "suspended");
  const auto found = found_in_time(Sleepers::wake);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->unread);
  EXPECT_THAT(found->serials, IsEmpty());
  EXPECT_EQ(found->subsystem, "10de:0145");
}

/// However many of them there are: nothing reads them when the time of all is over.
TEST_F(BlockedIdentityTest, begins_to_read_no_card_that_is_asleep_without_time) {
  device().attribute("power_state", "D3cold").attribute("power/runtime_status", "suspended");
  const ReadLimit limit(Deadline::in(std::chrono::milliseconds(0)));
  const auto found = found_in_time(Sleepers::wake);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->unread);
  EXPECT_FALSE(Fd(::open(config_.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK))) << "it has a reader";
}

/// In D0 it may still be on its way, and then reading waits for its end (pm_runtime_barrier).
TEST_F(BlockedIdentityTest, does_not_wait_for_a_card_that_another_process_resumes) {
  device().attribute("power_state", "D0").attribute("power/runtime_status", "resuming");
  const auto found = found_in_time(Sleepers::wake);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->unread);
}

TEST_F(IdentityTest, has_no_serial_number_where_configuration_space_tells_none) {
  ConfigSpace space;
  has(space);
  EXPECT_THAT(found().serials, IsEmpty());
  space.bytes.assign(4096, '\xff');  // a card that fell off its bus
  has(space);
  EXPECT_THAT(found().serials, IsEmpty());
  has(ConfigSpace::with_serial(0, 0));
  EXPECT_THAT(found().serials, IsEmpty());
  space = ConfigSpace::with_serial(1, 2);
  space.bytes.resize(64);  // all that others than root get
  has(space);
  EXPECT_THAT(found().serials, IsEmpty());
}

TEST_F(IdentityTest, ends_where_capabilities_run_in_a_circle) {
  ConfigSpace space;
  space.capability(0x100, 0x0001, 0x200);
  space.capability(0x200, 0x0002, 0x100);
  has(space);
  EXPECT_THAT(found().serials, IsEmpty());
}

TEST_F(IdentityTest, configuration_space_that_cannot_be_read_is_an_error) {
  make_directories(pci_path(host_.root(), *parse_pci_address(gpu)) + "/config");  // EISDIR
  EXPECT_THROW(found(), SystemError);
  const std::string looping = pci_path(host_.root(), *parse_pci_address(gpu)) + "/config";
  ASSERT_EQ(::rmdir(looping.c_str()), 0);
  ASSERT_EQ(::symlink("config", looping.c_str()), 0);  // ELOOP
  EXPECT_THROW(found(), SystemError);
}

TEST_F(IdentityTest, has_the_serials_of_amds_driver) {
  device().attribute("serial_number", "692231000131").attribute("unique_id", "3c6f0a1b2d4e5f60");
  EXPECT_THAT(found().serials, ElementsAre("692231000131", "3c6f0a1b2d4e5f60"));
  device().attribute("serial_number", "").attribute("unique_id", "0000000000000000");
  EXPECT_THAT(found().serials, IsEmpty());
}

TEST_F(IdentityTest, has_the_uuid_of_nvidias_driver) {
  const std::string file = "/proc/driver/nvidia/gpus/" + gpu + "/information";
  host_.file(file, "Model: \t\t NVIDIA A40\nIRQ:   \t\t 120\nGPU UUID: \t GPU-" + uuid + "\n");
  EXPECT_EQ(found().uuid, uuid);
  host_.file(file, "GPU UUID: \t GPU-" + std::string(8, '?') + "-...\n");
  EXPECT_FALSE(found().uuid);
}

TEST_F(IdentityTest, has_the_subsystem) {
  device().attribute("subsystem_vendor", "0x10de").attribute("subsystem_device", "0x0145");
  EXPECT_EQ(found().subsystem, "10de:0145");
}

TEST_F(IdentityTest, has_the_slot_whose_address_is_its_own) {
  host_.file("/sys/bus/pci/slots/3/address", "0000:40:00\n");
  host_.file("/sys/bus/pci/slots/4-1/address", "0000:41:00\n");
  EXPECT_EQ(found().slot, "4-1");
}

// ---- is it what was expected

class IdentityVerdictTest : public testing::Test {
 protected:
  IdentityVerdictTest() {
    section_.selector = {GpuSelector::By::address, *parse_pci_address(gpu), 0, 0, {}};
    section_.position = {"/etc/gpuward/gpuward.conf", 7};
  }
  std::string refusal() const { return to_string(identity_verdict(section_, found_).reason); }
  GpuSection section_;
  Identity found_{{"692231000131", "3c6f0a1b2d4e5f60"}, uuid, "10de:0145", "4"};
};

TEST_F(IdentityVerdictTest, who_expects_nothing_gets_anything) {
  EXPECT_TRUE(identity_verdict(section_, found_));
  EXPECT_TRUE(identity_verdict(section_, Identity()));
}

TEST_F(IdentityVerdictTest, what_is_expected_may_sit_there) {
  section_.expect = {"3C6F0A1B2D4E5F60", uuid, "10de:0145", "4"};
  EXPECT_EQ(refusal(), "");
}

TEST_F(IdentityVerdictTest, each_difference_is_refused_with_both_identities) {
  const ExpectedIdentity wrong[] = {
      {"0324", {}, {}, {}}, {{}, "x" + uuid, {}, {}}, {{}, {}, "10de:1", {}}, {{}, {}, {}, "5"}};
  for (const ExpectedIdentity& expect : wrong) {
    section_.expect = expect;
    EXPECT_FALSE(identity_verdict(section_, found_));
    EXPECT_THAT(refusal(), AllOf(HasSubstr(to_string(found_)), Not(HasSubstr("cannot be read"))));
  }
  section_.expect = {"0324", {}, {}, "4"};
  EXPECT_EQ(refusal(),
            "not the expected GPU: /etc/gpuward/gpuward.conf:7 expects serial:0324, slot:4, found "
            "serial:692231000131, serial:3c6f0a1b2d4e5f60, uuid:" +
                uuid +
                ", subsystem:10de:0145, slot:4; reinstall that card or update "
                "'expect'");
}

TEST_F(IdentityVerdictTest, one_right_word_does_not_make_up_for_a_wrong_one) {
  section_.expect = {{}, {}, "10de:0145", "5"};
  EXPECT_FALSE(identity_verdict(section_, found_));
}

TEST_F(IdentityVerdictTest, what_cannot_be_read_is_refused) {
  section_.expect = {"0324", uuid, {}, {}};
  found_ = {{}, {}, "10de:0145", {}};
  EXPECT_THAT(refusal(), HasSubstr("found subsystem:10de:0145 (serial, uuid cannot be "
                                   "read"));
  found_ = {};
  EXPECT_THAT(refusal(), HasSubstr("a card without a readable identity"));
}

// ---- the sections that speak of it

TEST_F(IdentityTest, is_checked_by_every_section_that_speaks_of_the_device) {
  device().attribute("subsystem_vendor", "0x10de").attribute("subsystem_device", "0x0145");
  const Parent card{{gpu, parse_pci_address(gpu), 0x1234, 0x1111}};
  Config config;
  EXPECT_TRUE(check_identity(host_.root(), config, card));
  GpuSection by_id;
  by_id.selector = {GpuSelector::By::id, {}, 0x1234, 0x1111, {}};
  by_id.expect.subsystem = "10de:0146";
  config.gpus = {GpuSection(), by_id};
  EXPECT_THAT(to_string(check_identity(host_.root(), config, card).reason),
              HasSubstr("device 0000:41:00.0: "));
  config.gpus[1].expect.subsystem = "10de:0145";
  EXPECT_TRUE(check_identity(host_.root(), config, card));
  config.gpus[1].selector.device = 0x2222;
  config.gpus[1].expect.subsystem = "10de:0146";
  EXPECT_TRUE(check_identity(host_.root(), config, card)) << "it speaks of another";
}

/// A VF has no serial number of its own, and NVIDIA's and Intel's have the device ID of their PF.
TEST_F(IdentityTest, of_a_vf_is_that_of_its_card_unless_a_section_names_the_vf) {
  has(ConfigSpace::with_serial(1, 2));
  const std::string vf = "0000:41:00.4";
  host_.pci_gpu(vf).attribute("power_state", "D0");
  Parent parent{{vf, parse_pci_address(vf), 0x1234, 0x1111}};
  parent.physical_function = parse_pci_address(gpu);
  parent.card_vendor = parent.vendor;
  parent.card_device = parent.device;
  GpuSection section;
  section.selector = {GpuSelector::By::id, {}, 0x1234, 0x1111, {}};
  section.expect.serial = "00-00-00-01-00-00-00-02";
  Config config;
  config.gpus = {section};
  EXPECT_TRUE(check_identity(host_.root(), config, parent));
  config.gpus[0].expect.serial = "00-00-00-01-00-00-00-03";
  EXPECT_FALSE(check_identity(host_.root(), config, parent));
  config.gpus[0].selector = {GpuSelector::By::address, *parse_pci_address(vf), 0, 0, {}};
  config.gpus[0].expect.serial = "00-00-00-01-00-00-00-02";
  EXPECT_FALSE(check_identity(host_.root(), config, parent)) << "the VF itself has none";
}

}  // namespace
}  // namespace gpuward
