// SPDX-License-Identifier: LGPL-2.1-or-later
// A domain's life with a MIG-backed vGPU, with the stand-in for NVIDIA's library (tests/nvml).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "allocation/pool.hpp"
#include "allocation/reassignment.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/kind.hpp"
#include "kinds/types.hpp"
#include "lifecycle/check_running.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/reconcile.hpp"
#include "lifecycle/release.hpp"
#include "nvml_fixtures.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using State = ClaimedDevice::State;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(100),
                            milliseconds(60'000)};
constexpr Deadlines hasty{milliseconds(60'000), milliseconds(500), milliseconds(50),
                          milliseconds(500)};
constexpr const char* pf = "0000:42:00.0";

class MigTest : public testing::Test {
 protected:
  MigTest() {
    host_.sriov(pf, 4);
    host_.set_vfs(pf, 4);
    for (const char* vf : {"0000:42:00.1", "0000:42:00.2", "0000:42:00.3", "0000:42:00.4"})
      add_vf(vf);
    GpuSection section;
    section.selector = *parse_gpu_selector(pf);
    section.use = Use::mig;
    config_.gpus.push_back(section);
    profile("small", {"1g.5gb"});
    profile("half", {"3g.20gb"});
    profile("any", {"4g.20gb", "MIG 2g.10gb"});
  }
  void add_vf(const std::string& vf) {
    host_.pci_gpu(vf)
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types",
                   "ID : vGPU Name\n474 : GRID A100-1-5C\n475 : GRID A100-2-10C\n"
                   "476 : GRID A100-3-20C")
        .attribute("vfio-dev/vfio0/dev", "1:2");
    host_.reacts(vf, "nvidia/current_vgpu_type", [this, vf](const std::string& value) {
      // In a process of its own.
      if (value == "0") write_file_atomically(at_removal(), nvml_.instances());
      write_file_atomically(attribute(vf, "current_vgpu_type"), value + '\n');
      return 0;
    });
  }
  void second_card() {
    host_.sriov("0000:43:00.0", 2);
    host_.set_vfs("0000:43:00.0", 2);
    add_vf("0000:43:00.1");
    config_.gpus.push_back(config_.gpus[0]);
    config_.gpus.back().selector = *parse_gpu_selector("0000:43:00.0");
  }
  std::string at_removal() const { return host_.root().at("/usr/lib/at-removal"); }
  std::string attribute(const std::string& vf, const std::string& name) const {
    return pci_path(host_.root(), at(vf)) + "/nvidia/" + name;
  }
  void profile(const std::string& name, const std::vector<std::string>& types) {
    Profile profile;
    profile.name = name;
    profile.use = Use::mig;
    profile.types = types;
    config_.profiles.push_back(profile);
  }
  static Domain domain(unsigned number, const std::string& profile, const std::string& vf) {
    Domain domain;
    domain.uuid.bytes[15] = static_cast<uint8_t>(number);
    domain.name = "vm" + std::to_string(number);
    domain.requests.push_back({"ua-gpuward-0", profile});
    Hostdev hostdev;
    hostdev.type = Hostdev::Type::pci;
    hostdev.address = at(vf);
    hostdev.alias = "ua-gpuward-0";
    hostdev.managed = false;
    domain.hostdevs.push_back(hostdev);
    return domain;
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
  std::vector<Reconciled> reconcile_off() {
    return reconcile(
        host_.root(), [](const Uuid&) { return std::optional(false); }, patient, false);
  }
  std::optional<ClaimedDevice> claimed(const Domain& domain) {
    const auto claim = claims_.find(domain.uuid);
    return claim && !claim->devices.empty() ? std::optional(claim->devices[0]) : std::nullopt;
  }
  std::string vgpu(const std::string& vf) {
    return std::to_string(current_vgpu(host_.root(), at(vf)).value_or(~0U));
  }
  FakeHost host_;
  NvmlDouble nvml_{host_.root()};
  Config config_;
  Claims claims_{host_.root()};
  Domain small_ = domain(1, "small", "0000:42:00.1");
};

TEST_F(MigTest, a_gpu_instance_and_its_vgpu_are_created_and_removed) {
  prepare(small_);
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 1\n");
  EXPECT_EQ(vgpu("0000:42:00.1"), "474");
  const auto device = claimed(small_);
  ASSERT_TRUE(device);
  EXPECT_EQ(device->type, "1g.5gb");
  EXPECT_EQ(device->vgpu, "474");
  EXPECT_EQ(device->part, "19:6+1:1");
  EXPECT_EQ(device->memory_mib, 4864U);
  EXPECT_FALSE(device->writer);
  EXPECT_THAT(release(small_), IsEmpty());
  EXPECT_EQ(vgpu("0000:42:00.1"), "0");
  EXPECT_EQ(nvml_.instances(), "");
  EXPECT_EQ(read_file(at_removal()), "instance 1 19 6 1 1\n") << "the vGPU goes first";
  EXPECT_FALSE(claims_.find(small_.uuid));
}

TEST_F(MigTest, several_domains_share_a_card_until_it_is_full) {
  prepare(small_);
  const Domain half = domain(2, "half", "0000:42:00.2");
  prepare(half);
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 1\ninstance 2 9 0 4 1\n");
  const Domain third = domain(3, "half", "0000:42:00.3");
  EXPECT_THAT(refusal(third),
              HasSubstr("GPU 0000:42:00.0 has no room for a GPU instance 3g.20gb; shut a domain"));
  EXPECT_FALSE(claims_.find(third.uuid));
  EXPECT_EQ(vgpu("0000:42:00.3"), "0");
  release(small_);
  prepare(third);
  EXPECT_EQ(claimed(third)->part, "9:4+4:3");
}

TEST_F(MigTest, the_first_type_with_room_is_created) {
  nvml_.add("instance 5 19 0 1 1");
  const Domain any = domain(2, "any", "0000:42:00.2");
  prepare(any);
  EXPECT_EQ(claimed(any)->type, "2g.10gb");
  EXPECT_EQ(claimed(any)->vgpu, "475");
  release(any);
  EXPECT_EQ(nvml_.instances(), "instance 5 19 0 1 1\n");
}

TEST_F(MigTest, a_card_without_mig_mode_is_refused_with_the_command) {
  nvml_.set("mig off\n");
  EXPECT_THAT(refusal(small_), HasSubstr("GPU 0000:42:00.0: MIG mode is off; run: nvidia-smi -i "
                                         "0000:42:00.0 -mig 1"));
  nvml_.set("mig pending\n");
  EXPECT_THAT(refusal(small_), HasSubstr("takes effect when the GPU is reset"));
  nvml_.set("mig unsupported\n");
  EXPECT_THAT(refusal(small_), HasSubstr("does not support MIG"));
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_FALSE(claims_.find(small_.uuid));
}

TEST_F(MigTest, without_the_library_or_driver_it_is_refused_with_the_reason) {
  nvml_.add("returns Init_v2 9");
  EXPECT_THAT(refusal(small_), HasSubstr("NVIDIA's driver is not loaded"));
  nvml_.remove_library();
  EXPECT_THAT(refusal(small_), HasSubstr("libnvidia-ml.so.1 cannot be loaded"));
  nvml_.remove_program();
  EXPECT_THAT(refusal(small_), HasSubstr("gpuward-nvml cannot be run"));
  EXPECT_FALSE(claims_.find(small_.uuid));
}

TEST_F(MigTest, a_type_that_the_card_does_not_have_is_refused_with_those_it_has) {
  config_.profiles[0].types = {"1g.99gb"};
  EXPECT_THAT(refusal(small_), HasSubstr("has no GPU instance profile of profile 'small' (it has: "
                                         "1g.5gb, 2g.10gb, 3g.20gb, 4g.20gb"));
  config_.profiles[0].types = {"7g.40gb"};
  EXPECT_THAT(refusal(small_), HasSubstr("no vGPU type for GPU instance 7g.40gb can be created"));
  EXPECT_EQ(nvml_.instances(), "") << "undone";
}

TEST_F(MigTest, no_more_than_max_of_a_type) {
  config_.gpus[0].max = {{"1g.5gb", 1}};
  prepare(small_);
  EXPECT_THAT(refusal(domain(2, "small", "0000:42:00.2")),
              HasSubstr("max = 1g.5gb:1 is reached on 0000:42:00.0 by domain 'vm1'"));
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 1\n");
}

TEST_F(MigTest, room_that_may_come_is_not_hidden_by_a_type_that_never_does) {
  config_.gpus[0].max = {{"2g.10gb", 0}};
  nvml_.add("instance 5 19 0 1 1");
  EXPECT_THAT(refusal(domain(2, "any", "0000:42:00.2")),
              HasSubstr("no room for a GPU instance 4g.20gb; shut a domain"));
}

// ---- a running domain whose claim is lost

TEST_F(MigTest, a_lost_claim_is_written_again_with_its_gpu_instance) {
  prepare(small_);
  const auto before = claimed(small_);
  host_.pci_gpu("0000:42:00.1").attribute("nvidia/gpu_instance_id", "1");
  claims_.drop(small_.uuid);
  EXPECT_EQ(check_running_domain(host_.root(), config_, small_, patient),
            "claim file was missing and has been re-created");
  EXPECT_EQ(claimed(small_), before);
  EXPECT_THAT(release(small_), IsEmpty());
  EXPECT_EQ(nvml_.instances(), "");
}

TEST_F(MigTest, a_lost_claim_of_one_that_may_be_adopted_leaves_it) {
  config_.gpus[0].adopt = true;
  prepare(small_);
  host_.pci_gpu("0000:42:00.1").attribute("nvidia/gpu_instance_id", "1");
  claims_.drop(small_.uuid);
  check_running_domain(host_.root(), config_, small_, patient);
  EXPECT_EQ(claimed(small_)->part, "19:6+1:1:adopted");
}

TEST_F(MigTest, of_a_lost_claim_it_is_said_where_the_gpu_instance_remains) {
  prepare(small_);
  claims_.drop(small_.uuid);
  EXPECT_THAT(check_running_domain(host_.root(), config_, small_, patient),
              HasSubstr("GPU 0: GPU instance of 0000:42:00.1 remains when the domain stops, as it "
                        "is not known: the driver does not report which one; then run: nvidia-smi "
                        "mig -i 0000:42:00.0 -lgi, "));
  EXPECT_EQ(claimed(small_)->use, Use::mig);
  EXPECT_EQ(claimed(small_)->vgpu, "474");
  EXPECT_THAT(release(small_), IsEmpty());
  EXPECT_EQ(vgpu("0000:42:00.1"), "0");
}

// ---- crashes

/// The library has made it, and nobody heard of it.
TEST_F(MigTest, one_whose_creation_was_not_reported_is_destroyed) {
  nvml_.add("crashes-after DeviceCreateGpuInstanceWithPlacement");
  EXPECT_THAT(refusal(small_), HasSubstr("cannot create GPU instance 1g.5gb on 0000:42:00.0: "
                                         "gpuward-nvml was killed by signal 6"));
  EXPECT_EQ(nvml_.instances(), "");
  EXPECT_FALSE(claims_.find(small_.uuid));
}

TEST_F(MigTest, one_whose_creator_was_killed_is_destroyed_by_reconcile) {
  host_.reacts("0000:42:00.1", "nvidia/current_vgpu_type", [](const std::string&) {
    ::kill(::getppid(), SIGKILL);
    return EIO;
  });
  EXPECT_THAT(in_processes(1,
                           [&](int) {
                             prepare(small_);
                             return 0;
                           }),
              ElementsAre(128 + SIGKILL));
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 1\n");
  ASSERT_TRUE(claimed(small_));
  EXPECT_EQ(claimed(small_)->part, "19:6+1:1");
  add_vf("0000:42:00.1");
  const auto results = reconcile_off();
  ASSERT_THAT(results, SizeIs(1));
  EXPECT_EQ(results[0].result, Reconciled::Result::given_back) << results[0].reason;
  EXPECT_EQ(nvml_.instances(), "");
}

/// The claim of a hook that was killed before the answer came.
TEST_F(MigTest, what_a_claim_meant_to_create_is_looked_for_at_its_place) {
  prepare(small_);
  auto claim = *claims_.find(small_.uuid);
  claim.devices[0].part = "19:6+1:-";
  claim.completed = false;
  claims_.write(claim);
  const Domain second = domain(2, "small", "0000:42:00.2");
  prepare(second);
  EXPECT_EQ(claimed(second)->part, "19:5+1:2");
  reconcile_off();
  EXPECT_EQ(nvml_.instances(), "");
}

TEST_F(MigTest, the_place_of_a_claim_is_not_used_although_nothing_is_there) {
  prepare(small_);
  auto claim = *claims_.find(small_.uuid);
  claim.devices[0].part = "19:6+1:-";
  claims_.write(claim);
  nvml_.set("mig on\nnext 7\n");
  const Domain second = domain(2, "small", "0000:42:00.2");
  prepare(second);
  EXPECT_EQ(claimed(second)->part, "19:5+1:7");
  EXPECT_THAT(release(small_), IsEmpty());
  EXPECT_EQ(nvml_.instances(), "instance 7 19 5 1 1\n") << "that of the other domain stays";
}

TEST_F(MigTest, a_library_that_hangs_is_killed_and_what_was_begun_is_undone) {
  nvml_.add("hangs DeviceCreateGpuInstanceWithPlacement");
  EXPECT_THAT(refusal(small_, hasty), HasSubstr("gpuward-nvml timed out"));
  EXPECT_EQ(nvml_.instances(), "");
  EXPECT_FALSE(claims_.find(small_.uuid));
}

// ---- what does not go

TEST_F(MigTest, one_in_use_is_quarantined_with_what_helps) {
  prepare(small_);
  nvml_.add("returns GpuInstanceDestroy 19");
  const auto kept = release(small_);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_EQ(kept[0].reason, "GPU instance 1 of 0000:42:00.0 is in use");
  EXPECT_EQ(kept[0].remedy, "stop what nvidia-smi lists on it, then run: gpuward reconcile");
  EXPECT_EQ(claimed(small_)->state, State::quarantined);
  EXPECT_EQ(claimed(small_)->part, "19:6+1:1");
  EXPECT_EQ(vgpu("0000:42:00.1"), "0");
  nvml_.without("returns GpuInstanceDestroy 19");
  reconcile_off();
  EXPECT_EQ(nvml_.instances(), "");
  EXPECT_FALSE(claims_.find(small_.uuid));
}

TEST_F(MigTest, while_the_library_cannot_be_asked_it_stays_claimed) {
  prepare(small_);
  nvml_.add("returns Init_v2 9");
  const auto kept = release(small_);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_THAT(kept[0].reason, HasSubstr("cannot destroy GPU instance 1 of 0000:42:00.0: NVIDIA's "
                                        "driver is not loaded"));
  nvml_.without("returns Init_v2 9");
  EXPECT_THAT(release(small_), IsEmpty());
  EXPECT_EQ(nvml_.instances(), "");
}

TEST_F(MigTest, it_goes_also_where_its_vf_is_gone) {
  prepare(small_);
  host_.set_vfs(pf, 0);
  EXPECT_THAT(release(small_), IsEmpty());
  EXPECT_EQ(nvml_.instances(), "");
}

TEST_F(MigTest, with_the_mode_off_there_is_none) {
  prepare(small_);
  nvml_.set("mig off\n");
  EXPECT_THAT(release(small_), IsEmpty());
}

// ---- those of other tools

TEST_F(MigTest, one_of_another_tool_is_neither_used_nor_destroyed) {
  nvml_.add("instance 5 19 6 1 0");
  prepare(small_);
  EXPECT_THAT(claimed(small_)->part, AllOf(HasSubstr("19:"), testing::Not(HasSubstr("6+1"))));
  release(small_);
  EXPECT_EQ(nvml_.instances(), "instance 5 19 6 1 0\n");
}

/// Another tool was faster: what the driver lists after its refusal is that tool's.
TEST_F(MigTest, where_the_driver_refuses_nothing_is_destroyed) {
  nvml_.add("adds-before DeviceCreateGpuInstanceWithPlacement instance 5 19 6 1 0");
  EXPECT_THAT(refusal(small_), HasSubstr("cannot create GPU instance 1g.5gb on 0000:42:00.0: card "
                                         "has no room for the GPU instance"));
  EXPECT_EQ(nvml_.instances(), "instance 5 19 6 1 0\n");
  EXPECT_FALSE(claims_.find(small_.uuid));
}

/// Whoever takes over from a hook that is killed then has only the claim on disk.
TEST_F(MigTest, what_the_driver_refused_is_not_in_the_claim_on_disk) {
  nvml_.add("adds-before DeviceCreateGpuInstanceWithPlacement instance 5 19 6 1 0");
  Claim claim{small_.uuid, small_.name, {}};
  claim.devices.push_back({.alias = "ua-gpuward-0",
                           .profile = "small",
                           .instance = {},
                           .parent = pf,
                           .type = "-",
                           .use = Use::mig});
  claim.devices[0].address = at("0000:42:00.1");
  claims_.make_ready();
  claims_.write(claim);
  ClaimedDevice device = claim.devices[0];
  EXPECT_THROW(kind_of(Use::mig).set_up(
                   {host_.root(), config_, config_.profiles[0], claim, patient}, device),
               Error);
  ASSERT_TRUE(claimed(small_));
  EXPECT_EQ(claimed(small_)->type, "1g.5gb");
  EXPECT_EQ(claimed(small_)->part, "");
}

/// What is at its place when the card, or another, is there again was created by another tool.
TEST_F(MigTest, with_the_card_gone_its_place_is_forgotten) {
  config_.profiles[0].scrub = "/bin/false";
  prepare(small_);
  host_.set_vfs(pf, 0);
  std::filesystem::remove_all(pci_path(host_.root(), at(pf)));
  const auto kept = release(small_);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_EQ(kept[0].reason, "device disappeared before it was scrubbed");
  EXPECT_EQ(claimed(small_)->part, "");
}

TEST_F(MigTest, what_outlasts_a_restart_names_no_gpu_instance) {
  prepare(small_);
  const Claim claim = *claims_.find(small_.uuid);
  ASSERT_NE(claim.devices[0].part, "");
  record_quarantine(host_.root(), claim, claim.devices[0]);
  const auto records = quarantine_records(host_.root());
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].devices[0].type, "1g.5gb");
  EXPECT_EQ(records[0].devices[0].part, "");
}

