// SPDX-License-Identifier: LGPL-2.1-or-later
// What outlives the host's restart: marks of single use and quarantine; and claims that do not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <thread>

#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "inventory/usage.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/reconcile.hpp"
#include "lifecycle/release.hpp"
#include "pci/pci_device.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"
#include "state/paths.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"
#include "state/vf_settings.hpp"
#include "vendor_vgpu_fixtures.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using State = ClaimedDevice::State;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(50),
                            milliseconds(60'000)};

/// A PF at 42 with four of NVIDIA's VFs, of which profile "vgpu" gives 42:00.3.
class RestartTest : public testing::Test {
 protected:
  RestartTest() {
    host_.sriov("0000:42:00.0", 4);
    host_.set_vfs("0000:42:00.0", 4);
    host_.pci_gpu("0000:42:00.0").attribute("unique_id", "serial-a");
    add_vendor_vf(host_, vf_);
    obey();
    config_ = vendor_vgpu_config("0000:42:00.0");
    domain_.uuid.bytes[15] = 3;
    domain_.name = "web01";
    domain_.requests.push_back({"ua-gpuward-0", "vgpu"});
    Hostdev hostdev;
    hostdev.type = Hostdev::Type::pci;
    hostdev.address = at(vf_);
    hostdev.alias = "ua-gpuward-0";
    domain_.hostdevs.push_back(hostdev);
    host_.file("/proc/sys/kernel/random/boot_id", "11111111-1d52-d8f3-2516-782e98ab3fa0\n");
  }
  void obey() {
    host_.reacts(vf_, "nvidia/current_vgpu_type", [this](const std::string& value) {
      if (on_write_) on_write_();
      write_file_atomically(pci_path(root_, at(vf_)) + "/nvidia/current_vgpu_type", value + '\n');
      return 0;
    });
  }
  std::string refusal(const Domain& domain) {
    try {
      prepare_devices(root_, config_, domain, patient);
    } catch (const Error& error) {
      return error.what();
    }
    return "(not refused)";
  }
  std::vector<QuarantinedDevice> release() {
    const auto claim = claims_.find(domain_.uuid);
    return claim ? release_devices(root_, claims_, *claim, patient)
                 : std::vector<QuarantinedDevice>();
  }
  /// /run is empty, and /var/lib/gpuward is not.
  void restart() {
    claims_.drop(domain_.uuid);
    host_.file("/proc/sys/kernel/random/boot_id", "22222222-1d52-d8f3-2516-782e98ab3fa0\n");
    claims_ = Claims(root_);  // no process outlives a restart
  }
  Domain other() {
    Domain other = domain_;
    other.uuid.bytes[15] = 9;
    other.name = "db02";
    return other;
  }
  std::string scrub_that(const std::string& text) {
    const std::string path = scripts_ / "scrub";
    write_file_atomically(path, "#!/bin/sh\n" + text + '\n', 0755);
    return path;
  }
  std::vector<Reconciled> reconcile_all() {
    return reconcile(
        root_, [](const Uuid&) { return false; }, patient, false);
  }
  std::string mark() {
    const auto names = list_directory(paths::single_use(root_));
    return names.empty() ? "" : *read_file(paths::single_use(root_) + '/' + names.front());
  }
  const std::string pf_ = "0000:42:00.0";
  const std::string vf_ = "0000:42:00.3";
  std::function<void()> on_write_;  ///< in the process that writes, before the driver acts
  FakeHost host_;
  TempDir scripts_;
  const Root& root_ = host_.root();
  Config config_;
  Domain domain_;
  Claims claims_{root_};
};

// ---- single use

class SingleUseLifeTest : public RestartTest {
 protected:
  SingleUseLifeTest() { config_.profiles[0].one_time = true; }
};

TEST_F(SingleUseLifeTest, is_marked_before_the_hardware_is_touched) {
  on_write_ = [&] { write_file_atomically(scripts_ / "at_write", mark()); };
  EXPECT_EQ(refusal(domain_), "(not refused)");
  EXPECT_THAT(read_file(scripts_ / "at_write").value_or("(never written)"),
              AllOf(HasSubstr("device " + vf_), HasSubstr("card 0000:42:00.0"), HasSubstr("vf 2"),
                    HasSubstr("serial serial-a"), HasSubstr("record pending")));
}

TEST_F(SingleUseLifeTest, stays_marked_when_the_claim_is_lost) {
  EXPECT_EQ(refusal(domain_), "(not refused)");
  restart();
  obey();
  host_.pci_gpu(vf_).attribute("nvidia/current_vgpu_type", "0");
  EXPECT_THAT(refusal(domain_), HasSubstr("already used by domain 'web01' (one-time = yes)"));
  EXPECT_THAT(refusal(other()), HasSubstr("already used by domain 'web01'"));
}

TEST_F(SingleUseLifeTest, is_final_after_release) {
  EXPECT_EQ(refusal(domain_), "(not refused)");
  EXPECT_THAT(mark(), HasSubstr("record pending"));
  EXPECT_THAT(release(), IsEmpty());
  EXPECT_THAT(mark(), HasSubstr("record used"));
}

TEST_F(SingleUseLifeTest, is_not_marked_by_a_start_that_was_undone) {
  host_.pci_gpu(vf_).without("vfio-dev/vfio0/dev").without("vfio-dev/vfio0").without("vfio-dev");
  EXPECT_THAT(refusal(domain_), HasSubstr("no vfio-dev"));
  EXPECT_FALSE(claims_.find(domain_.uuid));
  EXPECT_EQ(mark(), "");
}

TEST_F(SingleUseLifeTest, is_not_marked_by_a_start_that_is_undone_later) {
  host_.pci_gpu(vf_).without("vfio-dev/vfio0/dev").without("vfio-dev/vfio0").without("vfio-dev");
  host_.reacts(vf_, "nvidia/current_vgpu_type", [this](const std::string& value) {
    if (value == "0") return EBUSY;
    write_file_atomically(pci_path(root_, at(vf_)) + "/nvidia/current_vgpu_type", value + '\n');
    return 0;
  });
  Deadlines hasty = patient;
  hasty.write = milliseconds(500);
  EXPECT_THROW(prepare_devices(root_, config_, domain_, hasty), Error);
  ASSERT_TRUE(claims_.find(domain_.uuid));
  EXPECT_EQ(claims_.find(domain_.uuid)->devices[0].state, State::quarantined);
  EXPECT_EQ(mark(), "") << "no guest has had it";
}

TEST_F(SingleUseLifeTest, without_a_mark_nothing_is_touched) {
  make_directories(root_.at("/var/lib"));
  write_file_atomically(root_.at("/var/lib/gpuward"), "a file in its place\n");
  EXPECT_THAT(refusal(domain_), HasSubstr("/var/lib/gpuward"));
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_FALSE(claims_.find(domain_.uuid));
}

// ---- quarantine

class QuarantineTest : public RestartTest {
 protected:
  QuarantineTest() {
    config_.profiles[0].scrub = scrub_that("exit 3");
    EXPECT_EQ(refusal(domain_), "(not refused)");
    EXPECT_THAT(release(), SizeIs(1));
  }
  /// Whatever became of its address.
  void expect_record_at(const std::string& device, const std::string& card) {
    const auto records = quarantine_records(root_);
    ASSERT_THAT(records, SizeIs(1));
    EXPECT_EQ(records[0].devices[0].address, at(device.c_str()));
    EXPECT_EQ(records[0].devices[0].parent, card);
  }
};

TEST_F(QuarantineTest, outlives_the_restart) {
  restart();
  EXPECT_THAT(refusal(other()), HasSubstr("quarantined after use by domain 'web01'"));
  const auto results = reconcile_all();
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].result, Reconciled::Result::quarantined);
  EXPECT_THAT(results[0].reason, EndsWith("; run: gpuward reconcile"));
  ASSERT_TRUE(claims_.find(domain_.uuid));
  EXPECT_EQ(claims_.find(domain_.uuid)->devices[0].scrub, config_.profiles[0].scrub);
}

