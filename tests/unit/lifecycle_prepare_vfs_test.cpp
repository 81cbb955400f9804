// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "allocation/pool.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "lifecycle/check_running.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/reconcile.hpp"
#include "lifecycle/release.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci_fixtures.hpp"
#include "started_log.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"

namespace gpuward {
namespace {

using State = ClaimedDevice::State;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(50)};
constexpr Deadlines hasty{milliseconds(60'000), milliseconds(200), milliseconds(50)};

const std::string pf = "0000:41:00.0";

std::string vf(int number) {
  return "0000:41:00." + std::to_string(number);
}

class ClaimVfsTest : public testing::Test {
 protected:
  explicit ClaimVfsTest(Use use = Use::vf) {
    host_.pci_gpu(pf);
    host_.sriov(pf, 4);
    GpuSection section;
    section.selector = *parse_gpu_selector(pf);
    section.use = use;
    config_.gpus = {section};
    Profile profile;
    profile.name = "p";
    profile.use = use;
    config_.profiles = {profile};
  }
  static Domain domain_on(const std::string& address, unsigned number, bool managed = true) {
    Domain domain;
    domain.uuid.bytes = {0xd0};
    domain.uuid.bytes[15] = static_cast<uint8_t>(number);
    domain.name = "vm" + std::to_string(number);
    domain.requests = {{"ua-gpuward-0", "p"}};
    Hostdev hostdev;
    hostdev.type = Hostdev::Type::pci;
    hostdev.alias = "ua-gpuward-0";
    hostdev.address = at(address);
    hostdev.managed = managed;
    domain.hostdevs = {hostdev};
    return domain;
  }
  std::string refusal(const Domain& domain, const Deadlines& deadlines = patient) {
    try {
      prepare_devices(host_.root(), config_, domain, deadlines);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }
  /// Why its device was kept; "" when it was not.
  std::string release(const Domain& domain, const Deadlines& deadlines = patient) {
    const auto claim = claims_.find(domain.uuid);
    if (!claim) return "no claim";
    const auto kept = release_devices(host_.root(), claims_, *claim, deadlines);
    return kept.empty() ? "" : kept[0].reason;
  }
  FakeHost host_;
  Config config_;
  Claims claims_{host_.root()};
};

TEST_F(ClaimVfsTest, one_that_is_yet_to_be_made_is_made_with_all_others) {
  EXPECT_EQ(refusal(domain_on(vf(3), 1)), "");
  EXPECT_TRUE(exists(pci_path(host_.root(), at(vf(4)))));
  const auto claimed = claims_.find(domain_on(vf(3), 1).uuid)->devices.at(0).iommu_group;
  ASSERT_TRUE(claimed) << "it has a group only then";
  EXPECT_EQ(claimed, iommu_group_number(host_.root(), at(vf(3))));
}

TEST_F(ClaimVfsTest, who_comes_too_late_is_told_who_has_them_all) {
  host_.set_vfs(pf, 4);
  for (unsigned number = 1; number <= 3; ++number)
    EXPECT_EQ(refusal(domain_on(vf(static_cast<int>(number)), number)), "");
  EXPECT_THAT(refusal(domain_on(vf(1), 5)),
              HasSubstr("in use by domain 'vm1'; run: gpuward reassign vm5"));
  EXPECT_EQ(refusal(domain_on(vf(4), 4)), "");
  EXPECT_THAT(
      refusal(domain_on(vf(1), 5)),
      HasSubstr(
          "in use by domain 'vm1'; shut one of the domains 'vm1', 'vm2', 'vm3' and 1 more down"));
}

TEST_F(ClaimVfsTest, the_only_one_has_no_others_to_tell) {
  host_.set_vfs(pf, 1);
  EXPECT_EQ(refusal(domain_on(vf(1), 1)), "");
  EXPECT_THAT(refusal(domain_on(vf(1), 5)),
              HasSubstr("in use by domain 'vm1'; shut domain 'vm1' down"));
}

/// No driver of the host may take it back, so libvirt leaves it there.
TEST_F(ClaimVfsTest, one_that_was_left_with_vfio_pci_is_free) {
  host_.set_vfs(pf, 1);
  host_.pci_gpu(vf(1)).driver("vfio-pci").attribute("vfio-dev/vfio0/dev", "1:2");
  EXPECT_EQ(refusal(domain_on(vf(1), 1)), "");
}

TEST_F(ClaimVfsTest, a_driver_that_hangs_is_waited_for_and_nobody_else_hangs_in_it) {
  config_.profiles[0].scrub = "/bin/false";
  host_.reacts(pf, "sriov_numvfs", [this](const std::string&) {
    host_.hang();
    host_.set_vfs(pf, 4);
    return 0;
  });
  EXPECT_THAT(refusal(domain_on(vf(1), 1), hasty),
              HasSubstr("enabling 4 VFs is blocked in the kernel (process "));
  const auto claim = claims_.find(domain_on(vf(1), 1).uuid);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->devices[0].state, State::quarantined);
  const std::string pid = std::to_string(claim->devices[0].writer.pid);
  EXPECT_THAT(refusal(domain_on(vf(2), 2), hasty),
              HasSubstr("driver of PF 0000:41:00.0 is blocked in the kernel since domain 'vm1' "
                        "started (process " +
                        pid));
  EXPECT_FALSE(claims_.find(domain_on(vf(2), 2).uuid));
  EXPECT_EQ(release(domain_on(vf(1), 1), hasty),
            "driver is blocked in the kernel (process " + pid + "); check: journalctl -k");
  host_.lets_go();
  EXPECT_EQ(release(domain_on(vf(1), 1)), "");
  EXPECT_EQ(refusal(domain_on(vf(2), 2)), "");
}

TEST_F(ClaimVfsTest, a_reset_method_that_hangs_is_waited_for) {
  config_.gpus[0].use = Use::whole;
  config_.gpus[0].reset_method = "flr";
  config_.profiles[0].use = Use::whole;
  host_.iommu_group(1, {pf});
  host_.reacts(pf, "reset_method", [this](const std::string&) {
    host_.hang();
    return 0;
  });
  EXPECT_THAT(refusal(domain_on(pf, 1), hasty),
              HasSubstr("cannot set reset-method = flr: write is blocked in the kernel (process "));
  EXPECT_THAT(release(domain_on(pf, 1), hasty),
              HasSubstr("driver is blocked in the kernel (process "));
  host_.lets_go();
  EXPECT_EQ(release(domain_on(pf, 1)), "");
}

/// With NVIDIA's driver on the VFs.
class ClaimVendorVfsTest : public ClaimVfsTest {
 protected:
  ClaimVendorVfsTest() : ClaimVfsTest(Use::vendor_vf) {
    host_.set_vfs(pf, 4);
    config_.profiles[0].types = {"NVIDIA L40S-1B"};
    host_.pci_gpu(vf(1))
        .attribute("vfio-dev/vfio0/dev", "1:2")
        .attribute("nvidia/creatable_vgpu_types", "1145  : NVIDIA L40S-1B\n");
    set_type("0");
    driver([this](const std::string& value) { return set_type(value); });
  }
  int set_type(const std::string& value) {
    write_file_atomically(pci_path(host_.root(), at(vf(1))) + "/nvidia/current_vgpu_type",
                          value + '\n');
    return 0;
  }
  void driver(FakeHost::Reaction reaction) {
    host_.reacts(vf(1), "nvidia/current_vgpu_type", std::move(reaction));
  }
  void driver_hangs() {
    driver([this](const std::string& value) {
      host_.hang();
      return set_type(value);
    });
  }
  auto type() { return current_vgpu(host_.root(), at(vf(1))); }
  static Domain vm(unsigned number) { return domain_on(vf(1), number, false); }
};

TEST_F(ClaimVendorVfsTest, a_type_is_set_and_taken_away) {
  EXPECT_EQ(refusal(vm(1)), "");
  EXPECT_EQ(type(), 1145u);
  EXPECT_EQ(claims_.find(vm(1).uuid)->devices[0].type, "1145");
  EXPECT_EQ(release(vm(1)), "");
  EXPECT_EQ(type(), 0u);
}

TEST_F(ClaimVendorVfsTest, unified_memory_is_not_set_with_a_part_of_the_memory) {
  config_.profiles[0].attributes = {{"nvidia/vgpu_params", "enable_uvm=1"}};
  EXPECT_THAT(refusal(vm(1)), HasSubstr("type NVIDIA L40S-1B has 1024 of 49152 MiB, and only"));
  EXPECT_EQ(type(), 0u);
  EXPECT_FALSE(claims_.find(vm(1).uuid));
}

TEST_F(ClaimVendorVfsTest, no_more_of_a_type_are_created_on_the_card_than_max_permits) {
  Claim other{domain_on(vf(2), 2).uuid, "vm2", {}};
  other.devices.push_back(
      {.alias = "ua-gpuward-0", .profile = "p", .instance = {}, .parent = pf, .type = "1145"});
  other.devices[0].use = Use::vendor_vf;
  other.devices[0].address = at(vf(2));
  claims_.make_ready();
  claims_.write(other);
  config_.gpus[0].max = {{"NVIDIA L40S-1B", 1}};
  EXPECT_EQ(refusal(vm(1)),
            "GPU 0 (0000:41:00.1): max = NVIDIA L40S-1B:1 is reached on 0000:41:00.0 by domain "
            "'vm2'; shut one down, or use another GPU: gpuward reassign");
  EXPECT_EQ(type(), 0u);
  EXPECT_TRUE(pool_of(host_.root(), config_, config_.profiles[0])[0].is_full);
  config_.profiles[0].types = {"NVIDIA L40S-2B"};
  EXPECT_THAT(refusal(vm(1)), HasSubstr("no type of profile 'p' can be created"))
      << "the limit is of another type";
  config_.profiles[0].types = {"NVIDIA L40S-1B"};
  config_.gpus[0].max = {{"1145", 2}};
  EXPECT_FALSE(pool_of(host_.root(), config_, config_.profiles[0])[0].is_full);
  EXPECT_EQ(refusal(vm(1)), "");
  EXPECT_EQ(type(), 1145u);
}

TEST_F(ClaimVendorVfsTest, all_devices_of_a_pool_are_judged_by_claims_of_one_moment) {
  config_.gpus[0].max = {{"1145", 1}};
  KnownCards cards;
  const auto is_full = [&](const PoolQuery& query) {
    std::string why;
    return find_in_pool(query, at(vf(1)), why)->is_full;
  };
  const PoolQuery query{host_.root(), config_, config_.profiles[0], cards};
  EXPECT_FALSE(is_full(query));
  EXPECT_EQ(refusal(vm(1)), "");
  host_.pci_gpu(vf(1)).attribute("nvidia/current_vgpu_type", "0");
  EXPECT_FALSE(is_full(query)) << "its claims were read before";
  EXPECT_TRUE(is_full({host_.root(), config_, config_.profiles[0], cards}));
}

TEST_F(ClaimVendorVfsTest, a_claim_that_is_written_again_has_the_type_and_its_memory) {
  host_.pci_gpu(vf(2))
      .attribute("nvidia/current_vgpu_type", "0")
      .attribute("nvidia/creatable_vgpu_types", "1145  : NVIDIA L40S-1B\n");
  EXPECT_EQ(refusal(vm(1)), "");
  EXPECT_EQ(claims_.find(vm(1).uuid)->devices[0].memory_mib, 1024u);
  host_.pci_gpu(vf(1)).attribute("nvidia/creatable_vgpu_types", "");
  claims_.drop(vm(1).uuid);
  EXPECT_THAT(check_running_domain(host_.root(), config_, vm(1), patient),
              HasSubstr("claim file was missing"));
  const auto claim = claims_.find(vm(1).uuid);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->devices.at(0).type, "1145") << "max counts it";
  EXPECT_EQ(claim->devices[0].memory_mib, 1024u);
}

/// One that a domain has by hand, and one that it is to have.
TEST_F(ClaimVendorVfsTest, max_counts_vgpus_written_by_hand) {
  const auto by_hand = [](int number) {
    Domain domain = domain_on(vf(number), static_cast<unsigned>(number), false);
    domain.requests.clear();
    domain.hostdevs[0].alias.clear();
    return domain;
  };
  for (const int number : {2, 3})
    host_.pci_gpu(vf(number))
        .attribute("vfio-dev/vfio" + std::to_string(number) + "/dev", "1:3")
        .attribute("nvidia/creatable_vgpu_types", "")
        .attribute("nvidia/current_vgpu_type", "1145");
  config_.gpus[0].max = {{"NVIDIA L40S-1B", 1}};
  EXPECT_EQ(refusal(by_hand(2)), "");
  EXPECT_THAT(refusal(vm(1)), HasSubstr("max = NVIDIA L40S-1B:1 is reached on 0000:41:00.0 by "
                                        "domain 'vm2'"));
  EXPECT_EQ(refusal(by_hand(3)),
            "hostdev 0000:41:00.3: has vGPU type 1145, and max = NVIDIA L40S-1B:1 is reached on "
            "0000:41:00.0 by domain 'vm2'; shut one of the domains down");
  EXPECT_EQ(refusal(by_hand(2)), "") << "its own claim does not count against it";
  config_.gpus[0].max = {{"1145", 2}};
  EXPECT_EQ(refusal(by_hand(3)), "");
  EXPECT_THAT(refusal(vm(1)), HasSubstr("max = 1145:2 is reached"));
  release(by_hand(3));
  host_.pci_gpu(vf(3)).attribute("nvidia/current_vgpu_type", "0");
  EXPECT_EQ(refusal(by_hand(3)), "") << "without a vGPU";
  EXPECT_EQ(refusal(vm(1)), "");
}

TEST_F(ClaimVendorVfsTest, what_is_not_known_of_a_vgpu_written_by_hand_is_not_permitted) {
  Domain domain = domain_on(vf(2), 2, false);
  domain.requests.clear();
  domain.hostdevs[0].alias.clear();
  host_.pci_gpu(vf(1)).attribute("nvidia/creatable_vgpu_types", "");
  host_.pci_gpu(vf(2))
      .attribute("nvidia/creatable_vgpu_types", "")
      .attribute("nvidia/current_vgpu_type", "1145");
  config_.gpus[0].max = {{"NVIDIA L40S-1B", 1}};
  EXPECT_THAT(refusal(domain), HasSubstr("name of its vGPU type 1145 is not listed by the driver"));
  config_.gpus[0].max = {{"1145", 1}};
  EXPECT_EQ(refusal(domain), "");
  host_.pci_gpu(vf(1)).attribute("nvidia/creatable_vgpu_types", "1145  : NVIDIA L40S-1B\n");
  host_.pci_gpu(vf(2)).attribute("nvidia/current_vgpu_type", "?");
  EXPECT_THAT(refusal(vm(1)), HasSubstr("max = 1145:1 is reached")) << "it may be one";
  EXPECT_THAT(refusal(domain), HasSubstr("type of its vGPU cannot be read"));
}

TEST_F(ClaimVendorVfsTest, a_vgpu_by_hand_is_refused_only_by_a_limit_that_may_be_of_its_type) {
  Domain domain = domain_on(vf(2), 2, false);
  domain.requests.clear();
  domain.hostdevs[0].alias.clear();
  host_.pci_gpu(vf(1)).attribute("nvidia/creatable_vgpu_types", "");
  host_.pci_gpu(vf(2))
      .attribute("nvidia/creatable_vgpu_types", "")
      .attribute("nvidia/current_vgpu_type", "1145");
  config_.gpus[0].max = {{"nvidia-63", 0}, {"1146", 0}, {"1g.5gb", 0}};
  EXPECT_EQ(refusal(domain), "") << "none is the name of a vGPU";
  config_.gpus[0].max = {{"NVIDIA L40S-2B", 1}, {"1145", 0}};
  EXPECT_THAT(refusal(domain), HasSubstr("max = 1145:0 permits none")) << "its id has a limit";
  config_.gpus[0].max[1].type = "1146";
  EXPECT_THAT(refusal(domain), HasSubstr("name of its vGPU type 1145 is not listed"));
  config_.gpus[0].use = Use::mig;
  config_.gpus[0].max = {{"MIG 1g.5gb", 1}};
  EXPECT_EQ(refusal(domain), "") << "max is of GPU instances";
}

/// EISDIR, as a driver may answer EIO.
TEST_F(ClaimVendorVfsTest, a_vgpu_by_hand_that_cannot_be_read_refuses_only_where_there_is_a_max) {
  const auto by_hand = [](int number) {
    Domain domain = domain_on(vf(number), static_cast<unsigned>(number), false);
    domain.requests.clear();
    domain.hostdevs[0].alias.clear();
    return domain;
  };
  host_.pci_gpu(vf(2)).attribute("nvidia/creatable_vgpu_types", "");
  make_directories(pci_path(host_.root(), at(vf(2))) + "/nvidia/current_vgpu_type");
  EXPECT_EQ(refusal(by_hand(2)), "");
  config_.gpus[0].max = {{"1145", 1}};
  EXPECT_THAT(refusal(vm(1)), HasSubstr("max = 1145:1 is reached")) << "it may be one";
  EXPECT_THAT(refusal(by_hand(2)), HasSubstr("type of its vGPU cannot be read"));
}

TEST_F(ClaimVendorVfsTest, memory_that_cannot_be_read_refuses_nobody_who_did_not_request_it) {
  Domain domain = domain_on(vf(2), 2, false);
  domain.requests.clear();
  domain.hostdevs[0].alias.clear();
  host_.pci_gpu(vf(2))
      .attribute("nvidia/creatable_vgpu_types", "")
      .attribute("nvidia/current_vgpu_type", "1145");
  host_.pci_gpu(vf(1)).without("nvidia/creatable_vgpu_types");
  make_directories(pci_path(host_.root(), at(vf(1))) + "/nvidia/creatable_vgpu_types");  // EISDIR
  EXPECT_EQ(refusal(domain), "");
  EXPECT_FALSE(claims_.find(domain.uuid)->devices.at(0).memory_mib);
}

TEST_F(ClaimVendorVfsTest, what_somebody_left_is_taken_away_first_if_it_may_be_adopted) {
  set_type("1146");
  config_.gpus[0].adopt = true;
  EXPECT_EQ(refusal(vm(1)), "");
  EXPECT_EQ(type(), 1145u);
  EXPECT_THAT(host_.writes(), ElementsAre(HasSubstr("current_vgpu_type 0"), HasSubstr(" 1145")));
}

/// It may come through after a 0 that is written behind it.
TEST_F(ClaimVendorVfsTest, a_creation_that_hangs_is_waited_for_before_anything_else_is_written) {
  config_.profiles[0].scrub = "/bin/false";
  config_.profiles[0].one_time = true;
  driver_hangs();
  EXPECT_THAT(refusal(vm(1), hasty),
              HasSubstr("cannot create NVIDIA L40S-1B: write to current_vgpu_type is blocked"));
  const auto claim = claims_.find(vm(1).uuid);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->devices[0].state, State::quarantined);
  EXPECT_THAT(release(vm(1), hasty), HasSubstr("driver is blocked in the kernel (process "));
  EXPECT_THAT(refusal(vm(2), hasty), HasSubstr("quarantined after use by domain 'vm1'"));
  EXPECT_THAT(host_.writes(), ElementsAre(HasSubstr("current_vgpu_type 1145")));
  host_.lets_go();
  EXPECT_EQ(type(), 1145u);
  driver([this](const std::string& value) { return set_type(value); });
  EXPECT_EQ(release(vm(1)), "") << "no guest has had it: nothing to scrub";
  EXPECT_EQ(type(), 0u);
  EXPECT_FALSE(claims_.find(vm(1).uuid));
  EXPECT_FALSE(used_by(host_.root(), at(vf(1))));
}

TEST_F(ClaimVendorVfsTest, a_release_that_hangs_never_clears_the_next_owner) {
  EXPECT_EQ(refusal(vm(1)), "");
  driver_hangs();
  EXPECT_THAT(
      release(vm(1), hasty),
      HasSubstr(
          "cannot remove the vGPU: write to current_vgpu_type is blocked in the kernel (process "));
  driver([this](const std::string& value) { return set_type(value); });
  EXPECT_THAT(release(vm(1)), HasSubstr("driver is blocked in the kernel (process "))
      << "a second 0 would be taken";
  EXPECT_THAT(refusal(vm(2)), HasSubstr("quarantined after use"));
  host_.lets_go();
  EXPECT_EQ(release(vm(1)), "");
  EXPECT_EQ(refusal(vm(2)), "");
  EXPECT_EQ(release(vm(1)), "no claim");
  EXPECT_EQ(type(), 1145u);
}

TEST_F(ClaimVendorVfsTest, what_it_offers_is_told_when_the_type_is_not_among_it) {
  config_.profiles[0].types = {"1146"};
  EXPECT_THAT(
      refusal(vm(1)),
      HasSubstr("no type of profile 'p' can be created on the VF (creatable: NVIDIA L40S-1B)"));
  EXPECT_EQ(type(), 0u);
  EXPECT_FALSE(claims_.find(vm(1).uuid));
}

TEST_F(ClaimVendorVfsTest, plugin_parameters_are_written_once_the_vgpu_exists) {
  host_.reacts(vf(1), "nvidia/vgpu_params", [](const std::string&) { return 0; });
  config_.profiles[0].attributes = {{"nvidia/vgpu_params", "frl_config=60"}};
  EXPECT_EQ(refusal(vm(1)), "");
  EXPECT_THAT(host_.writes(), ElementsAre(HasSubstr("current_vgpu_type 1145"),
                                          HasSubstr("nvidia/vgpu_params frl_config=60")));
  EXPECT_TRUE(claims_.find(vm(1).uuid)->devices[0].has_attributes);
}

/// The next domain's vGPU is on the same VF.
TEST_F(ClaimVendorVfsTest, plugin_parameters_are_cleared_before_the_vgpu_is_removed) {
  host_.reacts(vf(1), "nvidia/vgpu_params", [](const std::string& value) {
    return value == " " || value == "frl_config=60" ? 0 : EINVAL;
  });
  config_.profiles[0].attributes = {{"nvidia/vgpu_params", "frl_config=60"}};
  EXPECT_EQ(refusal(vm(1)), "");
  EXPECT_EQ(release(vm(1)), "");
  const auto writes = host_.writes();
  ASSERT_EQ(writes.size(), 4u);
  EXPECT_THAT(writes[2], testing::EndsWith("nvidia/vgpu_params  "));
  EXPECT_THAT(writes[3], HasSubstr("current_vgpu_type 0"));
  config_.profiles[0].attributes.clear();
  EXPECT_EQ(refusal(vm(1)), "");
  EXPECT_EQ(release(vm(1)), "");
  EXPECT_EQ(host_.writes().size(), 6u) << "none were set";
}

TEST_F(ClaimVendorVfsTest, parameters_that_cannot_be_cleared_keep_nobody_from_the_vf) {
  host_.reacts(vf(1), "nvidia/vgpu_params",
               [](const std::string& value) { return value == " " ? EINVAL : 0; });
  config_.profiles[0].attributes = {{"nvidia/vgpu_params", "frl_config=60"}};
  EXPECT_EQ(refusal(vm(1)), "");
  testing::internal::CaptureStderr();
  {
    const StartedLog log(log::To::terminal);
    EXPECT_EQ(release(vm(1)), "");
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(StartsWith("gpuward: warning: domain '"),
                    HasSubstr("parameters of the vGPU cannot be cleared, ignoring: Invalid "
                              "argument; check: cat /")));
  EXPECT_EQ(type(), 0u);
}

TEST_F(ClaimVendorVfsTest, a_clearing_that_hangs_is_named) {
  host_.reacts(vf(1), "nvidia/vgpu_params", [this](const std::string& value) {
    if (value == " ") host_.hang();
    return 0;
  });
  config_.profiles[0].attributes = {{"nvidia/vgpu_params", "frl_config=60"}};
  EXPECT_EQ(refusal(vm(1)), "");
  EXPECT_THAT(release(vm(1), hasty), HasSubstr("cannot clear the parameters of the vGPU: write to "
                                               "vgpu_params is blocked in the kernel"));
  EXPECT_THAT(release(vm(1), hasty), HasSubstr("setting of its attributes is blocked"));
  host_.lets_go();
  EXPECT_EQ(release(vm(1)), "");
  EXPECT_EQ(type(), 0u);
}

TEST_F(ClaimVendorVfsTest, plugin_parameters_that_the_driver_rejects_undo_the_vgpu) {
  host_.reacts(vf(1), "nvidia/vgpu_params", [](const std::string&) { return EINVAL; });
  config_.profiles[0].attributes = {{"nvidia/vgpu_params", "frl_config=60"}};
  EXPECT_EQ(refusal(vm(1)),
            "GPU 0: setting nvidia/vgpu_params to 'frl_config=60' on 0000:41:00.1 failed: Invalid "
            "argument; correct 'set' in [profile p], or check: journalctl -k");
  EXPECT_EQ(type(), 0u);
  EXPECT_FALSE(claims_.find(vm(1).uuid));
}

TEST_F(ClaimVendorVfsTest, a_limit_of_0_is_not_waited_for) {
  config_.gpus[0].max = {{"1145", 0}};
  EXPECT_EQ(refusal(vm(1)),
            "GPU 0 (0000:41:00.1): max = 1145:0 permits none on 0000:41:00.0; raise max in the "
            "[gpu] section of 0000:41:00.0, or run: gpuward reassign");
  EXPECT_EQ(type(), 0u);
}

}  // namespace
}  // namespace gpuward