TEST_F(MigTest, an_empty_one_may_be_adopted_and_stays) {
  config_.gpus[0].adopt = true;
  nvml_.add("instance 5 19 3 1 0\ninstance 6 19 4 1 1");
  nvml_.add("instance 7 19 5 1 0");
  prepare(small_);
  EXPECT_EQ(claimed(small_)->part, "19:3+1:5:adopted");
  EXPECT_EQ(nvml_.instances(), "instance 5 19 3 1 1\ninstance 6 19 4 1 1\ninstance 7 19 5 1 0\n");
  const Domain second = domain(2, "small", "0000:42:00.2");
  prepare(second);
  EXPECT_EQ(claimed(second)->part, "19:5+1:7:adopted") << "one that is not empty is not";
  release(second);
  release(small_);
  EXPECT_EQ(nvml_.instances(), "instance 5 19 3 1 0\ninstance 6 19 4 1 1\ninstance 7 19 5 1 0\n");
}

/// A vGPU of which it is not known in which GPU instance it is may be in any.
TEST_F(MigTest, none_is_adopted_while_a_vgpu_may_be_in_it) {
  config_.gpus[0].adopt = true;
  nvml_.add("instance 5 19 3 1 0");
  write_file_atomically(attribute("0000:42:00.4", "current_vgpu_type"), "474\n");
  prepare(small_);
  EXPECT_EQ(claimed(small_)->part, "19:2+1:1");
  release(small_);
  host_.pci_gpu("0000:42:00.4").attribute("nvidia/gpu_instance_id", "5");
  prepare(small_);
  EXPECT_EQ(claimed(small_)->part, "19:2+1:2");
  release(small_);
  host_.pci_gpu("0000:42:00.4").attribute("nvidia/gpu_instance_id", "8");
  prepare(small_);
  EXPECT_EQ(claimed(small_)->part, "19:3+1:5:adopted");
}