class OwnerTest : public RestartTest {};

TEST_F(OwnerTest, of_a_domain_outlives_the_restart_with_the_quarantine) {
  config_.profiles[0].scrub = scrub_that("exit 3");
  domain_.owner = "team-a";
  EXPECT_EQ(refusal(domain_), "(not refused)");
  EXPECT_THAT(release(), SizeIs(1));
  restart();
  restore_quarantine(root_, claims_);
  ASSERT_TRUE(claims_.find(domain_.uuid));
  EXPECT_EQ(claims_.find(domain_.uuid)->owner, "team-a");
}

TEST_F(QuarantineTest, ends_with_a_scrub_that_succeeds) {
  restart();
  scrub_that("exit 0");
  const auto results = reconcile_all();
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].result, Reconciled::Result::given_back);
  EXPECT_THAT(quarantine_records(root_), IsEmpty());
  EXPECT_EQ(refusal(other()), "(not refused)");
}

TEST_F(QuarantineTest, of_its_own_domain_is_scrubbed_when_that_starts_again) {
  restart();
  EXPECT_THAT(refusal(domain_), HasSubstr("is quarantined: "));
  scrub_that("exit 0");
  EXPECT_EQ(refusal(domain_), "(not refused)");
  EXPECT_THAT(quarantine_records(root_), IsEmpty());
}

