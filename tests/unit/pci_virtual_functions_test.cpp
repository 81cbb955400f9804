// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/virtual_functions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string pf_name = "0000:41:00.0";
const PciAddress pf = *parse_pci_address(pf_name);
constexpr milliseconds patient{60'000};

class VirtualFunctionsTest : public testing::Test {
 protected:
  VirtualFunctionsTest() { host_.sriov(pf_name, 4); }
  std::string set(unsigned count, VfQuota quota = {}, bool autoprobe = false) {
    return set_virtual_functions(host_.root(), pf, {count, autoprobe, quota}, patient)
        .change.failure;
  }
  std::vector<PciAddress> vfs() { return virtual_functions(host_.root(), pf); }
  FakeHost host_;
};

TEST_F(VirtualFunctionsTest, are_known_by_their_links_in_order) {
  EXPECT_THAT(vfs(), IsEmpty());
  host_.set_vfs(pf_name, 3);
  EXPECT_THAT(vfs(),
              ElementsAre(*parse_pci_address("0000:41:00.1"), *parse_pci_address("0000:41:00.2"),
                          *parse_pci_address("0000:41:00.3")));
  EXPECT_EQ(find_pci_device(host_.root(), vfs()[1])->physical_function, pf);
  EXPECT_EQ(total_vfs(host_.root(), pf), 4u);
  EXPECT_EQ(total_vfs(host_.root(), vfs()[0]), 0u);
}

TEST_F(VirtualFunctionsTest, a_link_that_points_nowhere_ends_the_list) {
  host_.set_vfs(pf_name, 2);
  host_.pci_gpu(pf_name).link("virtfn1", "../../etc");
  EXPECT_THAT(vfs(), SizeIs(1));
}

TEST_F(VirtualFunctionsTest, their_addresses_are_known_before_they_are_there) {
  host_.pci_gpu(pf_name).attribute("sriov_offset", "128").attribute("sriov_stride", "2");
  EXPECT_EQ(to_string(*virtual_function_address(host_.root(), pf, 0)), "0000:41:10.0");
  EXPECT_EQ(to_string(*virtual_function_address(host_.root(), pf, 3)), "0000:41:10.6");
  EXPECT_EQ(to_string(*virtual_function_address(host_.root(), pf, 4)), "0000:41:11.0");
  EXPECT_EQ(to_string(*virtual_function_address(host_.root(), pf, 64)), "0000:42:00.0");
  host_.pci_gpu(pf_name).attribute("sriov_offset", "65535");
  EXPECT_FALSE(virtual_function_address(host_.root(), pf, 0));
  host_.pci_gpu(pf_name).without("sriov_offset");
  EXPECT_FALSE(virtual_function_address(host_.root(), pf, 0));
}

TEST_F(VirtualFunctionsTest, are_made_without_drivers_of_the_host) {
  EXPECT_EQ(set(4), "");
  EXPECT_THAT(vfs(), SizeIs(4));
  EXPECT_THAT(host_.writes(),
              ElementsAre(pf_name + "/sriov_drivers_autoprobe 0", pf_name + "/sriov_numvfs 4"));
}

TEST_F(VirtualFunctionsTest, nvidias_get_their_driver) {
  EXPECT_EQ(set(1, {}, true), "");
  EXPECT_EQ(host_.writes()[0], pf_name + "/sriov_drivers_autoprobe 1");
}

TEST_F(VirtualFunctionsTest, zero_is_written_before_another_number) {
  host_.set_vfs(pf_name, 2);
  EXPECT_EQ(set(3), "");
  EXPECT_THAT(vfs(), SizeIs(3));
  EXPECT_EQ(host_.writes().front(), pf_name + "/sriov_numvfs 0");
  EXPECT_EQ(set(0), "");
  EXPECT_THAT(vfs(), IsEmpty());
}

/// It would wait for a driver that makes VFs and hangs.
TEST_F(VirtualFunctionsTest, are_counted_without_reading_sriov_numvfs) {
  const auto lies = [&] { host_.pci_gpu(pf_name).attribute("sriov_numvfs", "3"); };
  lies();
  host_.reacts(pf_name, "sriov_numvfs", [&](const std::string& value) {
    host_.set_vfs(pf_name, static_cast<unsigned>(std::stoul(value)));
    lies();
    return 0;
  });
  EXPECT_EQ(set(2), "");
  EXPECT_THAT(host_.writes(),
              ElementsAre(pf_name + "/sriov_drivers_autoprobe 0", pf_name + "/sriov_numvfs 2"));
}

TEST_F(VirtualFunctionsTest, no_more_than_there_can_be) {
  EXPECT_EQ(set(5), "vfs = 5 exceeds sriov_totalvfs (4)");
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(VirtualFunctionsTest, fewer_than_asked_for_is_no_success) {
  host_.reacts(pf_name, "sriov_numvfs", [&](const std::string& value) {
    host_.set_vfs(pf_name, value == "0" ? 0 : 2);
    return 0;
  });
  EXPECT_THAT(set(4), HasSubstr("driver enabled 2 VFs instead of 4"));
}

TEST_F(VirtualFunctionsTest, a_driver_that_cannot_is_told_of) {
  host_.reacts(pf_name, "sriov_numvfs", [](const std::string&) { return ENOENT; });
  EXPECT_THAT(set(4), HasSubstr("AMD's GIM"));
}

TEST_F(VirtualFunctionsTest, quotas_are_set_between_zero_and_the_number) {
  host_.set_vfs(pf_name, 1);
  for (const std::string vf : {"vf1", "vf2"})
    for (const std::string key : {"vram_quota", "exec_quantum_ms", "preempt_timeout_us"})
      host_.reacts(pf_name, "sriov_admin/" + vf + "/profile/" + key,
                   [](const std::string&) { return 0; });
  EXPECT_EQ(set(2, {20, 1000, 512}), "");
  const std::string profile = pf_name + "/sriov_admin/";
  EXPECT_THAT(
      host_.writes(),
      ElementsAre(
          pf_name + "/sriov_numvfs 0", pf_name + "/sriov_drivers_autoprobe 0",
          profile + "vf1/profile/vram_quota 536870912", profile + "vf1/profile/exec_quantum_ms 20",
          profile + "vf1/profile/preempt_timeout_us 1000",
          profile + "vf2/profile/vram_quota 536870912", profile + "vf2/profile/exec_quantum_ms 20",
          profile + "vf2/profile/preempt_timeout_us 1000", pf_name + "/sriov_numvfs 2"));
}

TEST_F(VirtualFunctionsTest, a_quota_that_is_refused_makes_none) {
  host_.reacts(pf_name, "sriov_admin/vf1/profile/vram_quota",
               [](const std::string&) { return EIO; });
  EXPECT_THAT(set(1, {{}, {}, 512}), HasSubstr("setting vram_quota of vf1 failed"));
  EXPECT_THAT(vfs(), IsEmpty());
  EXPECT_THAT(set(1, {20, {}, {}}), HasSubstr("no such setting"));
}

TEST_F(VirtualFunctionsTest, a_driver_that_hangs_is_left) {
  host_.reacts(pf_name, "sriov_numvfs", [this](const std::string&) {
    host_.hang();
    return 0;
  });
  const auto change =
      set_virtual_functions(host_.root(), pf, {1, false, {}}, milliseconds(300)).change;
  EXPECT_EQ(change.failure, "enabling 1 VFs is blocked in the kernel (process " +
                                std::to_string(change.blocked) + "); check: journalctl -k");
  EXPECT_GT(change.blocked, 0);
}

TEST_F(VirtualFunctionsTest, what_a_killed_process_enabled_is_counted) {
  host_.reacts(pf_name, "sriov_numvfs", [&](const std::string& value) -> int {
    host_.set_vfs(pf_name, static_cast<unsigned>(std::stoul(value)));
    die();
  });
  EXPECT_EQ(set(4), "");
  EXPECT_THAT(vfs(), SizeIs(4));
  EXPECT_EQ(set(2), "process disabling the VFs died; check: journalctl -k");
}

TEST_F(VirtualFunctionsTest, a_process_killed_before_it_enabled_them_is_reported) {
  host_.reacts(pf_name, "sriov_numvfs", [](const std::string&) -> int { die(); });
  const VfResult result = set_virtual_functions(host_.root(), pf, {4, false, {}}, patient);
  EXPECT_EQ(result.change.failure, "process enabling 4 VFs died; check: journalctl -k");
  EXPECT_FALSE(result.untouched);
  host_.set_vfs(pf_name, 4);  // as many as are requested, and still to be disabled
  EXPECT_FALSE(set_virtual_functions(host_.root(), pf, {4, false, {}}, patient).untouched);
  EXPECT_THAT(set(4), HasSubstr("process disabling the VFs died"));
}

TEST(VfSettings, are_all_for_max_and_when_not_told) {
  GpuSettings settings;
  EXPECT_EQ(wanted_vfs(settings, Use::vf, 7).count, 7u);
  settings.vfs = GpuSection::max_vfs;
  EXPECT_EQ(wanted_vfs(settings, Use::vf, 7).count, 7u);
  settings.vfs = 2;
  EXPECT_EQ(wanted_vfs(settings, Use::vf, 7).count, 2u);
  settings.quota.memory_mib = 512;
  EXPECT_EQ(wanted_vfs(settings, Use::vf, 7).quota.memory_mib, 512u);
  EXPECT_FALSE(wanted_vfs(settings, Use::vf, 7).autoprobe);
  EXPECT_TRUE(wanted_vfs(settings, Use::vendor_vf, 7).autoprobe);
}

}  // namespace
}  // namespace gpuward