TEST_F(MigTest, the_driver_is_told_which_one_the_vgpu_is_for) {
  host_.pci_gpu("0000:42:00.1").attribute("nvidia/gpu_instance_id", "4294967295");
  host_.reacts("0000:42:00.1", "nvidia/gpu_instance_id", [this](const std::string& value) {
    write_file_atomically(attribute("0000:42:00.1", "gpu_instance_id"), value + '\n');
    return 0;
  });
  prepare(small_);
  EXPECT_EQ(read_attribute(attribute("0000:42:00.1", "gpu_instance_id")), "1");
}

TEST_F(MigTest, a_vgpu_in_another_one_is_refused) {
  host_.pci_gpu("0000:42:00.1").attribute("nvidia/gpu_instance_id", "0");
  host_.reacts("0000:42:00.1", "nvidia/gpu_instance_id", [this](const std::string&) {
    write_file_atomically(attribute("0000:42:00.1", "gpu_instance_id"), "5\n");
    return 0;
  });
  EXPECT_THAT(refusal(small_), HasSubstr("driver created the vGPU in GPU instance 5 instead of 1"));
  EXPECT_EQ(nvml_.instances(), "");
  EXPECT_EQ(vgpu("0000:42:00.1"), "0");
}

// ---- who asks the library

TEST_F(MigTest, the_start_of_other_domains_does_not_ask_the_library) {
  const NvmlWatch watch(host_.root());
  host_.parent("mtty").type("mtty-1", 2);
  Profile profile;
  profile.name = "serial";
  profile.types = {"mtty-1"};
  config_.profiles.push_back(profile);
  Domain other;
  other.uuid.bytes[15] = 9;
  other.name = "vm9";
  other.requests.push_back({"ua-gpuward-0", "serial"});
  Hostdev hostdev;
  hostdev.type = Hostdev::Type::mdev;
  hostdev.instance = instance_uuid(other.uuid, "ua-gpuward-0");
  hostdev.alias = "ua-gpuward-0";
  other.hostdevs.push_back(hostdev);
  prepare(other);
  EXPECT_THAT(release(other), IsEmpty());
  EXPECT_EQ(watch.asked(), "");
  EXPECT_NE(refusal(small_), "(not refused)");
  EXPECT_EQ(watch.asked(), "list\n") << "the same program of a domain with one";
}

