// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "inventory/usage.hpp"
#include "pci_fixtures.hpp"
#include "provision/provision.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"
#include "state/vf_settings.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(50)};
const std::string pf = "0000:41:00.0";

/// A PF of four VFs, and a section for it.
class ProvisionVfsTest : public testing::Test {
 protected:
  ProvisionVfsTest() {
    host_.pci_gpu(pf);
    host_.sriov(pf, 4);
    Claims(host_.root()).make_ready();
    config_.gpus.resize(1);
    section().selector = *parse_gpu_selector(pf);
    section().use = Use::vf;
    section().vfs = 2;
  }
  GpuSection& section() { return config_.gpus[0]; }
  void claim(const std::string& device, const std::string& parent, Use use = Use::vf) {
    ClaimedDevice claimed{
        .alias = "ua-gpuward-0", .profile = "part", .instance = {}, .parent = parent, .type = "-"};
    claimed.use = use;
    claimed.address = at(device);
    Uuid domain;
    domain.bytes[15] = 7;
    Claims(host_.root()).write({domain, "web", {claimed}});
  }
  void opens(const std::string& vf) {
    host_.pci_gpu(vf).attribute("drm/card3/dev", "226:3");
    host_.process(77, "Xorg", {"/dev/dri/card3"});
  }
  Provisioned run() { return provision(host_.root(), config_, patient); }
  size_t count() { return virtual_functions(host_.root(), at(pf)).size(); }
  FakeHost host_;
  Config config_;
};

TEST_F(ProvisionVfsTest, makes_what_is_wanted_and_then_has_nothing_to_do) {
  const Provisioned done = run();
  ASSERT_THAT(done.vfs, SizeIs(1));
  EXPECT_EQ(to_string(done.vfs[0]), "VFs of 0000:41:00.0: from 0 to 2");
  EXPECT_EQ(count(), 2u);
  const auto writes = host_.writes();
  EXPECT_THAT(run().vfs, IsEmpty());
  EXPECT_EQ(host_.writes(), writes) << "who had a VF open would lose it";
}

/// A network card has VFs, too.
TEST_F(ProvisionVfsTest, a_section_for_any_gpu_is_not_about_other_devices) {
  host_.pci_gpu(pf).attribute("class", "0x020000");
  section().selector = *parse_gpu_selector("*");
  for (const unsigned number : {2u, 0u}) {
    section().vfs = number;
    host_.set_vfs(pf, number == 0 ? 3 : 0);
    const Provisioned done = run();
    EXPECT_THAT(done.vfs, IsEmpty());
    EXPECT_EQ(count(), number == 0 ? 3u : 0u);
  }
  section().selector = *parse_gpu_selector(pf);
  EXPECT_THAT(run().vfs, SizeIs(1)) << "the administrator named it";
}

TEST_F(ProvisionVfsTest, another_number_replaces_those_that_nobody_uses) {
  host_.set_vfs(pf, 3);
  EXPECT_THAT(run().vfs, SizeIs(1));
  EXPECT_EQ(count(), 2u);
  section().vfs = 0;
  run();
  EXPECT_EQ(count(), 0u);
}

TEST_F(ProvisionVfsTest, max_is_all_that_there_can_be) {
  section().vfs = GpuSection::max_vfs;
  run();
  EXPECT_EQ(count(), 4u);
}

TEST_F(ProvisionVfsTest, the_number_stays_while_a_domain_holds_one) {
  host_.set_vfs(pf, 3);
  claim("0000:41:00.1", pf);
  const Provisioned done = run();
  EXPECT_THAT(done.vfs, IsEmpty());
  EXPECT_THAT(done.kept, ElementsAre("VFs of 0000:41:00.0: from 3 to 2: not changed: "
                                     "0000:41:00.1 is in use by domain 'web'"));
  EXPECT_EQ(count(), 3u);
}

TEST_F(ProvisionVfsTest, the_number_stays_while_a_process_has_one_open) {
  host_.set_vfs(pf, 3);
  opens("0000:41:00.2");
  EXPECT_THAT(run().kept, ElementsAre(HasSubstr("0000:41:00.2 is in use by process 77 (Xorg)")));
  EXPECT_EQ(count(), 3u);
}

