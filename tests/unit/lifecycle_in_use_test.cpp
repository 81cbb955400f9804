// SPDX-License-Identifier: LGPL-2.1-or-later
// Devices that a start or a stop of one domain may not take from another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "allocation/choose_device.hpp"
#include "allocation/pool.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/release.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"
#include "pci_fixtures.hpp"
#include "state/claim.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(50)};
const Uuid mdev = *parse_uuid("00000000-0000-4000-8000-000000000001");
const std::string pf = "0000:41:00.0", vf = "0000:41:00.1";

class InUseTest : public testing::Test {
 protected:
  InUseTest() {
    claims_.make_ready();
    for (const Use use : {Use::whole, Use::vf, Use::vendor_vf}) {
      Profile profile;
      profile.name = use_word(use);
      profile.use = use;
      if (use == Use::vendor_vf) profile.types = {"1145"};
      config_.profiles.push_back(profile);
    }
  }
  GpuSection& section(const std::string& selector, Use use) {
    GpuSection section;
    section.selector = *parse_gpu_selector(selector);
    section.use = use;
    config_.gpus.push_back(section);
    return config_.gpus.back();
  }
  static Domain domain(unsigned number) {
    Domain domain;
    domain.uuid.bytes[0] = 0xd0;
    domain.uuid.bytes[15] = static_cast<uint8_t>(number);
    domain.name = "vm" + std::to_string(number);
    return domain;
  }
  static void add(Domain& domain, const std::string& address, const std::string& alias) {
    Hostdev hostdev;
    hostdev.type = Hostdev::Type::pci;
    hostdev.alias = alias;
    hostdev.address = at(address);
    domain.hostdevs.push_back(hostdev);
  }
  static Domain asks(unsigned number, Use use, const std::string& address) {
    Domain domain = InUseTest::domain(number);
    domain.requests = {{"ua-gpuward-0", std::string(use_word(use))}};
    add(domain, address, "ua-gpuward-0");
    return domain;
  }
  static Domain by_hand(unsigned number, const std::vector<std::string>& addresses) {
    Domain domain = InUseTest::domain(number);
    for (const std::string& address : addresses) add(domain, address, "hostdev0");
    return domain;
  }
  void claim_mdev(const std::string& parent) {
    claims_.write({domain(9).uuid,
                   "vm9",
                   {{.alias = "ua-gpuward-0",
                     .profile = "small",
                     .instance = mdev,
                     .parent = parent,
                     .type = "nvidia-63"}}});
  }
  void make_vfs() {
    host_.pci_gpu(pf);
    host_.sriov(pf, 2);
    host_.set_vfs(pf, 2);
  }
  void make_mdev(const std::string& parent) {
    host_.parent(parent).type("nvidia-63", 1);
    host_.instance(parent, "nvidia-63", mdev);
  }
  std::string refusal(const Domain& domain) {
    try {
      prepare_devices(host_.root(), config_, domain, patient);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }
  FakeHost host_;
  Config config_;
  Claims claims_{host_.root()};
};

// ---- an mdev keeps its VF and its card

TEST_F(InUseTest, a_vf_with_a_claimed_mdev_is_not_given) {
  make_vfs();
  section(pf, Use::vf);
  make_mdev(vf);
  claim_mdev(vf);
  EXPECT_THAT(refusal(asks(1, Use::vf, vf)),
              AllOf(HasSubstr(vf), HasSubstr("in use by domain 'vm9'")));
  EXPECT_FALSE(claims_.find(domain(1).uuid));
  EXPECT_TRUE(host_.instances().contains(mdev));
}

TEST_F(InUseTest, a_vf_with_an_open_mdev_is_not_given) {
  make_vfs();
  section(pf, Use::vf);
  make_mdev(vf);
  host_.opens(77, "qemu", mdev);
  EXPECT_THAT(refusal(asks(1, Use::vf, vf)), HasSubstr("in use by process 77 (qemu)"));
}

TEST_F(InUseTest, a_card_with_a_claimed_mdev_is_not_given_whole) {
  host_.pci_gpu(pf);
  host_.iommu_group(1, {pf});
  section(pf, Use::whole);
  make_mdev(pf);
  claim_mdev(pf);
  EXPECT_THAT(refusal(asks(1, Use::whole, pf)), HasSubstr("in use by domain 'vm9'"));
}

TEST_F(InUseTest, a_card_with_an_open_mdev_is_of_no_pool_of_whole_gpus) {
  host_.pci_gpu(pf);
  host_.iommu_group(1, {pf});
  section(pf, Use::whole);
  make_mdev(pf);
  host_.opens(77, "qemu", mdev);
  EXPECT_THAT(refusal(asks(1, Use::whole, pf)), HasSubstr("mediated device " + to_string(mdev)));
  EXPECT_THAT(pool_of(host_.root(), config_, config_.profiles[0]), IsEmpty());
}

TEST_F(InUseTest, a_card_with_an_mdev_on_a_vf_is_not_given_whole) {
  make_vfs();
  host_.iommu_group(1, {pf});
  section(pf, Use::whole);
  make_mdev(vf);
  EXPECT_THAT(refusal(asks(1, Use::whole, pf)), HasSubstr("2 VFs"));
  claim_mdev(vf);
  EXPECT_THAT(refusal(asks(1, Use::whole, pf)), HasSubstr("in use by domain 'vm9'"));
  EXPECT_THAT(pool_of(host_.root(), config_, config_.profiles[0]), IsEmpty());
}

// ---- the loser of a race leaves the winner's

struct VgpuInUseTest : InUseTest {
  VgpuInUseTest() {
    make_vfs();
    section(pf, Use::vendor_vf);
    host_.pci_gpu(vf)
        .attribute("nvidia/creatable_vgpu_types", "1145  : NVIDIA L40S-1B\n")
        .attribute("vfio-dev/vfio0/dev", "511:0");
    set_type("0");
    host_.reacts(vf, "nvidia/current_vgpu_type",
                 [this](const std::string& value) { return set_type(value); });
  }
  int set_type(const std::string& value) {
    write_file_atomically(pci_path(host_.root(), at(vf)) + "/nvidia/current_vgpu_type",
                          value + '\n');
    return 0;
  }
  auto type() { return current_vgpu(host_.root(), at(vf)); }
};

TEST_F(VgpuInUseTest, who_is_refused_before_it_has_claimed_undoes_nothing) {
  const Domain first = asks(1, Use::vendor_vf, vf), second = asks(2, Use::vendor_vf, vf);
  EXPECT_EQ(refusal(first), "");
  EXPECT_THAT(refusal(second), HasSubstr("in use by domain 'vm1'"));
  EXPECT_EQ(type(), 1145u);
}

TEST_F(VgpuInUseTest, of_two_at_the_same_instant_the_winner_keeps_its_vgpu) {
  for (int round = 0; round < 20; ++round) {
    const auto statuses = in_processes(2, [&](int number) {
      return refusal(asks(static_cast<unsigned>(number) + 1, Use::vendor_vf, vf)).empty() ? 0 : 1;
    });
    EXPECT_THAT(statuses, testing::UnorderedElementsAre(0, 1)) << "round " << round;
    EXPECT_EQ(type(), 1145u) << "round " << round;
    const auto claims = claims_.all().readable;
    ASSERT_EQ(claims.size(), 1u) << "round " << round;
    release_devices(host_.root(), claims_, claims[0], patient);
    ASSERT_EQ(type(), 0u);
  }
}

TEST_F(VgpuInUseTest, a_release_leaves_what_another_claim_names) {
  EXPECT_EQ(refusal(asks(1, Use::vendor_vf, vf)), "");
  Claim copy = *claims_.find(domain(1).uuid);
  copy.domain = domain(2).uuid;
  copy.name = "vm2";
  claims_.write(copy);
  release_devices(host_.root(), claims_, copy, patient);
  EXPECT_EQ(type(), 1145u);
  EXPECT_FALSE(claims_.find(domain(2).uuid));
  release_devices(host_.root(), claims_, *claims_.find(domain(1).uuid), patient);
  EXPECT_EQ(type(), 0u);
}

/// As doctor asks.
TEST_F(VgpuInUseTest, a_full_card_is_told_before_the_start) {
  const Domain domain = asks(1, Use::vendor_vf, vf);
  const auto told = [&] { return devices_refusal(host_.root(), config_, domain); };
  EXPECT_EQ(told().reason.problem, "");
  host_.pci_gpu(vf).attribute("nvidia/creatable_vgpu_types", "");
  EXPECT_THAT(told().reason.problem, HasSubstr("no type of profile 'vendor-vf' can be created"));
  EXPECT_FALSE(told().passes);
  host_.pci_gpu("0000:41:00.2").attribute("nvidia/current_vgpu_type", "1146\n");
  EXPECT_TRUE(told().passes) << "when the other is released";
  EXPECT_EQ(told().reason.problem + "; " + told().reason.remedy,
            refusal(domain).substr(std::string("GPU 0 (" + vf + "): ").size()));
  EXPECT_EQ(type(), 0u);
}

// ---- what another tool made

TEST_F(VgpuInUseTest, anothers_vgpu_is_not_removed_without_a_word_of_the_administrator) {
  set_type("1146");
  EXPECT_THAT(refusal(asks(1, Use::vendor_vf, vf)),
              AllOf(HasSubstr("has vGPU type 1146 that gpuward did not create"),
                    HasSubstr("gpuward clear " + vf), HasSubstr("adopt = yes")));
  EXPECT_EQ(type(), 1146u);
  EXPECT_FALSE(claims_.find(domain(1).uuid));
  config_.gpus[0].adopt = true;
  host_.process(77, "qemu", {"/dev/vfio/devices/vfio0"});
  EXPECT_THAT(refusal(asks(1, Use::vendor_vf, vf)), HasSubstr("process 77 (qemu)"));
  EXPECT_EQ(type(), 1146u);
  host_.ends(77);
  EXPECT_EQ(refusal(asks(1, Use::vendor_vf, vf)), "");
  EXPECT_EQ(type(), 1145u);
}

// ---- hostdevs written by hand

struct ByHandTest : InUseTest {
  ByHandTest() {
    host_.pci_gpu("0000:01:00.0").attribute("reset", "");
    host_.pci_gpu("0000:01:00.1").attribute("class", "0x040300");
    host_.pci_gpu("0000:02:00.0").attribute("reset", "");
    host_.iommu_group(1, {"0000:01:00.0", "0000:01:00.1"});
    host_.iommu_group(2, {"0000:02:00.0"});
  }
};

TEST_F(ByHandTest, they_are_claimed_with_their_companions_and_given_back) {
  const Domain domain = by_hand(1, {"0000:01:00.0", "0000:01:00.1"});
  EXPECT_EQ(refusal(domain), "");
  const auto claim = claims_.find(domain.uuid);
  ASSERT_TRUE(claim);
  ASSERT_EQ(claim->devices.size(), 2u);
  EXPECT_EQ(claim->devices[0].use, Use::whole);
  EXPECT_EQ(claim->devices[0].profile, "-");
  EXPECT_EQ(claim->devices[0].alias, "hostdev0");
  EXPECT_THAT(refusal(asks(2, Use::whole, "0000:01:00.0")), HasSubstr("in use by domain 'vm1'"));
  EXPECT_THAT(release_devices(host_.root(), claims_, *claim, patient), IsEmpty());
  EXPECT_FALSE(claims_.find(domain.uuid));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ByHandTest, one_that_another_has_is_refused) {
  EXPECT_EQ(refusal(asks(2, Use::whole, "0000:02:00.0")), "");
  EXPECT_THAT(refusal(by_hand(1, {"0000:02:00.0"})),
              AllOf(HasSubstr("hostdev 0000:02:00.0: in use by domain 'vm2'"),
                    HasSubstr("virsh edit vm1")));
  EXPECT_FALSE(claims_.find(domain(1).uuid));
  EXPECT_TRUE(claims_.find(domain(2).uuid));
}

TEST_F(ByHandTest, one_in_quarantine_or_given_once_is_refused) {
  ClaimedDevice device{.state = ClaimedDevice::State::quarantined,
                       .alias = "ua-gpuward-0",
                       .profile = "whole",
                       .instance = {},
                       .parent = "0000:02:00.0",
                       .type = "-"};
  device.use = Use::whole;
  device.address = at("0000:02:00.0");
  claims_.write({domain(9).uuid, "vm9", {device}});
  EXPECT_THAT(refusal(by_hand(1, {"0000:02:00.0"})),
              AllOf(HasSubstr("quarantined after use by domain 'vm9'"),
                    HasSubstr("run: gpuward reconcile"), Not(HasSubstr("virsh edit"))));
  ClaimedDevice other = device;
  other.state = ClaimedDevice::State::claimed;
  other.address = at("0000:04:00.0");
  claims_.write({domain(9).uuid, "vm9", {device, other}});
  EXPECT_THAT(refusal(by_hand(1, {"0000:02:00.0"})),
              HasSubstr("run: virsh shutdown vm9 (if it is shut off: gpuward reconcile)"));
  claims_.drop(domain(9).uuid);
  mark_used(host_.root(), at("0000:02:00.0"), Uuid{}, "vm9");
  EXPECT_THAT(refusal(by_hand(1, {"0000:02:00.0"})), HasSubstr("gpuward clear 0000:02:00.0"));
}

TEST_F(ByHandTest, one_that_is_switched_off_is_refused) {
  section("0000:02:00.0", Use::off);
  EXPECT_THAT(refusal(by_hand(1, {"0000:02:00.0"})), HasSubstr("use = off"));
}

TEST_F(ByHandTest, keys_that_are_not_applied_to_it_refuse_none) {
  host_.pci_gpu("0000:02:00.0")
      .attribute("power_state", "D3cold")
      .attribute("config", std::string(4096, '\0'));
  section("0000:02:00.0", Use::whole);
  section("serial=1324", Use::off).reset_method = "flr";
  EXPECT_EQ(refusal(by_hand(1, {"0000:02:00.0"})), "");
  claims_.drop(domain(1).uuid);
  config_.gpus[0].use.reset();
  EXPECT_THAT(refusal(by_hand(1, {"0000:02:00.0"})), HasSubstr("; set use in [gpu 0000:02:00.0]"));
}

TEST_F(ByHandTest, a_section_that_names_a_vf_counts_more_than_its_pfs) {
  make_vfs();
  section(pf, Use::vf);
  section(vf, Use::off);
  EXPECT_THAT(refusal(by_hand(1, {vf})),
              HasSubstr("use = off is set in the [gpu] section of " + vf));
  EXPECT_EQ(refusal(by_hand(2, {"0000:41:00.2"})), "");
  claims_.drop(domain(2).uuid);
  config_.gpus[0].use = Use::off;
  EXPECT_THAT(refusal(by_hand(3, {"0000:41:00.2"})), HasSubstr("section of " + pf));
  config_.gpus[1].use = Use::vf;
  EXPECT_EQ(refusal(by_hand(1, {vf})), "");
}

TEST_F(ByHandTest, another_card_of_the_same_group_is_refused_with_group_and_domain) {
  host_.pci_gpu("0000:03:00.0");
  host_.pci_gpu("0000:04:00.0");
  host_.iommu_group(3, {"0000:03:00.0", "0000:04:00.0"});
  EXPECT_EQ(refusal(by_hand(1, {"0000:03:00.0"})), "");
  EXPECT_THAT(refusal(by_hand(2, {"0000:04:00.0"})),
              AllOf(HasSubstr("IOMMU group 3"), HasSubstr("in use by domain 'vm1'")));
}

TEST_F(ByHandTest, an_mdev_is_claimed_and_never_removed) {
  make_mdev("0000:02:00.0");
  Domain domain = InUseTest::domain(1);
  Hostdev hostdev;
  hostdev.type = Hostdev::Type::mdev;
  hostdev.model = "vfio-pci";
  hostdev.instance = mdev;
  domain.hostdevs = {hostdev};
  EXPECT_EQ(refusal(domain), "");
  section("0000:02:00.0", Use::whole);
  EXPECT_THAT(refusal(asks(2, Use::whole, "0000:02:00.0")), HasSubstr("in use by domain 'vm1'"));
  release_devices(host_.root(), claims_, *claims_.find(domain.uuid), patient);
  EXPECT_FALSE(claims_.find(domain.uuid));
  EXPECT_TRUE(host_.instances().contains(mdev));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

// ---- the parents of mdevs

/// A card with two VFs on each of which one mdev can be created, and no [gpu] section: VFs and
/// mdevs of them are given alike.
struct ParentInUseTest : InUseTest {
  ParentInUseTest() {
    make_vfs();
    for (const std::string& each : {vf, other_vf}) host_.parent(each).type("nvidia-63", 1);
    Profile small;
    small.name = "small";
    small.types = {"nvidia-63"};
    config_.profiles.push_back(small);
  }
  static Domain asks_mdev(unsigned number) {
    Domain domain = InUseTest::domain(number);
    domain.requests = {{"ua-gpuward-0", "small"}};
    return domain;
  }
  static Domain mdev_by_hand(unsigned number) {
    Domain domain = InUseTest::domain(number);
    Hostdev hostdev;
    hostdev.type = Hostdev::Type::mdev;
    hostdev.model = "vfio-pci";
    hostdev.instance = mdev;
    domain.hostdevs = {hostdev};
    return domain;
  }
  void claim(const std::string& address, Use use,
             ClaimedDevice::State state = ClaimedDevice::State::claimed) {
    ClaimedDevice device{.state = state,
                         .alias = "ua-gpuward-0",
                         .profile = std::string(use_word(use)),
                         .instance = {},
                         .parent = pf,
                         .type = "-"};
    device.use = use;
    device.address = at(address);
    claims_.write({domain(9).uuid, "vm9", {device}});
  }
  std::string parent_of(unsigned number) {
    const auto claim = claims_.find(domain(number).uuid);
    return claim ? claim->devices.at(0).parent : "";
  }
  const std::string other_vf = "0000:41:00.2";
};

TEST_F(ParentInUseTest, no_mdev_goes_on_a_vf_that_another_domain_has_claimed) {
  claim(vf, Use::vf);
  EXPECT_EQ(refusal(asks_mdev(1)), "");
  EXPECT_EQ(parent_of(1), other_vf);
  EXPECT_THAT(refusal(asks_mdev(2)), HasSubstr("parent " + vf + ": in use by domain 'vm9'"));
}

TEST_F(ParentInUseTest, a_domain_that_all_parents_are_in_use_for_is_told_by_whom) {
  claim(vf, Use::vf);
  const Domain second = by_hand(2, {other_vf});
  EXPECT_EQ(refusal(second), "");
  EXPECT_THAT(
      refusal(asks_mdev(1)),
      AllOf(HasSubstr("GPU 0: no GPU of profile 'small' is available: parent " + vf +
                      ": in use by domain 'vm9', parent " + other_vf + ": in use by domain 'vm2'"),
            HasSubstr("shut one down")));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ParentInUseTest, none_goes_on_a_vf_or_below_a_card_in_quarantine) {
  claim(vf, Use::vf, ClaimedDevice::State::quarantined);
  EXPECT_EQ(refusal(asks_mdev(1)), "");
  EXPECT_EQ(parent_of(1), other_vf);
  claim(pf, Use::whole, ClaimedDevice::State::quarantined);
  EXPECT_THAT(refusal(asks_mdev(2)),
              AllOf(HasSubstr("GPU " + pf + ": quarantined after use by domain 'vm9'"),
                    HasSubstr("run: gpuward reconcile")));
}

TEST_F(ParentInUseTest, none_goes_on_a_vf_or_below_a_card_with_the_mark_of_single_use) {
  mark_used(host_.root(), at(vf), Uuid{}, "vm9");
  EXPECT_EQ(refusal(asks_mdev(1)), "");
  EXPECT_EQ(parent_of(1), other_vf);
  mark_used(host_.root(), at(pf), Uuid{}, "vm8");
  EXPECT_THAT(refusal(asks_mdev(2)), AllOf(HasSubstr("GPU " + pf + ": already used by"),
                                           HasSubstr("run: gpuward clear " + pf)));
}

TEST_F(ParentInUseTest, none_goes_below_a_card_that_a_domain_has_whole) {
  claim(pf, Use::whole);
  EXPECT_THAT(refusal(asks_mdev(1)), HasSubstr("GPU " + pf + ": in use by domain 'vm9'"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ParentInUseTest, none_goes_on_a_vf_that_the_domain_itself_has) {
  Domain domain = asks_mdev(1);
  add(domain, vf, "hostdev0");
  EXPECT_EQ(refusal(domain), "");
  EXPECT_EQ(parent_of(1), other_vf);
}

TEST_F(ParentInUseTest, mdevs_beside_it_keep_no_parent) {
  host_.parent(vf).type("nvidia-63", 4);
  EXPECT_EQ(refusal(asks_mdev(1)), "");
  EXPECT_EQ(refusal(asks_mdev(2)), "");
  EXPECT_EQ(refusal(asks_mdev(3)), "");
  EXPECT_EQ(host_.instances().size(), 3u);
}

TEST_F(ParentInUseTest,
       an_instance_of_its_own_that_is_left_is_not_used_below_a_card_in_quarantine) {
  host_.instance(vf, "nvidia-63", instance_uuid(domain(1).uuid, "ua-gpuward-0"));
  claim(pf, Use::whole, ClaimedDevice::State::quarantined);
  EXPECT_THAT(refusal(asks_mdev(1)), AllOf(HasSubstr("already exists"), HasSubstr("quarantined")));
}

TEST_F(ParentInUseTest, an_mdev_written_by_hand_is_refused_likewise) {
  host_.instance(vf, "nvidia-63", mdev);
  claim(vf, Use::vf);
  EXPECT_THAT(
      refusal(mdev_by_hand(1)),
      AllOf(HasSubstr("parent " + vf + ": in use by domain 'vm9'"), HasSubstr("virsh edit vm1")));
  claim(pf, Use::whole, ClaimedDevice::State::quarantined);
  EXPECT_THAT(refusal(mdev_by_hand(1)),
              AllOf(HasSubstr("GPU " + pf + ": quarantined"), HasSubstr("run: gpuward reconcile")));
  claims_.drop(domain(9).uuid);
  mark_used(host_.root(), at(vf), Uuid{}, "vm9");
  EXPECT_THAT(refusal(mdev_by_hand(1)), HasSubstr("run: gpuward clear " + vf));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

// ---- VFs that are enabled when a domain needs one

/// Two cards without VFs, which a profile gives.
struct VfToEnableTest : InUseTest {
  VfToEnableTest() {
    for (const std::string& card : {pf, other_pf}) {
      host_.pci_gpu(card);
      host_.sriov(card, 2);
      section(card, Use::vf);
    }
    host_.iommu_group(1, {pf});
  }
  static ClaimedDevice whole_card() {
    ClaimedDevice device{
        .alias = "ua-gpuward-0", .profile = "whole", .instance = {}, .parent = pf, .type = "-"};
    device.use = Use::whole;
    device.address = at(pf);
    return device;
  }
  std::string chosen() {
    const Profile& profile = config_.profiles[1];
    const auto pool = pool_of(host_.root(), config_, profile);
    const auto* const device =
        choose_device(profile, pool, {taken_devices(host_.root(), domain(1).uuid), {}}, {});
    return device ? to_string(device->address) : "none";
  }
  /// The refusal of a VF of the first card, with nothing written.
  std::string refused() {
    std::string why = refusal(asks(1, Use::vf, vf));
    EXPECT_THAT(host_.writes(), IsEmpty());
    EXPECT_THAT(virtual_functions(host_.root(), at(pf)), IsEmpty());
    EXPECT_FALSE(claims_.find(domain(1).uuid));
    return why;
  }
  const std::string other_pf = "0000:42:00.0";
};

TEST_F(VfToEnableTest, one_of_a_card_that_a_domain_has_whole_is_not_given) {
  EXPECT_EQ(chosen(), vf);
  claims_.write({domain(9).uuid, "vm9", {whole_card()}});
  EXPECT_EQ(chosen(), "0000:42:00.1");
  EXPECT_THAT(refused(), AllOf(HasSubstr("GPU " + pf + ": in use by domain 'vm9'"),
                               HasSubstr("run: gpuward reassign vm1")));
}

TEST_F(VfToEnableTest, one_of_a_card_in_quarantine_is_not_given) {
  ClaimedDevice device = whole_card();
  device.state = ClaimedDevice::State::quarantined;
  device.scrub = "/usr/bin/scrub";
  record_quarantine(host_.root(), {domain(9).uuid, "vm9", {device}}, device);
  EXPECT_EQ(chosen(), "0000:42:00.1");
  EXPECT_THAT(refused(), AllOf(HasSubstr("GPU " + pf + ": quarantined after use by domain 'vm9'"),
                               HasSubstr("run: gpuward reconcile")));
}

TEST_F(VfToEnableTest, one_of_a_card_with_the_mark_of_single_use_is_not_given) {
  mark_used(host_.root(), at(pf), Uuid{}, "vm9");
  EXPECT_EQ(chosen(), "0000:42:00.1");
  EXPECT_THAT(refused(), AllOf(HasSubstr("GPU " + pf + ": already used by domain 'vm9'"),
                               HasSubstr("run: gpuward clear " + pf)));
}

/// As of a domain that gpuward does not know. Of the host's own processes nothing is said: the
/// driver of the card enables its VFs beside them.
TEST_F(VfToEnableTest, none_is_enabled_on_a_card_that_a_guest_has_open) {
  host_.process(77, "qemu", {"/dev/vfio/1"});
  EXPECT_THAT(refused(), AllOf(HasSubstr("VF " + vf + " does not exist"),
                               HasSubstr("in use by process 77 (qemu)")));
  host_.ends(77);
  EXPECT_EQ(refusal(asks(1, Use::vf, vf)), "");
}

TEST_F(VfToEnableTest, one_whose_card_is_claimed_by_its_own_domain_is_not_enabled) {
  Domain domain = asks(1, Use::vf, vf);
  add(domain, pf, "hostdev0");
  EXPECT_THAT(refusal(domain), HasSubstr("GPU " + pf + ": in use by domain 'vm1'"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(VfToEnableTest, one_that_exists_is_not_given_of_a_card_with_the_mark_either) {
  host_.set_vfs(pf, 2);
  mark_used(host_.root(), at(pf), Uuid{}, "vm9");
  EXPECT_EQ(chosen(), "0000:42:00.1");
  EXPECT_THAT(refusal(asks(1, Use::vf, vf)), HasSubstr("run: gpuward clear " + pf));
}

}  // namespace
}  // namespace gpuward