TEST_F(QuarantineTest, follows_the_card) {
  restart();
  host_.set_vfs("0000:42:00.0", 0);
  host_.parent_goes("0000:42:00.0");
  host_.sriov("0000:52:00.0", 4);
  host_.set_vfs("0000:52:00.0", 4);
  host_.pci_gpu("0000:52:00.0").attribute("unique_id", "serial-a");
  expect_record_at("0000:52:00.3", "0000:52:00.0");
}

/// After the restart the VFs are enabled when a domain needs one; until then nothing would come of
/// the quarantine.
TEST_F(QuarantineTest,
       of_a_vf_that_does_not_exist_ends_when_reconcile_has_enabled_and_scrubbed_it) {
  restart();
  host_.set_vfs(pf_, 0);
  host_.config("[gpu " + pf_ + "]\nuse = vendor-vf\n");
  scrub_that("test -e " + pci_path(root_, at(vf_)));
  const auto before = host_.tree("/sys");
  reconcile(
      root_, [](const Uuid&) { return false; }, patient, true);
  EXPECT_EQ(host_.tree("/sys"), before) << "a dry run";
  const auto results = reconcile_all();
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].result, Reconciled::Result::given_back) << results[0].reason;
  EXPECT_THAT(quarantine_records(root_), IsEmpty());
  EXPECT_EQ(recorded_vfs(root_, at(pf_), 1).settings, "autoprobe=1") << "as prepare enables them";
  add_vendor_vf(host_, vf_);
  obey();
  EXPECT_EQ(refusal(other()), "(not refused)");
}

TEST_F(QuarantineTest, of_a_vf_that_cannot_be_enabled_waits_for_it_and_says_why) {
  const std::string section = "[gpu " + pf_ + "]\nuse = ";
  host_.set_vfs(pf_, 0);
  for (const auto& [config, why] :
       {std::pair(section + "vendor-vf\nvfs = 0\n", "the [gpu] section of the card has vfs = 0"),
        std::pair(section + "whole\n", "the [gpu] section of the card has use = whole"),
        std::pair(section + "nonsense\n", "the configuration has errors; run: gpuward check")}) {
    restart();
    host_.config(config);
    const auto results = reconcile_all();
    ASSERT_THAT(results, SizeIs(1));
    EXPECT_EQ(results[0].result, Reconciled::Result::quarantined);
    EXPECT_THAT(results[0].reason,
                AllOf(HasSubstr("VF does not exist and cannot be enabled"), HasSubstr(why)));
    EXPECT_EQ(results[0].reason.find("run: "), results[0].reason.rfind("run: ")) << "one remedy";
    EXPECT_THAT(quarantine_records(root_), SizeIs(1));
  }
  restart();
  host_.set_vfs(pf_, 4);
  EXPECT_THAT(refusal(other()), HasSubstr("quarantined after use by domain 'web01'"));
}