TEST_F(MigTest, a_card_is_asked_once_for_all_of_its_vfs) {
  const NvmlWatch watch(host_.root());
  EXPECT_THAT(pool_of(host_.root(), config_, config_.profiles[0]), SizeIs(4));
  EXPECT_EQ(watch.asked(), "list\n");
}

TEST_F(MigTest, after_a_card_that_does_not_answer_no_other_is_asked) {
  second_card();
  const NvmlWatch watch(host_.root(), "sleep 30");
  const auto pool = pool_of(host_.root(), config_, config_.profiles[0]);
  EXPECT_EQ(pool.back().address, at("0000:43:00.1"));
  EXPECT_EQ(watch.asked(), "list\n");
}

TEST_F(MigTest, so_has_a_look_at_the_types_of_all_cards) {
  second_card();
  const NvmlWatch watch(host_.root(), "sleep 30");
  std::vector<std::string> unknown;
  for (const Gpu& gpu : read_gpus(host_.root(), config_)) {
    unknown.emplace_back();
    EXPECT_THAT(types_of(host_.root(), config_, gpu, nullptr, &unknown.back()), IsEmpty());
  }
  EXPECT_EQ(watch.asked(), "list\n");
  EXPECT_THAT(unknown, ElementsAre(HasSubstr("cannot be determined: gpuward-nvml timed out"),
                                   EndsWith("cannot be determined: not asked, as gpuward-nvml did "
                                            "not answer for 0000:42:00.0")));
}