/// Its driver is VFIO's, and what is written goes to the card in the guest.
TEST_F(ProvisionVfsTest, none_are_enabled_on_a_card_that_a_domain_has_whole) {
  claim(pf, pf, Use::whole);
  EXPECT_THAT(run().kept, ElementsAre("VFs of 0000:41:00.0: from 0 to 2: not changed: "
                                      "GPU 0000:41:00.0: in use by domain 'web'"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ProvisionVfsTest, none_are_enabled_on_a_card_with_the_mark_or_that_a_guest_has_open) {
  mark_used(host_.root(), at(pf), Uuid{}, "web");
  EXPECT_THAT(run().kept, ElementsAre(HasSubstr("run: gpuward clear 0000:41:00.0")));
  clear_used(host_.root(), at(pf));
  host_.iommu_group(1, {pf});
  host_.process(77, "qemu", {"/dev/vfio/1"});
  EXPECT_THAT(run().kept, ElementsAre(HasSubstr("0000:41:00.0 is in use by process 77 (qemu)")));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

/// After a restart of the host one that waits for its scrub program needs them.
TEST_F(ProvisionVfsTest, a_claim_of_a_vf_that_does_not_exist_does_not_keep_them_disabled) {
  claim("0000:41:00.1", pf);
  run();
  EXPECT_EQ(count(), 2u);
}

TEST_F(ProvisionVfsTest, claims_of_other_devices_keep_nothing) {
  host_.set_vfs(pf, 3);
  claim("0000:42:00.1", "0000:42:00.0");
  EXPECT_EQ(use_of_vfs(host_.root(), at(pf)), "");
  claim("0000:41:00.1", pf, Use::mdev);
  EXPECT_EQ(use_of_vfs(host_.root(), at(pf)), "");
}

/// A domain may have claimed one after the plan was made.
TEST_F(ProvisionVfsTest, who_uses_one_is_asked_again_under_the_lock) {
  host_.set_vfs(pf, 3);
  const VfChange change{at(pf), 3, {2, false, {}}};
  claim("0000:41:00.1", pf);
  EXPECT_EQ(change_vfs(host_.root(), change, milliseconds(0), patient.write),
            "0000:41:00.1 is in use by domain 'web'");
  EXPECT_EQ(count(), 3u);
}

TEST_F(ProvisionVfsTest, a_change_that_takes_too_long_is_left_to_its_end_and_then_done) {
  host_.reacts(pf, "sriov_numvfs", [&](const std::string& value) {
    host_.hang();
    host_.set_vfs(pf, static_cast<unsigned>(std::stoul(value)));
    return 0;
  });
  const Deadlines hasty{milliseconds(60'000), milliseconds(500), milliseconds(50)};
  EXPECT_THAT(provision(host_.root(), config_, hasty).failed,
              ElementsAre(HasSubstr("blocked in the kernel")));
  const auto writes = host_.writes();
  EXPECT_THAT(run().failed, ElementsAre(HasSubstr("an earlier change is still running")));
  EXPECT_EQ(change_vfs(host_.root(), {at(pf), 0, {2, false, {}}}, milliseconds(0), patient.write)
                .find("an earlier change"),
            0u);
  host_.lets_go();
  const Process writer = recorded_vfs(host_.root(), at(pf), 0).writer;
  wait_until_ended(host_.root(), writer, milliseconds(60'000));
  const Provisioned done = run();
  EXPECT_THAT(done.vfs, IsEmpty());
  EXPECT_THAT(done.failed, IsEmpty());
  EXPECT_EQ(host_.writes(), writes);
  EXPECT_EQ(count(), 2u);
}

TEST_F(ProvisionVfsTest, a_domain_that_is_being_started_is_waited_for) {
  const auto lock = lock_vfs(host_.root(), at(pf), milliseconds(0));
  ASSERT_TRUE(lock);
  EXPECT_EQ(change_vfs(host_.root(), {at(pf), 0, {2, false, {}}}, milliseconds(20), patient.write),
            "timed out waiting for another change of these VFs");
  EXPECT_EQ(count(), 0u);
}

TEST_F(ProvisionVfsTest, more_than_there_can_be_is_told_and_nothing_made) {
  section().vfs = 5;
  EXPECT_THAT(run().failed, ElementsAre("0000:41:00.0: vfs = 5 exceeds sriov_totalvfs (4)"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ProvisionVfsTest, without_a_number_they_are_left_to_who_needs_one) {
  section().vfs.reset();
  host_.set_vfs(pf, 1);
  run();
  EXPECT_EQ(count(), 1u);
}

TEST_F(ProvisionVfsTest, a_section_that_gives_the_pf_otherwise_makes_none) {
  GpuSection whole = section();  // the number stands in [gpu *], the use in the card's own section
  whole.vfs.reset();
  whole.use = Use::whole;
  section().selector = GpuSelector();
  config_.gpus.push_back(whole);
  run();
  EXPECT_EQ(count(), 0u);
}

TEST_F(ProvisionVfsTest, other_hardware_than_expected_gets_none) {
  section().expect.slot = "9";
  EXPECT_THAT(run().failed, ElementsAre(HasSubstr("expects slot:9")));
  EXPECT_EQ(count(), 0u);
}

TEST_F(ProvisionVfsTest, quotas_of_the_section_are_set) {
  section().vfs = 1;
  section().quota = {20, 1000, 512};
  for (const std::string key : {"vram_quota", "exec_quantum_ms", "preempt_timeout_us"})
    host_.reacts(pf, "sriov_admin/vf1/profile/" + key, [](const std::string&) { return 0; });
  run();
  const std::string profile = pf + "/sriov_admin/vf1/profile/";
  EXPECT_THAT(host_.writes(),
              ElementsAre(pf + "/sriov_drivers_autoprobe 0", profile + "vram_quota 536870912",
                          profile + "exec_quantum_ms 20", profile + "preempt_timeout_us 1000",
                          pf + "/sriov_numvfs 1"));
}

TEST_F(ProvisionVfsTest, a_pf_that_is_not_there_is_missing) {
  EXPECT_THAT(missing_gpus(host_.root(), config_), IsEmpty());
  section().selector = *parse_gpu_selector("0000:42:00.0");
  EXPECT_THAT(missing_gpus(host_.root(), config_), ElementsAre("0000:42:00.0"));
}

TEST_F(ProvisionVfsTest, vfs_stay_while_an_mdev_on_one_is_claimed_or_open) {
  host_.set_vfs(pf, 3);
  section().vfs = 0;
  const std::string vf = "0000:41:00.2";
  const Uuid mdev = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.parent(vf).type("nvidia-63", 1);
  host_.instance(vf, "nvidia-63", mdev);
  host_.opens(77, "qemu", mdev);
  EXPECT_THAT(run().kept, ElementsAre(HasSubstr("instance " + to_string(mdev) + " on " + vf +
                                                ": in use by process 77 (qemu)")));
  EXPECT_EQ(count(), 3u);
  host_.ends(77);
  Uuid domain;
  domain.bytes[15] = 7;
  Claims(host_.root())
      .write({domain,
              "web",
              {{.alias = "ua-gpuward-0",
                .profile = "small",
                .instance = mdev,
                .parent = vf,
                .type = "nvidia-63"}}});
  EXPECT_THAT(run().kept, ElementsAre(HasSubstr("on " + vf + " is in use by domain 'web'")));
  EXPECT_EQ(count(), 3u);
  Claims(host_.root()).drop(domain);
  EXPECT_THAT(run().kept, ElementsAre(HasSubstr("on " + vf + ": created by another program")));
  EXPECT_EQ(count(), 3u);
  host_.instance_goes(mdev);
  run();
  EXPECT_EQ(count(), 0u);
}

TEST_F(ProvisionVfsTest, a_card_whose_vfs_are_the_parents_is_not_missing) {
  host_.set_vfs(pf, 1);
  section().vfs.reset();
  section().instances = {{"nvidia-63", 1}};
  EXPECT_THAT(missing_gpus(host_.root(), config_), ElementsAre(pf));
  host_.parent("0000:41:00.1").type("nvidia-63", 1);
  EXPECT_THAT(missing_gpus(host_.root(), config_), IsEmpty());
}

// ---- a card of which it is not known which sections speak of it

TEST_F(ProvisionVfsTest, leaves_a_card_alone_whose_serial_number_cannot_be_read) {
  host_.pci_gpu(pf).attribute("power_state", "D3cold").attribute("config", std::string(4096, '\0'));
  section().selector = *parse_gpu_selector("*");
  config_.gpus.resize(2);
  config_.gpus[1].selector = *parse_gpu_selector("serial=1324");
  config_.gpus[1].use = Use::off;
  const Provisioned done = run();
  EXPECT_THAT(done.vfs, IsEmpty());
  EXPECT_EQ(count(), 0u);
  EXPECT_THAT(done.failed, ElementsAre(HasSubstr("whose serial number cannot be read")));
  config_.gpus[1].selector = *parse_gpu_selector("slot=4");
  EXPECT_THAT(run().vfs, SizeIs(1)) << "no card is in that slot";
}

TEST_F(ProvisionVfsTest, sets_up_the_card_that_a_serial_number_selects) {
  host_.pci_gpu(pf).attribute("power_state", "D0").attribute("serial_number", "1324");
  section().selector = *parse_gpu_selector("serial=1325");
  EXPECT_THAT(run().vfs, IsEmpty());
  section().selector = *parse_gpu_selector("serial=1324");
  EXPECT_THAT(run().vfs, SizeIs(1));
}

}  // namespace
}  // namespace gpuward