TEST_F(QuarantineTest, of_a_vf_is_not_ended_at_the_cost_of_a_domain_that_has_the_card) {
  restart();
  host_.set_vfs(pf_, 0);
  ClaimedDevice card{
      .alias = "ua-gpuward-0", .profile = "card", .instance = {}, .parent = pf_, .type = "-"};
  card.use = Use::whole;
  card.address = at(pf_);
  claims_.write({other().uuid, "db02", {card}, {}, true});
  const auto results = reconcile(
      root_, [&](const Uuid& domain) { return domain == other().uuid; }, patient, false);
  const auto of_vf = std::find_if(results.begin(), results.end(),
                                  [](const Reconciled& each) { return each.name == "web01"; });
  ASSERT_NE(of_vf, results.end());
  EXPECT_EQ(of_vf->result, Reconciled::Result::quarantined);
  EXPECT_THAT(of_vf->reason,
              AllOf(HasSubstr("in use by domain 'db02'"), HasSubstr("run: gpuward reconcile")));
  EXPECT_FALSE(exists(pci_path(root_, at(vf_))));
}

TEST_F(QuarantineTest, of_a_vf_waits_for_a_change_of_the_vfs_that_still_runs) {
  restart();
  host_.set_vfs(pf_, 0);
  host_.config("[gpu " + pf_ + "]\nuse = vendor-vf\n");
  host_.reacts(pf_, "sriov_numvfs", [this](const std::string& value) {
    host_.hang();
    host_.set_vfs(pf_, static_cast<unsigned>(std::stoul(value)));
    return 0;
  });
  ASSERT_NE(enable_vfs(root_, at(pf_), {4, true, {}}, milliseconds(500)).blocked, 0);
  const auto before = host_.writes();
  std::thread end([this] {
    std::this_thread::sleep_for(milliseconds(100));
    host_.lets_go();
  });
  reconcile_all();
  end.join();
  EXPECT_TRUE(exists(pci_path(root_, at(vf_))));
  EXPECT_EQ(host_.writes(), before) << "a second would be blocked beside it";
}

TEST_F(QuarantineTest, of_a_vf_of_a_card_that_is_marked_names_what_clears_the_card) {
  restart();
  host_.set_vfs(pf_, 0);
  mark_used(root_, at(pf_), other().uuid, "db02");
  const auto results = reconcile_all();
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].result, Reconciled::Result::quarantined);
  EXPECT_EQ(results[0].reason,
            "GPU 0 (0000:42:00.3): VF does not exist and cannot be enabled on 0000:42:00.0: GPU "
            "0000:42:00.0: already used by domain 'db02' (one-time = yes); run: gpuward clear "
            "0000:42:00.0");
}

TEST_F(QuarantineTest, of_a_vf_says_what_the_kernel_says_when_it_cannot_be_enabled) {
  restart();
  host_.set_vfs(pf_, 0);
  host_.reacts(pf_, "sriov_numvfs", [](const std::string&) { return EIO; });
  const auto results = reconcile_all();
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].result, Reconciled::Result::quarantined);
  EXPECT_THAT(results[0].reason, HasSubstr("enabling 4 VFs failed: Input/output error"));
}

TEST_F(QuarantineTest, follows_the_card_whose_vfs_do_not_exist) {
  restart();
  host_.set_vfs("0000:42:00.0", 0);
  host_.parent_goes("0000:42:00.0");
  host_.sriov("0000:52:00.0", 4);
  host_.pci_gpu("0000:52:00.0").attribute("unique_id", "serial-a");
  expect_record_at("0000:52:00.3", "0000:52:00.0");
}

/// Of two cards with one serial number that have moved, either may be the one that waits.
TEST_F(QuarantineTest, of_two_cards_that_may_be_it_is_of_both_until_each_is_cleared) {
  restart();
  host_.set_vfs(pf_, 0);
  host_.parent_goes(pf_);
  for (const char* const bus : {"52", "53"}) {
    const std::string pf = "0000:" + std::string(bus) + ":00.0";
    host_.sriov(pf, 4);
    host_.set_vfs(pf, 4);
    host_.pci_gpu(pf).attribute("unique_id", "serial-a");
  }
  EXPECT_THAT(quarantine_records(root_), SizeIs(2));
  EXPECT_TRUE(clear_quarantine_record(root_, at("0000:52:00.3")));
  const auto records = quarantine_records(root_);
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].devices[0].address, at("0000:53:00.3"));
  EXPECT_TRUE(clear_quarantine_record(root_, at("0000:53:00.3")));
  EXPECT_THAT(quarantine_records(root_), IsEmpty());
}

