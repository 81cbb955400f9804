// SPDX-License-Identifier: LGPL-2.1-or-later
// A domain's life with PCI devices: prepare_devices, release_devices, reconcile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <thread>

#include "allocation/request_verdict.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "lifecycle/check_running.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/reconcile.hpp"
#include "lifecycle/release.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"
#include "pci_fixtures.hpp"
#include "started_log.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"
#include "state/vf_settings.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using State = ClaimedDevice::State;
using Names = std::vector<std::string>;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(100),
                            milliseconds(60'000)};
constexpr Deadlines hasty{milliseconds(60'000), milliseconds(500), milliseconds(50),
                          milliseconds(500)};
constexpr Deadlines waits_for_processes{milliseconds(60'000), milliseconds(60'000),
                                        milliseconds(60'000)};

class PciLifeTest : public testing::Test {
 protected:
  PciLifeTest() {
    host_.pci_gpu("0000:41:00.0").driver("nouveau").attribute("reset", "");
    host_.pci_gpu("0000:41:00.1").attribute("class", "0x040300").driver("snd_hda_intel");
    host_.iommu_group(20, {"0000:41:00.0", "0000:41:00.1"});
    host_.sriov("0000:42:00.0", 4);
    section("0000:42:00.0", Use::vf);
    profile("card", Use::whole);
    profile("part", Use::vf);
    profile("vgpu", Use::vendor_vf).types = {"NVIDIA L40S-2B", "1145"};
  }
  GpuSection& section(const std::string& selector, Use use) {
    GpuSection section;
    section.selector = *parse_gpu_selector(selector);
    section.use = use;
    config_.gpus.push_back(section);
    return config_.gpus.back();
  }
  Profile& profile(const std::string& name, Use use) {
    Profile profile;
    profile.name = name;
    profile.use = use;
    config_.profiles.push_back(profile);
    return config_.profiles.back();
  }
  Profile& profile(const std::string& name) {
    for (Profile& each : config_.profiles)
      if (each.name == name) return each;
    throw std::logic_error(name);
  }
  /// One that asks for a GPU of the profile at the first of these addresses; the rest are
  /// companions.
  static Domain domain(unsigned number, const std::string& profile, const Names& addresses) {
    Domain domain;
    domain.uuid.bytes[15] = static_cast<uint8_t>(number);
    domain.name = "vm" + std::to_string(number);
    domain.requests.push_back({"ua-gpuward-0", profile});
    for (const std::string& address : addresses) {
      Hostdev hostdev;
      hostdev.type = Hostdev::Type::pci;
      hostdev.address = at(address);
      hostdev.alias = domain.hostdevs.empty() ? "ua-gpuward-0" : "ua-gpuward-0-1";
      hostdev.managed = profile != "vgpu";
      domain.hostdevs.push_back(hostdev);
    }
    return domain;
  }
  /// NVIDIA's VF, whose driver does what it is told.
  void make_vgpu_vf(const std::string& vf) {
    config_.gpus[0].use = Use::vendor_vf;
    if (virtual_functions(host_.root(), at("0000:42:00.0")).empty())
      host_.set_vfs("0000:42:00.0", 4);
    host_.pci_gpu(vf)
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types", "1145 : NVIDIA L40S-1B\n1146 : NVIDIA L40S-2B")
        .attribute("vfio-dev/vfio0/dev", "1:2");
    obey(vf);
  }
  void obey(const std::string& vf) {
    host_.reacts(vf, "nvidia/current_vgpu_type", [this, vf](const std::string& value) {
      write_file_atomically(pci_path(host_.root(), at(vf)) + "/nvidia/current_vgpu_type",
                            value + '\n');
      return 0;
    });
  }
  void prepare(const Domain& domain, const Deadlines& deadlines = patient) {
    prepare_devices(host_.root(), config_, domain, deadlines);
  }
  std::string refusal(const Domain& domain, const Deadlines& deadlines = patient) {
    try {
      prepare(domain, deadlines);
    } catch (const Error& error) {
      return error.what();
    }
    return "(not refused)";
  }
  std::vector<QuarantinedDevice> release(const Domain& domain,
                                         const Deadlines& deadlines = patient) {
    const auto claim = claims_.find(domain.uuid);
    return claim ? release_devices(host_.root(), claims_, *claim, deadlines)
                 : std::vector<QuarantinedDevice>();
  }
  std::string vgpu(const std::string& vf) {
    const auto type = current_vgpu(host_.root(), at(vf));
    return type ? std::to_string(*type) : "?";
  }
  std::string script(const std::string& text) {
    const std::string path = scripts_ / "scrub";
    write_file_atomically(path, "#!/bin/sh\n" + text + '\n', 0755);
    return path;
  }
  FakeHost host_;
  TempDir scripts_;
  Config config_;
  Claims claims_{host_.root()};
  Domain card_ = domain(1, "card", {"0000:41:00.0", "0000:41:00.1"});
  Domain part_ = domain(2, "part", {"0000:42:00.2"});
  Domain vgpu_ = domain(3, "vgpu", {"0000:42:00.3"});
};

// ---- whole

TEST_F(PciLifeTest, a_card_is_claimed_with_its_companion_and_given_back) {
  prepare(card_);
  const auto claim = claims_.find(card_.uuid);
  ASSERT_TRUE(claim);
  ASSERT_THAT(claim->devices, SizeIs(2));
  EXPECT_EQ(claim->devices[0].address, at("0000:41:00.0"));
  EXPECT_EQ(claim->devices[1].address, at("0000:41:00.1"));
  EXPECT_EQ(claim->devices[1].alias, "ua-gpuward-0-1");
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_THAT(release(card_), IsEmpty());
  EXPECT_FALSE(claims_.find(card_.uuid));
}

TEST_F(PciLifeTest, a_companion_that_stays_behind_is_refused) {
  EXPECT_THAT(refusal(domain(1, "card", {"0000:41:00.0"})),
              HasSubstr("companion 0000:41:00.1 of the same IOMMU group is not assigned"));
  EXPECT_FALSE(claims_.find(card_.uuid));
}

TEST_F(PciLifeTest, what_the_host_is_to_bind_is_refused_until_all_of_it_is_bound) {
  profile("card").keep_driver = true;
  EXPECT_THAT(refusal(card_),
              HasSubstr("hostdev 'ua-gpuward-0' has managed='yes', and [profile card] "
                        "has driver = keep; run: gpuward reassign vm1"));
  card_.hostdevs[0].managed = false;
  EXPECT_THAT(refusal(card_), HasSubstr("device is bound to nouveau, and driver = keep"));
  EXPECT_THAT(refusal(card_), HasSubstr("run: driverctl set-override 0000:41:00.0 vfio-pci"));
  host_.pci_gpu("0000:41:00.0").driver("vfio-pci");
  EXPECT_THAT(refusal(card_), HasSubstr("companion 0000:41:00.1 is bound to snd_hda_intel"));
  EXPECT_THAT(refusal(card_), HasSubstr("run: driverctl set-override 0000:41:00.1 vfio-pci"));
  host_.pci_gpu("0000:41:00.1").driver("vfio-pci");
  EXPECT_THAT(refusal(card_), HasSubstr("hostdev 'ua-gpuward-0-1' has managed='yes'"));
  card_.hostdevs[1].managed = false;
  EXPECT_FALSE(claims_.find(card_.uuid));
  prepare(card_);
  EXPECT_TRUE(claims_.find(card_.uuid));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(PciLifeTest, a_vf_that_the_host_is_to_bind_is_not_made) {
  profile("part").keep_driver = true;
  part_.hostdevs[0].managed = false;
  EXPECT_THAT(refusal(part_), HasSubstr("VF is not enabled, and driver = keep in [profile part]"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(PciLifeTest, the_second_domain_is_told_the_first_ones_name) {
  prepare(card_);
  const Domain second = domain(9, "card", {"0000:41:00.0", "0000:41:00.1"});
  EXPECT_THAT(refusal(second),
              HasSubstr("0000:41:00.0): in use by domain 'vm1'; shut domain 'vm1' down"));
  EXPECT_FALSE(claims_.find(second.uuid));
  host_.pci_gpu("0000:43:00.0");
  EXPECT_THAT(refusal(second), HasSubstr("in use by domain 'vm1'; run: gpuward reassign vm9"));
  release(card_);
  prepare(second);
}

TEST_F(PciLifeTest, a_card_that_is_open_is_refused_with_the_process) {
  host_.pci_gpu("0000:41:00.0").attribute("drm/card1/dev", "226:1");
  host_.process(77, "Xorg", {"/dev/dri/card1"});
  EXPECT_THAT(refusal(card_), HasSubstr("0000:41:00.0): in use by process 77 (Xorg)"));
  host_.ends(77);
  prepare(card_);
}

TEST_F(PciLifeTest, also_when_a_companion_is_or_by_nvidias_node) {
  host_.process(77, "qemu", {"/dev/vfio/20"});
  EXPECT_THAT(refusal(card_), HasSubstr("process 77 (qemu)"));
  host_.ends(77);
  host_.file("/proc/driver/nvidia/gpus/0000:41:00.0/information", "Device Minor: \t 3\n");
  host_.process(78, "nvidia-persiste", {"/dev/nvidia3"});
  EXPECT_THAT(refusal(card_), HasSubstr("process 78 (nvidia-persiste)"));
}

/// A QEMU that libvirt killed needs a moment to be gone from /proc.
TEST_F(PciLifeTest, a_process_that_is_ending_is_waited_for) {
  const auto soon = [this] {
    host_.process(77, "qemu", {"/dev/vfio/20"});
    return std::thread([this] {
      std::this_thread::sleep_for(milliseconds(120));
      host_.ends(77);
    });
  };
  std::thread end = soon();
  EXPECT_EQ(refusal(card_, waits_for_processes), "(not refused)");
  end.join();
  end = soon();
  EXPECT_THAT(release(card_, waits_for_processes), IsEmpty());
  end.join();
}

/// Both found it free before either had claimed it.
TEST_F(PciLifeTest, of_two_at_the_same_instant_the_later_is_refused) {
  claims_.make_ready();
  auto lock = claims_.lock_host(patient.lock);
  std::string said;
  std::thread second([&] { said = refusal(domain(9, "card", {"0000:41:00.0", "0000:41:00.1"})); });
  std::this_thread::sleep_for(milliseconds(200));  // it waits for the lock, or is slow and learns
  claims_.write({card_.uuid, card_.name, {whole_card("0000:41:00.0")}});
  lock.reset();
  second.join();
  EXPECT_THAT(said, HasSubstr("0000:41:00.0): in use by domain 'vm1'"));
}

TEST_F(PciLifeTest, a_group_with_a_stranger_in_use_is_refused_with_its_name) {
  host_.pci_gpu("0000:50:00.0").driver("e1000e");
  host_.iommu_group(20, {});
  host_.pci_gpu("0000:50:00.0").link("iommu_group", "../../kernel/iommu_groups/20");
  host_.file("/sys/kernel/iommu_groups/20/devices/0000:50:00.0/x", "");
  EXPECT_THAT(refusal(card_), HasSubstr("0000:50:00.0 is bound to host driver e1000e"));
}

TEST_F(PciLifeTest, without_an_iommu_nothing_is_given) {
  host_.pci_gpu("0000:60:00.0");
  EXPECT_THAT(refusal(domain(1, "card", {"0000:60:00.0"})), HasSubstr("no IOMMU group"));
}

TEST_F(PciLifeTest, a_pf_with_vfs_is_not_given_whole) {
  config_.gpus[0].use = Use::whole;
  host_.iommu_group(21, {"0000:42:00.0"});
  host_.set_vfs("0000:42:00.0", 2);
  EXPECT_THAT(refusal(domain(1, "card", {"0000:42:00.0"})), HasSubstr("2 VFs"));
}

TEST_F(PciLifeTest, the_way_to_reset_is_set_first) {
  host_.reacts("0000:41:00.0", "reset_method", [](const std::string&) { return 0; });
  section("0000:41:00.0", Use::whole).reset_method = "bus";
  prepare(card_);
  EXPECT_THAT(host_.writes(), ElementsAre("0000:41:00.0/reset_method bus"));
  release(card_);
  host_.reacts("0000:41:00.0", "reset_method", [](const std::string&) { return EINVAL; });
  EXPECT_THAT(refusal(card_), HasSubstr("cannot set reset-method = bus: Invalid argument"));
  EXPECT_FALSE(claims_.find(card_.uuid));
}

TEST_F(PciLifeTest, the_way_to_reset_that_is_set_is_not_set_again) {
  host_.pci_gpu("0000:41:00.0").attribute("reset_method", "bus");
  host_.reacts("0000:41:00.0", "reset_method", [](const std::string&) { return EINVAL; });
  section("0000:41:00.0", Use::whole).reset_method = "bus";
  EXPECT_EQ(refusal(card_), "(not refused)");
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(PciLifeTest, the_way_to_reset_that_a_killed_process_set_is_read_back) {
  const std::string file = pci_path(host_.root(), at("0000:41:00.0")) + "/reset_method";
  section("0000:41:00.0", Use::whole).reset_method = "bus";
  host_.reacts("0000:41:00.0", "reset_method", [](const std::string&) -> int { die(); });
  EXPECT_THAT(refusal(card_), HasSubstr("cannot set reset-method = bus: process writing "
                                        "reset_method died; check: journalctl -k"));
  host_.reacts("0000:41:00.0", "reset_method", [&](const std::string& value) -> int {
    write_file_atomically(file, value + '\n');
    die();
  });
  EXPECT_EQ(refusal(card_), "(not refused)");
}

TEST_F(PciLifeTest, what_is_open_at_release_stays_in_quarantine) {
  prepare(card_);
  host_.process(77, "qemu", {"/dev/vfio/20"});
  const auto kept = release(card_);
  ASSERT_THAT(kept, SizeIs(2));
  EXPECT_THAT(kept[0].reason, HasSubstr("in use by process 77 (qemu)"));
  EXPECT_THAT(refusal(domain(9, "card", {"0000:41:00.0", "0000:41:00.1"})),
              HasSubstr("quarantined after use by domain 'vm1'"));
  host_.ends(77);
  const auto results = reconcile(
      host_.root(), [](const Uuid&) { return false; }, patient, false);
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].result, Reconciled::Result::given_back);
}

TEST_F(PciLifeTest, an_orphan_that_a_process_has_open_is_left_alone) {
  prepare(card_);
  host_.process(77, "qemu", {"/dev/vfio/20"});
  const auto results = reconcile(
      host_.root(), [](const Uuid&) { return false; }, patient, false);
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].result, Reconciled::Result::left_alone);
  EXPECT_THAT(results[0].reason, HasSubstr("in use by process 77 (qemu)"));
  EXPECT_EQ(claims_.find(card_.uuid)->devices[0].state, State::claimed);
}

TEST_F(PciLifeTest, a_card_that_was_pulled_is_given_back) {
  prepare(card_);
  host_.parent_goes("0000:41:00.0");
  host_.parent_goes("0000:41:00.1");
  EXPECT_THAT(release(card_), IsEmpty());
  EXPECT_FALSE(claims_.find(card_.uuid));
}

// ---- vf

TEST_F(PciLifeTest, a_vf_is_made_when_the_first_domain_needs_one) {
  prepare(part_);
  EXPECT_THAT(virtual_functions(host_.root(), at("0000:42:00.0")), SizeIs(4));
  EXPECT_EQ(claims_.find(part_.uuid)->devices[0].parent, "0000:42:00.0");
  EXPECT_THAT(release(part_), IsEmpty());
  EXPECT_THAT(virtual_functions(host_.root(), at("0000:42:00.0")), SizeIs(4));
}

TEST_F(PciLifeTest, a_vf_that_cannot_be_made_leaves_nothing) {
  host_.reacts("0000:42:00.0", "sriov_numvfs", [](const std::string&) { return ENOENT; });
  EXPECT_THAT(refusal(part_), HasSubstr("GIM"));
  EXPECT_FALSE(claims_.find(part_.uuid));
}

TEST_F(PciLifeTest, a_vf_that_is_elsewhere_now_is_told) {
  host_.reacts("0000:42:00.0", "sriov_numvfs", [this](const std::string&) {
    host_.set_vfs("0000:42:00.0", 1);
    return 0;
  });
  config_.gpus[0].vfs = 2;
  EXPECT_THAT(refusal(part_), HasSubstr("driver enabled 1 VFs instead of 2"));
}

TEST_F(PciLifeTest, a_vf_that_the_driver_makes_elsewhere_is_told) {
  host_.reacts("0000:42:00.0", "sriov_numvfs", [this](const std::string&) {
    host_.set_vfs("0000:42:00.0", 4);
    host_.parent_goes("0000:42:00.2");
    host_.pci_gpu("0000:42:00.0").link("virtfn1", "../0000:42:01.2");
    return 0;
  });
  EXPECT_THAT(refusal(part_),
              HasSubstr("the VFs of 0000:42:00.0 have new addresses; run: gpuward reassign"));
  EXPECT_FALSE(claims_.find(part_.uuid));
}

TEST_F(PciLifeTest, vfs_that_another_process_changes_are_waited_for_but_not_for_ever) {
  claims_.make_ready();
  const auto lock = lock_vfs(host_.root(), at("0000:42:00.0"), milliseconds(0));
  const Deadlines impatient{milliseconds(20), milliseconds(500), milliseconds(50)};
  EXPECT_THAT(refusal(part_, impatient),
              HasSubstr("timed out waiting for another change of the VFs of 0000:42:00.0"));
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_FALSE(claims_.find(part_.uuid));
}

/// With a change of the VFs that gpuward-provision has begun and whose write is blocked.
class SlowPfTest : public PciLifeTest {
 protected:
  pid_t change_vfs(unsigned count) {
    host_.reacts("0000:42:00.0", "sriov_numvfs", [this](const std::string& value) {
      host_.hang();
      host_.set_vfs("0000:42:00.0", static_cast<unsigned>(std::stoul(value)));
      return 0;
    });
    const VfSettings wanted{count, false, {}};
    const auto change = enable_vfs(host_.root(), at("0000:42:00.0"), wanted, milliseconds(500));
    writes_ = host_.writes();
    return change.blocked;
  }
  void expect_refused(pid_t writer) {
    EXPECT_EQ(refusal(part_, hasty),
              "GPU 0 (0000:42:00.2): VFs of 0000:42:00.0: an earlier change is still running "
              "(process " +
                  std::to_string(writer) + "); check: journalctl -k");
    EXPECT_EQ(host_.writes(), writes_) << "a second would be blocked beside it";
    EXPECT_FALSE(claims_.find(part_.uuid));
  }
  Names writes_;
};

TEST_F(SlowPfTest, vfs_that_are_still_being_enabled_are_not_enabled_beside_it) {
  expect_refused(change_vfs(4));
}

TEST_F(SlowPfTest, a_vf_that_may_be_about_to_go_is_not_given) {
  host_.set_vfs("0000:42:00.0", 4);
  expect_refused(change_vfs(2));
}

TEST_F(SlowPfTest, the_end_of_an_earlier_change_is_waited_for) {
  change_vfs(4);
  std::thread end([this] {
    std::this_thread::sleep_for(milliseconds(100));
    host_.lets_go();
  });
  EXPECT_EQ(refusal(part_), "(not refused)");
  end.join();
  EXPECT_EQ(host_.writes(), writes_);
}

// ---- vendor-vf

TEST_F(PciLifeTest, a_vgpu_is_created_and_removed) {
  make_vgpu_vf("0000:42:00.3");
  prepare(vgpu_);
  EXPECT_EQ(vgpu("0000:42:00.3"), "1146");
  EXPECT_EQ(claims_.find(vgpu_.uuid)->devices[0].type, "1146");
  EXPECT_THAT(release(vgpu_), IsEmpty());
  EXPECT_EQ(vgpu("0000:42:00.3"), "0");
}

TEST_F(PciLifeTest, the_next_type_is_taken_when_the_first_is_not_offered) {
  make_vgpu_vf("0000:42:00.3");
  host_.pci_gpu("0000:42:00.3").attribute("nvidia/creatable_vgpu_types", "1145 : NVIDIA L40S-1B");
  prepare(vgpu_);
  EXPECT_EQ(vgpu("0000:42:00.3"), "1145");
}

TEST_F(PciLifeTest, what_is_offered_is_told_when_nothing_fits) {
  make_vgpu_vf("0000:42:00.3");
  host_.pci_gpu("0000:42:00.3").attribute("nvidia/creatable_vgpu_types", "1 : NVIDIA L40S-8Q");
  EXPECT_THAT(
      refusal(vgpu_),
      HasSubstr("no type of profile 'vgpu' can be created on the VF (creatable: NVIDIA L40S-8Q)"));
  EXPECT_FALSE(claims_.find(vgpu_.uuid));
}

TEST_F(PciLifeTest, a_vgpu_that_nobody_claims_goes_first_if_it_may_be_adopted) {
  make_vgpu_vf("0000:42:00.3");
  config_.gpus[0].adopt = true;
  host_.pci_gpu("0000:42:00.3").attribute("nvidia/current_vgpu_type", "1145");
  prepare(vgpu_);
  EXPECT_THAT(host_.writes(), ElementsAre("0000:42:00.3/nvidia/current_vgpu_type 0",
                                          "0000:42:00.3/nvidia/current_vgpu_type 1146"));
}

TEST_F(PciLifeTest, a_vgpu_that_does_not_go_stays_claimed) {
  make_vgpu_vf("0000:42:00.3");
  prepare(vgpu_);
  host_.reacts("0000:42:00.3", "nvidia/current_vgpu_type",
               [](const std::string&) { return EBUSY; });
  const auto kept = release(vgpu_, hasty);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_THAT(kept[0].reason, HasSubstr("cannot remove the vGPU: driver rejected vGPU type 0"));
  EXPECT_EQ(claims_.find(vgpu_.uuid)->devices[0].state, State::quarantined);
  obey("0000:42:00.3");
  EXPECT_THAT(release(vgpu_), IsEmpty());
  EXPECT_EQ(vgpu("0000:42:00.3"), "0");
}

TEST_F(PciLifeTest, a_late_release_leaves_the_next_owners_vgpu) {
  make_vgpu_vf("0000:42:00.3");
  prepare(vgpu_);
  release(vgpu_);
  const Domain next = domain(4, "vgpu", {"0000:42:00.3"});
  prepare(next);
  EXPECT_THAT(release(vgpu_), IsEmpty());
  EXPECT_EQ(vgpu("0000:42:00.3"), "1146");
}

TEST_F(PciLifeTest, libvirt_may_not_take_a_vendor_vf_from_its_driver) {
  make_vgpu_vf("0000:42:00.3");
  vgpu_.hostdevs[0].managed = true;
  EXPECT_THAT(refusal(vgpu_), HasSubstr("managed='yes', which would unbind NVIDIA's driver"));
}

TEST_F(PciLifeTest, without_a_vfio_provider_the_vgpu_goes_again) {
  make_vgpu_vf("0000:42:00.3");
  host_.pci_gpu("0000:42:00.3").without("vfio-dev/vfio0/dev").without("vfio-dev/vfio0");
  host_.pci_gpu("0000:42:00.3").without("vfio-dev");
  EXPECT_THAT(refusal(vgpu_), HasSubstr("no vfio-dev"));
  EXPECT_EQ(vgpu("0000:42:00.3"), "0");
  EXPECT_FALSE(claims_.find(vgpu_.uuid));
}

TEST_F(PciLifeTest, a_driver_that_hangs_refuses_in_time_and_is_finished_later) {
  make_vgpu_vf("0000:42:00.3");
  host_.reacts("0000:42:00.3", "nvidia/current_vgpu_type", [this](const std::string&) {
    host_.hang();
    return 0;
  });
  EXPECT_THAT(refusal(vgpu_, hasty), HasSubstr("blocked in the kernel (process"));
  ASSERT_TRUE(claims_.find(vgpu_.uuid));
  EXPECT_EQ(claims_.find(vgpu_.uuid)->devices[0].state, State::quarantined);
  host_.lets_go();
  obey("0000:42:00.3");
  EXPECT_THAT(release(vgpu_), IsEmpty());
}

TEST_F(PciLifeTest, only_our_own_program_is_waited_for) {
  make_vgpu_vf("0000:42:00.3");
  prepare(vgpu_);
  Claim claim = *claims_.find(vgpu_.uuid);
  claim.devices[0].writer.pid = 77;
  claims_.write(claim);
  host_.process(77, "50-gpuward", {});
  EXPECT_THAT(release(vgpu_), SizeIs(1));
  host_.ends(77);
  host_.process(77, "bash", {});  // the number is another's by now
  EXPECT_THAT(release(vgpu_), IsEmpty());
  EXPECT_EQ(vgpu("0000:42:00.3"), "0");
}

// ---- between two domains

TEST_F(PciLifeTest, the_scrub_program_knows_device_and_owner) {
  profile("part").scrub = script(
      "echo \"$GPUWARD_DEVICE $GPUWARD_USE $GPUWARD_DOMAIN_NAME $GPUWARD_PROFILE "
      "$GPUWARD_DOMAIN_UUID\" >" +
      (scripts_ / "said"));
  prepare(part_);
  EXPECT_FALSE(exists(scripts_ / "said"));
  EXPECT_THAT(release(part_), IsEmpty());
  EXPECT_EQ(read_attribute(scripts_ / "said"), "0000:42:00.2 vf vm2 part " + to_string(part_.uuid));
}

TEST_F(PciLifeTest, a_card_is_scrubbed_once_and_not_for_its_companion) {
  profile("card").scrub = script("echo $GPUWARD_DEVICE >>" + (scripts_ / "said"));
  profile("card").one_time = true;
  prepare(card_);
  EXPECT_THAT(release(card_), IsEmpty());
  EXPECT_EQ(read_attribute(scripts_ / "said"), "0000:41:00.0");
  EXPECT_FALSE(used_by(host_.root(), at("0000:41:00.1")));
}

/// A write that a signal interrupts is no sign that nobody reads: the release itself finishes.
TEST_F(PciLifeTest, a_signal_does_not_cost_the_result_of_a_scrub) {
  profile("part").scrub = script("exit 0");
  prepare(part_);
  host_.interruptions = 1;
  EXPECT_THAT(release(part_), IsEmpty());
  EXPECT_FALSE(claims_.find(part_.uuid));
}

TEST_F(PciLifeTest, a_scrub_that_fails_or_hangs_quarantines) {
  profile("part").scrub = script("exit 3");
  prepare(part_);
  auto kept = release(part_);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_THAT(kept[0].reason, HasSubstr("ended with status 3"));
  script("sleep 60");
  kept = release(part_, hasty);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_THAT(kept[0].reason, HasSubstr("timed out after"));
  script("exit 0");
  EXPECT_THAT(release(part_), IsEmpty());
}

TEST_F(PciLifeTest, a_scrub_program_that_others_can_write_keeps_the_domain_from_starting) {
  profile("part").scrub = script("exit 0");
  ::chmod(profile("part").scrub.c_str(), 0777);
  EXPECT_THAT(refusal(part_),
              HasSubstr("others than root may write it; run: chmod go-w " + profile("part").scrub));
  EXPECT_FALSE(claims_.find(part_.uuid));
  ::chmod(profile("part").scrub.c_str(), 0755);
  prepare(part_);
}

TEST_F(PciLifeTest, a_scrub_program_that_others_can_write_is_not_run_and_quarantines) {
  profile("part").scrub = script("touch " + (scripts_ / "said"));
  prepare(part_);
  ::chmod(scripts_.path().c_str(), 0777);
  const auto kept = release(part_);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_THAT(kept[0].reason, HasSubstr("scrub program not started: " + scripts_.path() +
                                        ": others than root may write it"));
  EXPECT_FALSE(exists(scripts_ / "said"));
  ::chmod(scripts_.path().c_str(), 0755);
  EXPECT_THAT(release(part_), IsEmpty());
  EXPECT_TRUE(exists(scripts_ / "said"));
}

TEST_F(PciLifeTest, a_device_far_from_the_domain_is_refused_where_numa_is_required) {
  write_file_atomically(host_.root().sys("bus/pci/devices/0000:41:00.0/numa_node"), "0\n");
  write_file_atomically(host_.root().sys("bus/pci/devices/0000:41:00.0/local_cpulist"), "0-3\n");
  profile("card").numa = Numa::require;
  card_.cpus = {4, 5};
  EXPECT_THAT(refusal(card_),
              HasSubstr("not local to the domain's memory and CPUs (numa = require)"));
  card_.cpus = {3};
  prepare(card_);
}

/// Releases part_, whose scrub program ends when `end` is there.
class LongScrubTest : public PciLifeTest {
 protected:
  LongScrubTest() {
    profile("part").one_time = true;
    prepare_with("while [ ! -e " + end_ + " ]; do sleep 0.05; done\nexit $(cat " + end_ + ")");
  }
  void prepare_with(const std::string& program) {
    profile("part").scrub = script(program);
    prepare(part_);
  }
  /// As the one that waits for the program holds the domain's lock only at the end.
  std::optional<Claim> claim_when(const std::function<bool(const std::optional<Claim>&)>& good) {
    for (int tries = 0; tries < 1000; ++tries) {
      const auto claim = claims_.find(part_.uuid);
      if (good(claim)) return claim;
      ::usleep(20'000);
    }
    ADD_FAILURE() << "the claim does not become as wanted";
    return {};
  }
  const std::string end_ = scripts_ / "end";
  Deadlines deadlines_ = [] {
    Deadlines deadlines = patient;
    deadlines.scrub = milliseconds(60'000);
    deadlines.scrub_wait = milliseconds(100);
    return deadlines;
  }();
};

TEST_F(LongScrubTest, is_not_waited_for_and_gives_the_device_back_itself) {
  const auto kept = release(part_, deadlines_);
  ASSERT_THAT(kept, SizeIs(1));
  const pid_t scrubber = kept[0].device.scrub_process.pid;
  EXPECT_EQ(kept[0].reason,
            "scrub program still running (process " + std::to_string(scrubber) + ")");
  EXPECT_EQ(claims_.find(part_.uuid)->devices[0].state, State::quarantined);
  host_.process(scrubber, "50-gpuward", {});
  EXPECT_THAT(release(part_, deadlines_), SizeIs(1)) << "not a second time beside it";
  EXPECT_THAT(refusal(domain(7, "part", {"0000:42:00.2"})),
              HasSubstr("quarantined after use by domain 'vm2'"));
  EXPECT_EQ(used_by(host_.root(), at("0000:42:00.2")), "vm2") << "since it was prepared";
  write_file_atomically(end_, "0");
  claim_when([](const auto& claim) { return !claim; });
  EXPECT_EQ(used_by(host_.root(), at("0000:42:00.2")), "vm2");
}

/// The guard, which lives on, would have it as a zombie.
TEST_F(LongScrubTest, leaves_no_child_to_wait_for) {
  const auto kept = release(part_, deadlines_);
  ASSERT_THAT(kept, SizeIs(1));
  errno = 0;
  EXPECT_EQ(::waitpid(kept[0].device.scrub_process.pid, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  write_file_atomically(end_, "0");
  claim_when([](const auto& claim) { return !claim; });
}

TEST_F(LongScrubTest, that_fails_in_the_end_leaves_it_in_quarantine) {
  const auto kept = release(part_, deadlines_);
  ASSERT_THAT(kept, SizeIs(1));
  write_file_atomically(end_, "3");
  const auto claim =
      claim_when([](const auto& seen) { return seen && seen->devices[0].scrub_process.pid == 0; });
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->devices[0].state, State::quarantined);
  EXPECT_EQ(claim->devices[0].scrub, profile("part").scrub);
  write_file_atomically(end_, "0");
  deadlines_.scrub_wait = milliseconds(60'000);
  EXPECT_THAT(release(part_, deadlines_), IsEmpty());
}

TEST_F(PciLifeTest, a_card_that_was_pulled_before_it_was_scrubbed_waits_for_it) {
  profile("card").scrub = script("touch " + (scripts_ / "said"));
  prepare(card_);
  host_.parent_goes("0000:41:00.0");
  auto kept = release(card_);
  ASSERT_THAT(kept, SizeIs(1));
  const std::string told =
      "device disappeared before it was scrubbed; run: gpuward clear 0000:41:00.0";
  EXPECT_EQ(to_string(quarantine_reason(kept[0])),
            "GPU 0 (0000:41:00.0): remains quarantined: " + told);
  EXPECT_EQ(refusal(card_), "GPU 0: 0000:41:00.0 is quarantined: " + told);
  host_.pci_gpu("0000:41:00.0").driver("nouveau");
  EXPECT_THAT(release(card_), IsEmpty());
  EXPECT_TRUE(exists(scripts_ / "said"));
}

TEST_F(PciLifeTest, nothing_is_scrubbed_when_no_guest_had_it) {
  profile("vgpu").scrub = script("touch " + (scripts_ / "said"));
  make_vgpu_vf("0000:42:00.3");
  host_.pci_gpu("0000:42:00.3").attribute("nvidia/creatable_vgpu_types", "");
  EXPECT_NE(refusal(vgpu_), "(not refused)");
  EXPECT_FALSE(exists(scripts_ / "said"));
}

TEST_F(PciLifeTest, a_device_for_one_time_is_not_given_twice) {
  profile("part").one_time = true;
  prepare(part_);
  EXPECT_THAT(release(part_), IsEmpty());
  EXPECT_THAT(refusal(part_), HasSubstr("already used by domain 'vm2' (one-time = yes); "
                                        "run: gpuward clear 0000:42:00.2"));
  clear_used(host_.root(), at("0000:42:00.2"));
  prepare(part_);
}

TEST_F(PciLifeTest, a_device_for_one_time_that_was_pulled_is_not_given_twice) {
  profile("card").one_time = true;
  prepare(card_);
  host_.parent_goes("0000:41:00.0");
  EXPECT_THAT(release(card_), IsEmpty());
  EXPECT_EQ(used_by(host_.root(), at("0000:41:00.0")), "vm1");
}

TEST_F(PciLifeTest, a_domain_starts_elsewhere_while_its_last_device_waits) {
  profile("part").scrub = script("exit 3");
  prepare(part_);
  EXPECT_THAT(release(part_), SizeIs(1));
  const Domain moved = domain(2, "part", {"0000:42:00.3"});
  prepare(moved);
  const auto claim = claims_.find(moved.uuid);
  ASSERT_THAT(claim->devices, SizeIs(2));
  EXPECT_EQ(claim->devices[0].state, State::quarantined);
  EXPECT_EQ(claim->devices[0].address, at("0000:42:00.2"));
  EXPECT_EQ(claim->devices[1].state, State::claimed);
  script("exit 0");
  EXPECT_THAT(release(moved), IsEmpty());
}

TEST_F(PciLifeTest, what_waits_is_not_begun_again) {
  make_vgpu_vf("0000:42:00.3");
  make_vgpu_vf("0000:42:00.4");
  profile("vgpu").scrub = script("exit 3");
  prepare(vgpu_);
  EXPECT_THAT(release(vgpu_), SizeIs(1));
  prepare(domain(3, "vgpu", {"0000:42:00.4"}));
  EXPECT_EQ(vgpu("0000:42:00.3"), "0");
  EXPECT_EQ(vgpu("0000:42:00.4"), "1146");
}

TEST_F(PciLifeTest, a_lost_claim_is_written_again) {
  prepare(part_);
  claims_.drop(part_.uuid);
  EXPECT_THAT(check_running_domain(host_.root(), config_, part_, patient),
              HasSubstr("missing and has been re-created"));
  EXPECT_EQ(claims_.find(part_.uuid)->devices[0].use, Use::vf);
  host_.set_vfs("0000:42:00.0", 0);
  EXPECT_THAT(check_running_domain(host_.root(), config_, part_, patient),
              HasSubstr("no longer exists"));
}

TEST_F(PciLifeTest, a_lost_claim_is_written_again_with_what_its_profile_wants) {
  profile("part").scrub = "/usr/sbin/scrub";
  profile("part").one_time = true;
  prepare(part_);
  claims_.drop(part_.uuid);
  check_running_domain(host_.root(), config_, part_, patient);
  EXPECT_EQ(claims_.find(part_.uuid)->devices[0].scrub, "/usr/sbin/scrub");
  EXPECT_TRUE(claims_.find(part_.uuid)->devices[0].one_time);
}

TEST_F(PciLifeTest, a_lost_claim_is_written_again_without_a_scrub_of_the_companion) {
  profile("card").scrub = script("exit 0");
  profile("card").one_time = true;
  const Domain card = domain(1, "card", {"0000:41:00.0", "0000:41:00.1"});
  prepare(card);
  const auto before = claims_.find(card.uuid);
  claims_.drop(card.uuid);
  for (const Config& config : {config_, Config()}) {
    check_running_domain(host_.root(), config, card, patient);
    const auto after = claims_.find(card.uuid);
    ASSERT_TRUE(after);
    ASSERT_THAT(after->devices, SizeIs(2));
    EXPECT_EQ(after->devices[1], before->devices[1]);
    claims_.drop(card.uuid);
  }
}

TEST_F(PciLifeTest, a_claim_that_becomes_unreadable_is_reported_with_one_remedy) {
  make_vgpu_vf("0000:42:00.3");
  host_.reacts("0000:42:00.3", "nvidia/current_vgpu_type", [&](const std::string&) {
    write_file_atomically(host_.root().run("claims/") + to_string(vgpu_.uuid), "rubbish\n");
    return EIO;
  });
  const StartedLog log(log::To::terminal);
  testing::internal::CaptureStderr();
  EXPECT_NE(refusal(vgpu_), "(not refused)");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("cannot roll back: "), HasSubstr("; run: gpuward reconcile"),
                    Not(HasSubstr("gpuward doctor"))));
}

TEST_F(PciLifeTest, a_lost_claim_of_an_unknown_profile_ends_in_quarantine) {
  prepare(part_);
  claims_.drop(part_.uuid);
  EXPECT_THAT(check_running_domain(host_.root(), {}, part_, patient), HasSubstr("is not defined"));
  const auto kept = release(part_);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_THAT(quarantine_reason(kept[0]).remedy, HasSubstr("gpuward clear"));
  EXPECT_THAT(refusal(part_), AllOf(HasSubstr("scrub program is unknown"),
                                    EndsWith("; scrub the device, then run: gpuward clear "
                                             "0000:42:00.2"),
                                    Not(HasSubstr("reconcile"))));
}

TEST_F(PciLifeTest, a_gpu_without_hostdev_is_refused_with_what_adds_it) {
  Domain bare = domain(5, "card", {});
  EXPECT_THAT(to_string(request_verdict(config_, bare).reason),
              HasSubstr("run: gpuward reassign vm5"));
}

}  // namespace
}  // namespace gpuward