TEST_F(MigTest, cards_that_answer_are_each_asked_once) {
  second_card();
  const NvmlWatch watch(host_.root(), "sleep 1; exit 1");
  for (const Gpu& gpu : read_gpus(host_.root(), config_))
    for (int time = 0; time < 2; ++time) {
      std::string unknown;
      types_of(host_.root(), config_, gpu, nullptr, &unknown);
      EXPECT_THAT(unknown, EndsWith("gpuward-nvml ended with status 1"));
    }
  EXPECT_EQ(watch.asked(), "list\nlist\n");
}

/// Its claim is written for good.
TEST_F(MigTest, for_a_lost_claim_each_card_is_asked_once) {
  second_card();
  Domain two = small_;
  for (const char* const vf : {"0000:42:00.2", "0000:43:00.1"}) {
    const std::string alias = "ua-gpuward-" + std::to_string(two.requests.size());
    two.requests.push_back({alias, "small"});
    two.hostdevs.push_back(two.hostdevs[0]);
    two.hostdevs.back().address = at(vf);
    two.hostdevs.back().alias = alias;
  }
  const NvmlWatch watch(host_.root(), "sleep 30");
  EXPECT_THAT(check_running_domain(host_.root(), config_, two, patient),
              HasSubstr("GPU 1: GPU instance of 0000:42:00.2 remains when the domain stops"));
  EXPECT_EQ(watch.asked(), "list\nlist\n");
}

TEST_F(MigTest, so_have_the_pools_of_all_profiles) {
  PoolDomain off;
  for (const Profile& profile : config_.profiles) off.gpus.push_back({"", profile, {}});
  const NvmlWatch watch(host_.root(), "sleep 30");
  EXPECT_THAT(pools_of(host_.root(), config_, {off}), SizeIs(3));
  EXPECT_EQ(watch.asked(), "list\n");
}

TEST_F(MigTest, vfs_of_a_card_without_room_are_full) {
  const auto full = [&](size_t profile) {
    unsigned count = 0;
    for (const PoolDevice& device : pool_of(host_.root(), config_, config_.profiles[profile]))
      count += device.is_full ? 1 : 0;
    return count;
  };
  EXPECT_EQ(full(1), 0U);
  nvml_.add("instance 5 19 0 1 1\ninstance 6 19 4 1 1");
  EXPECT_EQ(full(0), 0U);
  EXPECT_EQ(full(1), 4U);
}

}  // namespace
}  // namespace gpuward