/// A record without the identity of the card would be one of whatever is there.
TEST_F(RestartTest, a_card_that_was_pulled_is_on_record_once_and_does_not_block_another) {
  const std::string card = "0000:44:00.0";
  ClaimedDevice device{
      .alias = "ua-gpuward-0", .profile = "card", .instance = {}, .parent = card, .type = "-"};
  device.use = Use::whole;
  device.address = at(card);
  device.scrub = scrub_that("exit 3");
  Claim claim{domain_.uuid, domain_.name, {device}, {}, true};
  claims_.make_ready();
  claims_.write(claim);
  host_.pci_gpu(card).attribute("unique_id", "serial-old");
  EXPECT_THAT(release(), SizeIs(1));
  host_.parent_goes(card);
  EXPECT_THAT(release(), SizeIs(1));
  EXPECT_THAT(list_directory(paths::quarantine(root_)), SizeIs(1));
  claims_.drop(domain_.uuid);
  host_.pci_gpu(card).attribute("unique_id", "serial-new");
  EXPECT_THAT(quarantine_records(root_), IsEmpty());
}

/// The host is restarted while the program runs.
TEST_F(RestartTest, a_scrub_that_was_cut_short_is_on_record) {
  config_.profiles[0].scrub =
      scrub_that("cat " + root_.at("/var/lib/gpuward/quarantine") + "/* >" + (scripts_ / "record"));
  EXPECT_EQ(refusal(domain_), "(not refused)");
  EXPECT_THAT(release(), IsEmpty());
  EXPECT_THAT(read_file(scripts_ / "record").value_or(""), HasSubstr("device " + vf_));
  EXPECT_THAT(quarantine_records(root_), IsEmpty());
}

TEST_F(RestartTest, a_record_that_cannot_be_understood_keeps_its_device_in_quarantine) {
  make_directories(paths::quarantine(root_));
  write_file_atomically(paths::quarantine(root_) + '/' + vf_, "nonsense\n");
  EXPECT_THAT(refusal(domain_), HasSubstr("quarantined"));
  EXPECT_TRUE(clear_quarantine_record(root_, at(vf_)));
  EXPECT_EQ(refusal(domain_), "(not refused)");
}

TEST_F(RestartTest, a_damaged_record_becomes_a_claim_that_can_be_read) {
  make_directories(paths::quarantine(root_));
  for (const std::string text : {"", "gpuward-record 2\nanything\n"}) {
    SCOPED_TRACE(text);
    write_file_atomically(paths::quarantine(root_) + '/' + vf_, text);
    const auto results = reconcile_all();
    ASSERT_THAT(results, SizeIs(1));
    EXPECT_EQ(results[0].result, Reconciled::Result::quarantined);
    EXPECT_EQ(results[0].name, "unknown");
    EXPECT_THAT(results[0].reason,
                AllOf(EndsWith("; scrub the device, then run: gpuward clear " + vf_),
                      Not(HasSubstr("reconcile"))));
    EXPECT_THAT(claims_.all().unreadable, IsEmpty());
    EXPECT_THAT(refusal(domain_), HasSubstr("quarantined after use by domain 'unknown'"));
    claims_.drop(Uuid{});
  }
}

TEST_F(QuarantineTest, of_one_domain_is_restored_though_that_of_another_fails) {
  restart();
  make_directories(paths::quarantine(root_));
  write_file_atomically(paths::quarantine(root_) + "/0000:42:00.2", "");  // of domain 0, the first
  write_file_atomically(root_.run("claims/" + to_string(Uuid{})), "rubbish\n");
  restore_quarantine(root_, claims_);
  EXPECT_TRUE(claims_.find(domain_.uuid));
}

// ---- claims

TEST_F(RestartTest, a_claim_from_before_the_restart_keeps_nothing_but_quarantine) {
  EXPECT_EQ(refusal(domain_), "(not refused)");
  host_.file("/proc/sys/kernel/random/boot_id", "22222222-1d52-d8f3-2516-782e98ab3fa0\n");
  claims_ = Claims(root_);
  host_.pci_gpu(vf_).attribute("nvidia/current_vgpu_type", "0");
  EXPECT_EQ(refusal(other()), "(not refused)");
  EXPECT_THAT(release(), IsEmpty());
  EXPECT_EQ(read_attribute(pci_path(root_, at(vf_)) + "/nvidia/current_vgpu_type"), "1145")
      << "the vGPU of the other domain";
}

