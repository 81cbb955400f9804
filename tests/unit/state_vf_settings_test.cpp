// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/vf_settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"
#include "state/paths.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::SizeIs;

const std::string pf_name = "0000:41:00.0";
const PciAddress pf = *parse_pci_address(pf_name);
constexpr milliseconds patient{60'000};

class VfSettingsTest : public testing::Test {
 protected:
  VfSettingsTest() { host_.sriov(pf_name, 4); }
  std::string set(unsigned count, VfQuota quota = {}, bool autoprobe = false) {
    return enable_vfs(host_.root(), pf, {count, autoprobe, quota}, patient).failure;
  }
  RecordedVfs record() {
    return recorded_vfs(host_.root(), pf, virtual_functions(host_.root(), pf).size());
  }
  std::optional<std::string> recorded() { return record().settings; }
  void offer_quota() {
    host_.pci_gpu(pf_name).attribute("sriov_admin/vf1/profile/vram_quota", "0");
    host_.pci_gpu(pf_name).attribute("sriov_admin/vf1/profile/exec_quantum_ms", "0");
  }
  void refuse(const std::string& attribute, int code) {
    host_.reacts(pf_name, attribute, [code](const std::string&) { return code; });
  }
  FakeHost host_;
};

TEST_F(VfSettingsTest, what_the_kernel_took_is_recorded) {
  EXPECT_FALSE(recorded());
  EXPECT_EQ(set(2), "");
  EXPECT_EQ(recorded(), "autoprobe=0");
  offer_quota();
  EXPECT_EQ(set(1, {20, {}, 512}, true), "");
  EXPECT_EQ(recorded(), "autoprobe=1 vf-memory=512 exec-quantum=20");
}

TEST_F(VfSettingsTest, the_quota_that_was_set_is_read_from_the_record) {
  EXPECT_EQ(recorded_quota(record()), VfQuota{}) << "others enabled the VFs";
  offer_quota();
  EXPECT_EQ(set(1, {20, {}, 512}), "");
  EXPECT_EQ(recorded_quota(record()), (VfQuota{20, {}, 512}));
  refuse("sriov_admin/vf1/profile/vram_quota", EIO);
  EXPECT_NE(set(1, {{}, {}, 1024}), "");
  EXPECT_FALSE(recorded_quota(record())) << "some of them may have been set";
  EXPECT_EQ(recorded_quota({"autoprobe=0 preempt-timeout=500", {}}), (VfQuota{{}, 500, {}}));
  EXPECT_FALSE(recorded_quota({"autoprobe=0 vf-memory=x", {}}));
}

TEST_F(VfSettingsTest, a_change_that_the_kernel_refuses_is_not_recorded) {
  EXPECT_EQ(set(2), "");
  refuse("sriov_numvfs", EBUSY);
  const VfSettings wanted{1, false, {{}, {}, 512}};
  EXPECT_THAT(enable_vfs(host_.root(), pf, wanted, patient).failure, HasSubstr("failed"));
  EXPECT_EQ(recorded(), "autoprobe=0");
  EXPECT_TRUE(settings_differ(recorded(), wanted)) << "or no plan ever tries again";
}

TEST_F(VfSettingsTest, nor_of_vfs_that_others_enabled) {
  host_.set_vfs(pf_name, 2);
  refuse("sriov_numvfs", EBUSY);
  EXPECT_NE(set(1, {{}, {}, 512}), "");
  EXPECT_FALSE(recorded());
}

TEST_F(VfSettingsTest, a_change_that_fails_halfway_equals_no_settings) {
  EXPECT_EQ(set(2), "");
  offer_quota();
  refuse("sriov_admin/vf1/profile/vram_quota", EIO);
  EXPECT_NE(set(1, {{}, {}, 512}), "");
  for (const VfSettings& wanted : {VfSettings{2, false, {}}, VfSettings{1, false, {{}, {}, 512}}})
    EXPECT_TRUE(settings_differ(recorded(), wanted));
}

/// One that takes longer than it is waited for.
TEST_F(VfSettingsTest, a_change_that_nobody_waited_for_is_done_when_its_process_has_ended) {
  host_.reacts(pf_name, "sriov_numvfs", [&](const std::string& value) {
    host_.hang();
    host_.set_vfs(pf_name, static_cast<unsigned>(std::stoul(value)));
    return 0;
  });
  const VfSettings wanted{2, false, {}};
  const KernelChange change = enable_vfs(host_.root(), pf, wanted, milliseconds(500));
  ASSERT_NE(change.blocked, 0);
  EXPECT_EQ(record().writer.pid, change.blocked);
  EXPECT_TRUE(settings_differ(recorded(), wanted));
  host_.lets_go();
  wait_until_ended(host_.root(), record().writer, patient);
  EXPECT_FALSE(record().writer);
  EXPECT_EQ(recorded(), "autoprobe=0");
  EXPECT_FALSE(settings_differ(recorded(), wanted));
  host_.set_vfs(pf_name, 1);
  EXPECT_TRUE(settings_differ(recorded(), wanted)) << "it did not come to its end";
}

/// The process may have been killed before it changed anything.
TEST_F(VfSettingsTest, vfs_that_were_there_before_do_not_show_that_a_change_is_done) {
  EXPECT_EQ(set(2), "");
  host_.reacts(pf_name, "sriov_numvfs", [&](const std::string&) {
    host_.hang();
    return EIO;
  });
  const VfSettings wanted{2, true, {}};
  ASSERT_NE(enable_vfs(host_.root(), pf, wanted, milliseconds(500)).blocked, 0);
  host_.lets_go();
  EXPECT_FALSE(record().writer);
  EXPECT_TRUE(settings_differ(recorded(), wanted));
  EXPECT_TRUE(settings_differ(recorded(), {2, false, {}})) << "nor that it was not begun";
}

TEST_F(VfSettingsTest, nothing_changes_when_it_cannot_be_recorded) {
  host_.set_vfs(pf_name, 2);
  make_directories(paths::run(host_.root()));
  write_file_atomically(paths::vf_settings(host_.root()), "in the way");
  EXPECT_THROW(set(1), SystemError);
  EXPECT_THAT(virtual_functions(host_.root(), pf), SizeIs(2));
}

TEST(SettingsDiffer, where_any_setting_does) {
  EXPECT_FALSE(settings_differ("autoprobe=0 vf-memory=512", {4, false, {{}, {}, 512}}));
  EXPECT_TRUE(settings_differ("autoprobe=0 vf-memory=512", {4, false, {{}, {}, 1024}}));
  EXPECT_TRUE(settings_differ("autoprobe=0 vf-memory=512", {4, false, {}}));
  EXPECT_TRUE(settings_differ("autoprobe=0", {4, true, {}}));
  EXPECT_FALSE(settings_differ({}, {4, true, {}})) << "enabled by others, and as good";
  EXPECT_TRUE(settings_differ({}, {4, false, {20, {}, {}}}));
}

}  // namespace
}  // namespace gpuward