TEST_F(RestartTest, a_claim_from_before_the_restart_keeps_what_is_to_be_scrubbed) {
  config_.profiles[0].scrub = scrub_that("exit 3");
  EXPECT_EQ(refusal(domain_), "(not refused)");
  EXPECT_THAT(release(), SizeIs(1));
  host_.file("/proc/sys/kernel/random/boot_id", "22222222-1d52-d8f3-2516-782e98ab3fa0\n");
  claims_ = Claims(root_);
  EXPECT_THAT(refusal(other()), HasSubstr("quarantined after use by domain 'web01'"));
}

/// prepare was killed before it was done, so that no guest has had the device.
TEST_F(RestartTest, what_was_not_completed_is_undone_without_a_scrub) {
  config_.profiles[0].scrub = scrub_that("touch " + (scripts_ / "scrubbed"));
  EXPECT_EQ(refusal(domain_), "(not refused)");
  Claim claim = *claims_.find(domain_.uuid);
  EXPECT_TRUE(claim.completed);
  claim.completed = false;
  claims_.write(claim);
  EXPECT_THAT(release(), IsEmpty());
  EXPECT_FALSE(exists(scripts_ / "scrubbed"));
  EXPECT_EQ(read_attribute(pci_path(root_, at(vf_)) + "/nvidia/current_vgpu_type"), "0");
}

TEST_F(RestartTest, the_claim_names_the_process_before_it_writes) {
  const std::string seen = scripts_ / "seen";
  on_write_ = [&] {
    const auto claim = claims_.find(domain_.uuid);
    write_file_atomically(seen, claim && claim->devices[0].writer.pid == ::getpid()
                                    ? "named " + claim->devices[0].type
                                    : "not named");
  };
  EXPECT_EQ(refusal(domain_), "(not refused)");
  EXPECT_EQ(read_file(seen), "named 1145");
  EXPECT_FALSE(claims_.find(domain_.uuid)->devices[0].writer);
  EXPECT_THAT(release(), IsEmpty());
  EXPECT_EQ(read_file(seen), "named 1145");
}

/// Release takes no lock of the PF, as others do who change what its VFs are.
TEST_F(RestartTest, a_release_beside_a_change_of_the_vfs_does_no_harm) {
  EXPECT_EQ(refusal(domain_), "(not refused)");
  const auto lock = lock_vfs(root_, at("0000:42:00.0"), milliseconds(0));
  ASSERT_TRUE(lock);
  const std::string seen = scripts_ / "seen";
  on_write_ = [&] { write_file_atomically(seen, use_of_vfs(root_, at("0000:42:00.0"))); };
  EXPECT_THAT(release(), IsEmpty()) << "who has the lock is not waited for";
  EXPECT_THAT(read_file(seen).value_or(""), HasSubstr("in use by domain 'web01'"))
      << "and whoever has it leaves the VFs alone until the vGPU is gone";
  EXPECT_EQ(use_of_vfs(root_, at("0000:42:00.0")), "");
}

// ---- what is left of processes that were killed

TEST_F(RestartTest, temporary_files_are_swept) {
  std::vector<std::string> files;
  for (const std::string& directory :
       {paths::single_use(root_), paths::quarantine(root_), paths::vf_settings(root_),
        paths::qemu_versions(root_), paths::started_anyway(root_)}) {
    make_directories(directory);
    files.push_back(directory + "/0000:41:00.0.tmp4711");
    write_file_atomically(files.back(), "");
    files.push_back(directory + "/0000:41:00.0.tmp77");
    write_file_atomically(files.back(), "");
  }
  host_.process(77, "50-gpuward", {});
  reconcile_all();
  for (const std::string& file : files) EXPECT_EQ(exists(file), file.ends_with("77")) << file;
  EXPECT_THAT(used_devices(root_, single_use_marks(root_)), IsEmpty());
}

}  // namespace
}  // namespace gpuward
