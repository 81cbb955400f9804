// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/prepare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <functional>
#include <set>

#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "kinds/attributes.hpp"
#include "lifecycle/check_running.hpp"
#include "lifecycle/reconcile.hpp"
#include "lifecycle/release.hpp"
#include "mdev/instance.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using State = ClaimedDevice::State;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Names = std::vector<std::string>;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(100)};
constexpr Deadlines hasty{milliseconds(60'000), milliseconds(1000), milliseconds(50)};

Domain domain_of(unsigned number, const Names& profiles) {
  Domain domain;
  domain.uuid.bytes[15] = static_cast<uint8_t>(number);
  domain.uuid.bytes[0] = 0xd0;
  domain.name = "vm" + std::to_string(number);
  for (size_t i = 0; i < profiles.size(); ++i)
    domain.requests.push_back({"ua-gpuward-" + std::to_string(i), profiles[i]});
  return domain;
}

Profile profile_of(const std::string& name, const Names& types) {
  Profile profile;
  profile.name = name;
  profile.types = types;
  return profile;
}

class ClaimDevicesTest : public testing::Test {
 protected:
  ClaimDevicesTest() {
    config_.profiles = {profile_of("small", {"mbochs-small"}), profile_of("port", {"mtty-1"}),
                        profile_of("two-ports", {"mtty-2"})};
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
  void end_domain(const Domain& domain) {
    if (const auto claim = claims_.find(domain.uuid))
      release_devices(host_.root(), claims_, *claim, patient);
  }
  /// What its prepare writes before it creates the instance.
  void claim_small(const Domain& domain) {
    claims_.write(
        {domain.uuid,
         domain.name,
         {{State::claimed, "ua-gpuward-0", "small", instance(domain), "mbochs", "mbochs-small"}}});
  }
  static Uuid instance(const Domain& domain, unsigned gpu = 0) {
    return instance_uuid(domain.uuid, "ua-gpuward-" + std::to_string(gpu));
  }
  /// "PARENT/TYPE" of one of the domain's GPUs; "" when it has none.
  std::string where(const Domain& domain, unsigned gpu = 0) {
    const auto all = host_.instances();
    const auto found = all.find(instance(domain, gpu));
    return found == all.end() ? "" : found->second;
  }
  FakeHost host_;
  Config config_;
  Claims claims_{host_.root()};
  Domain vm_ = domain_of(1, {"small"});
};

// ---- the usual way

TEST_F(ClaimDevicesTest, a_domain_gets_an_instance_of_its_own_uuid) {
  host_.parent("mbochs").type("mbochs-small", 4);
  prepare(vm_);
  EXPECT_EQ(where(vm_), "mbochs/mbochs-small");
  EXPECT_EQ(host_.instances().size(), 1u);
}

TEST_F(ClaimDevicesTest, the_claim_says_what_is_held) {
  host_.parent("mbochs").type("mbochs-small", 4);
  prepare(vm_);
  const auto claim = claims_.find(vm_.uuid);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->name, "vm1");
  ASSERT_EQ(claim->devices.size(), 1u);
  const ClaimedDevice& device = claim->devices[0];
  EXPECT_EQ(device.state, State::claimed);
  EXPECT_EQ(device.alias, "ua-gpuward-0");
  EXPECT_EQ(device.profile, "small");
  EXPECT_EQ(device.instance, instance(vm_));
  EXPECT_EQ(device.parent, "mbochs");
  EXPECT_EQ(device.type, "mbochs-small");
}

/// How often `work` writes a claim. The kernel makes one of two events that are the same, so the
/// creation of the temporary file between them is asked for as well.
int count_claims_written(const Root& root, const std::function<void()>& work) {
  const Fd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  EXPECT_GE(::inotify_add_watch(watch.get(), root.run("claims").c_str(), IN_CREATE | IN_MOVED_TO),
            0);
  work();
  alignas(inotify_event) char buffer[4096];
  int count = 0;
  const ssize_t size = ::read(watch.get(), buffer, sizeof buffer);
  for (ssize_t at = 0; at < size;) {
    const auto& event = *reinterpret_cast<const inotify_event*>(buffer + at);
    count += (event.mask & IN_MOVED_TO) != 0;
    at += static_cast<ssize_t>(sizeof event + event.len);
  }
  return count;
}

TEST_F(ClaimDevicesTest, the_claim_is_written_before_all_instances_and_behind_them) {
  host_.parent("mbochs").type("mbochs-small", 4);
  claims_.make_ready();
  const Domain two = domain_of(2, {"small", "small"});
  EXPECT_EQ(count_claims_written(host_.root(), [&] { prepare(two); }), 2);
  EXPECT_EQ(host_.instances().size(), 2u);
}

TEST_F(ClaimDevicesTest, the_lock_of_the_host_is_free_while_instances_are_created) {
  host_.parent("mbochs").type("mbochs-small", 4);
  const std::string free = host_.root().run("free");
  host_.before_write = [&](const std::string&) {
    if (claims_.lock_host(milliseconds(1000))) std::ofstream(free) << "yes";
  };
  prepare(vm_);
  EXPECT_EQ(read_file(free).value_or("no"), "yes");
}

TEST_F(ClaimDevicesTest, the_claim_is_on_disk_before_the_kernel_is_touched) {
  host_.parent("mbochs").type("mbochs-small", 4);
  const std::string seen = host_.root().run("seen");
  host_.before_write = [&](const std::string&) {
    std::ofstream(seen)
        << read_file(host_.root().run("claims/") + to_string(vm_.uuid)).value_or("");
  };
  prepare(vm_);
  const Claim claim = parse_claim(read_file(seen).value(), "seen");
  ASSERT_EQ(claim.devices.size(), 1u);
  EXPECT_EQ(claim.devices[0].state, State::claimed);
  EXPECT_EQ(claim.devices[0].parent, "mbochs");
  EXPECT_EQ(claim.devices[0].instance, instance(vm_));
}

TEST_F(ClaimDevicesTest, nothing_but_the_claim_and_the_lock_is_left_in_run) {
  host_.parent("mbochs").type("mbochs-small", 4);
  prepare(vm_);
  EXPECT_THAT(list_directory(host_.root().run("")), ElementsAre("claims", "lock"));
  EXPECT_THAT(list_directory(host_.root().run("claims")), ElementsAre(to_string(vm_.uuid)));
}

/// Of equally empty cards; which of them share a switch only their ports show.
TEST_F(ClaimDevicesTest, several_gpus_are_near_each_other) {
  for (const char* const card : {"0000:41:00.0", "0000:42:00.0", "0000:43:00.0"})
    host_.parent(card).type("mbochs-small", 4);
  for (const char* const port : {"0000:00:01.0", "0000:10:00.0", "0000:11:01.0", "0000:11:02.0"})
    host_.pci_gpu(port).attribute("class", "0x060400");
  host_.move_below("0000:00:01.0", "0000:10:00.0");
  host_.move_below("0000:10:00.0", "0000:11:01.0");
  host_.move_below("0000:10:00.0", "0000:11:02.0");
  host_.move_below("0000:11:01.0", "0000:41:00.0");
  host_.move_below("0000:11:02.0", "0000:43:00.0");
  config_.profiles[0].placement = Placement::spread;
  const Domain domain = domain_of(1, {"small", "small"});
  prepare(domain);
  EXPECT_EQ(where(domain, 0), "0000:41:00.0/mbochs-small");
  EXPECT_EQ(where(domain, 1), "0000:43:00.0/mbochs-small");
}

TEST_F(ClaimDevicesTest, several_gpus_come_together) {
  host_.parent("mbochs").type("mbochs-small", 4);
  host_.parent("mtty").type("mtty-1", 4);
  const Domain domain = domain_of(1, {"small", "port", "small"});
  prepare(domain);
  EXPECT_EQ(where(domain, 0), "mbochs/mbochs-small");
  EXPECT_EQ(where(domain, 1), "mtty/mtty-1");
  EXPECT_EQ(where(domain, 2), "mbochs/mbochs-small");
  EXPECT_EQ(claims_.find(domain.uuid)->devices.size(), 3u);
}

TEST_F(ClaimDevicesTest, of_several_one_that_may_be_anywhere_leaves_its_place_to_one_that_may_not) {
  host_.parent("a").type("mbochs-small", 1);
  host_.parent("b").type("mbochs-small", 1);
  config_.profiles.push_back(profile_of("only-a", {"mbochs-small"}));
  config_.profiles.back().gpus = {*parse_gpu_selector("a")};
  const Domain domain = domain_of(1, {"small", "only-a"});
  prepare(domain);
  EXPECT_EQ(where(domain, 0), "b/mbochs-small");
  EXPECT_EQ(where(domain, 1), "a/mbochs-small");
}

/// The kernel says of each type what fits without the other.
TEST_F(ClaimDevicesTest, of_several_types_on_one_card_what_they_share_is_counted) {
  host_.parent("a").type("mtty-1", 2).type("mtty-2", 1);
  host_.parent("b").type("mtty-1", 4);
  const Domain domain = domain_of(1, {"port", "two-ports"});
  prepare(domain);
  EXPECT_EQ(where(domain, 0), "b/mtty-1");
  EXPECT_EQ(where(domain, 1), "a/mtty-2");
  EXPECT_EQ(host_.writes().size(), 2u) << "none was refused and placed again";
}

TEST_F(ClaimDevicesTest, of_several_no_more_than_max_are_on_a_card) {
  host_.parent("a").type("mbochs-small", 2);
  host_.parent("b").type("mbochs-small", 2);
  GpuSection section;
  section.selector = *parse_gpu_selector("a");
  section.max = {{"mbochs-small", 1}};
  config_.gpus = {section};
  const Domain domain = domain_of(1, {"small", "small", "small"});
  prepare(domain);
  EXPECT_EQ(where(domain, 0), "a/mbochs-small");
  EXPECT_EQ(where(domain, 1), "b/mbochs-small");
  EXPECT_EQ(where(domain, 2), "b/mbochs-small");
}

TEST_F(ClaimDevicesTest, of_several_each_has_a_virtual_function_of_its_own) {
  host_.pci_gpu("0000:41:00.0");
  host_.sriov("0000:41:00.0", 3);
  host_.set_vfs("0000:41:00.0", 3);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2", "0000:41:00.3"})
    host_.parent(vf).type("nvidia-1", 1).type("nvidia-2", 1);
  config_.profiles = {profile_of("one", {"nvidia-1"}), profile_of("two", {"nvidia-2"})};
  const Domain domain = domain_of(1, {"one", "two", "one"});
  prepare(domain);
  EXPECT_EQ(where(domain, 0), "0000:41:00.1/nvidia-1");
  EXPECT_EQ(where(domain, 1), "0000:41:00.2/nvidia-2");
  EXPECT_EQ(where(domain, 2), "0000:41:00.3/nvidia-1");
}

TEST_F(ClaimDevicesTest, instances_of_others_are_not_touched) {
  host_.parent("mbochs").type("mbochs-small", 2);
  const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.instance("mbochs", "mbochs-small", foreign);
  prepare(vm_);
  EXPECT_EQ(host_.instances().size(), 2u);
  EXPECT_TRUE(host_.instances().contains(foreign));
}

// ---- where

TEST_F(ClaimDevicesTest, a_full_parent_is_passed_over) {
  host_.parent("mbochs").type("mbochs-small", 1);
  host_.parent("mbochs2").type("mbochs-small", 1);
  host_.instance("mbochs", "mbochs-small", *parse_uuid("00000000-0000-4000-8000-000000000001"));
  prepare(vm_);
  EXPECT_EQ(where(vm_), "mbochs2/mbochs-small");
  EXPECT_EQ(host_.writes().size(), 1u);
}

TEST_F(ClaimDevicesTest, binpack_and_spread_choose_by_what_is_free) {
  host_.parent("a").type("mbochs-small", 4);
  host_.parent("b").type("mbochs-small", 4);
  host_.instance("b", "mbochs-small", *parse_uuid("00000000-0000-4000-8000-000000000001"));
  prepare(vm_);
  EXPECT_EQ(where(vm_), "b/mbochs-small");
  config_.profiles[0].placement = Placement::spread;
  const Domain second = domain_of(2, {"small"});
  prepare(second);
  EXPECT_EQ(where(second), "a/mbochs-small");
}

TEST_F(ClaimDevicesTest, the_next_type_of_the_profile_serves_when_the_first_has_no_capacity) {
  config_.profiles[0].types = {"mbochs-small", "mbochs-large"};
  host_.parent("a").type("mbochs-small", 1);
  host_.parent("b").type("mbochs-large", 1);
  host_.instance("a", "mbochs-small", *parse_uuid("00000000-0000-4000-8000-000000000001"));
  prepare(vm_);
  EXPECT_EQ(where(vm_), "b/mbochs-large");
}

TEST_F(ClaimDevicesTest, gpus_that_the_profile_does_not_name_or_that_are_off_do_not_serve) {
  host_.parent("a").type("mbochs-small", 1);
  host_.parent("b").type("mbochs-small", 1);
  host_.parent("c").type("mbochs-small", 1);
  GpuSection off;
  off.selector.by = GpuSelector::By::name;
  off.selector.name = "a";
  off.use = Use::off;
  config_.gpus = {off};
  GpuSelector only = off.selector;
  only.name = "c";
  config_.profiles[0].gpus = {off.selector, only};
  prepare(vm_);
  EXPECT_EQ(where(vm_), "c/mbochs-small");
}

TEST_F(ClaimDevicesTest, the_gpu_near_the_domains_memory_is_taken) {
  host_.parent("0000:01:00.0").type("mbochs-small", 1).numa_node(0);
  host_.parent("0000:02:00.0").type("mbochs-small", 4).numa_node(1);
  vm_.numa_nodes = {1};
  prepare(vm_);
  EXPECT_EQ(where(vm_), "0000:02:00.0/mbochs-small");
}

TEST_F(ClaimDevicesTest, numa_require_refuses_the_far_gpu) {
  host_.parent("0000:01:00.0").type("mbochs-small", 1).numa_node(0);
  vm_.numa_nodes = {1};
  config_.profiles[0].numa = Numa::require;
  EXPECT_THAT(refusal(vm_), HasSubstr("numa = require"));
  vm_.numa_nodes = {0};
  prepare(vm_);
}

TEST_F(ClaimDevicesTest, numa_require_looks_at_the_cpus_too) {
  host_.parent("0000:01:00.0")
      .type("mbochs-small", 1)
      .numa_node(0)
      .attribute("local_cpulist", "0-3");
  config_.profiles[0].numa = Numa::require;
  vm_.cpus = {4};
  EXPECT_THAT(refusal(vm_), HasSubstr("numa = require"));
  vm_.cpus = {3, 4};
  prepare(vm_);
}

// ---- no room

TEST_F(ClaimDevicesTest, without_a_gpu_that_offers_the_type_it_is_told) {
  host_.parent("mtty").type("mtty-1", 1);
  const std::string text = refusal(vm_);
  EXPECT_THAT(text, HasSubstr("GPU 0: no GPU allowed by profile 'small'"));
  EXPECT_THAT(text, HasSubstr("mbochs-small"));
  EXPECT_THAT(text, HasSubstr("gpuward list types"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ClaimDevicesTest, when_all_is_full_the_holders_are_named) {
  host_.parent("mbochs").type("mbochs-small", 1);
  prepare(vm_);
  const Domain second = domain_of(2, {"small"});
  const std::string text = refusal(second);
  EXPECT_THAT(text, HasSubstr("no available instance of mbochs-small on mbochs"));
  EXPECT_THAT(text, HasSubstr("in use by domains 'vm1'"));
  EXPECT_FALSE(claims_.find(second.uuid));
  EXPECT_EQ(where(vm_), "mbochs/mbochs-small") << "the first keeps its own";
}

/// A card's types share what it has.
TEST_F(ClaimDevicesTest, holders_of_other_types_of_the_card_are_named) {
  host_.parent("mbochs").type("mbochs-small", 0).type("mbochs-large", 1);
  host_.parent("other").type("mbochs-large", 1);
  config_.profiles.push_back(profile_of("large", {"mbochs-large"}));
  for (unsigned number = 2; number <= 3; ++number) prepare(domain_of(number, {"large"}));
  const std::string on_card = where(domain_of(2, {"large"})).starts_with("mbochs/") ? "vm2" : "vm3";
  EXPECT_THAT(refusal(vm_), HasSubstr("on mbochs (in use by domains '" + on_card + "')"));
}

TEST_F(ClaimDevicesTest, of_many_holders_three_are_named) {
  host_.parent("mbochs").type("mbochs-small", 5);
  for (unsigned number = 1; number <= 5; ++number) prepare(domain_of(number, {"small"}));
  EXPECT_THAT(refusal(domain_of(6, {"small"})),
              HasSubstr("in use by domains 'vm1', 'vm2', 'vm3' and 2 more"));
}

TEST_F(ClaimDevicesTest, two_gpus_where_there_is_room_for_one_touch_nothing) {
  host_.parent("mbochs").type("mbochs-small", 1);
  const Domain domain = domain_of(1, {"small", "small"});
  EXPECT_THAT(refusal(domain), HasSubstr("GPU 1: "));
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_FALSE(claims_.find(domain.uuid));
}

/// The two types share the device: each alone fits, as the kernel says, but not both.
TEST_F(ClaimDevicesTest, when_the_kernel_has_no_capacity_for_the_second_the_first_is_undone) {
  host_.parent("mtty").type("mtty-1", 2).type("mtty-2", 1);
  const Domain domain = domain_of(1, {"two-ports", "port"});
  const std::string said = refusal(domain);
  EXPECT_THAT(said, HasSubstr("GPU 1: no available instance of mtty-1"));
  EXPECT_THAT(said, Not(HasSubstr("in use by"))) << "its own claim is on disk by now";
  EXPECT_THAT(host_.instances(), IsEmpty());
  EXPECT_FALSE(claims_.find(domain.uuid));
  EXPECT_EQ(host_.writes().size(), 3u) << "created, refused, removed";
}

TEST_F(ClaimDevicesTest, after_a_refusal_another_gets_what_was_undone) {
  host_.parent("mtty").type("mtty-1", 2).type("mtty-2", 1);
  refusal(domain_of(1, {"two-ports", "port"}));
  const Domain second = domain_of(2, {"two-ports"});
  prepare(second);
  EXPECT_EQ(where(second), "mtty/mtty-2");
}

TEST_F(ClaimDevicesTest, a_kernel_that_refuses_what_it_said_was_free_is_passed_over) {
  for (const int code : {ENOSPC, ENOMEM, EUSERS, ENODEV}) {
    FakeHost::current()->behaves();
    host_.parent("a").type("mbochs-small", 1);
    host_.parent("b").type("mbochs-small", 9);
    host_.create_fails("a", "mbochs-small", code);
    prepare(vm_);
    EXPECT_EQ(where(vm_), "b/mbochs-small") << code;
    EXPECT_EQ(claims_.find(vm_.uuid)->devices[0].parent, "b");
    end_domain(vm_);
  }
}

TEST_F(ClaimDevicesTest, einval_from_a_parent_that_is_full_by_then_is_no_room) {
  host_.parent("a").type("mbochs-small", 1);
  host_.parent("b").type("mbochs-small", 9);
  host_.create_fails("a", "mbochs-small", EINVAL);
  host_.before_write = [&](const std::string& line) {  // another was faster
    if (line.starts_with("create a "))
      host_.parent("a").attribute("mdev_supported_types/mbochs-small/available_instances", "0");
  };
  EXPECT_EQ(refusal(vm_), "(not refused)");
  EXPECT_EQ(where(vm_), "b/mbochs-small");
}

TEST_F(ClaimDevicesTest, the_second_moves_on_and_the_first_stays) {
  host_.parent("a").type("mtty-1", 2).type("mtty-2", 1);
  host_.parent("b").type("mtty-1", 9);
  const Domain domain = domain_of(1, {"two-ports", "port"});
  prepare(domain);
  EXPECT_EQ(where(domain, 0), "a/mtty-2");
  EXPECT_EQ(where(domain, 1), "b/mtty-1");
  const auto claim = claims_.find(domain.uuid);
  EXPECT_EQ(claim->devices[0].state, State::claimed);
  EXPECT_EQ(claim->devices[1].state, State::claimed);
}

TEST_F(ClaimDevicesTest, a_kernel_that_refuses_everywhere_is_asked_once_each) {
  host_.parent("a").type("mbochs-small", 1);
  host_.parent("b").type("mbochs-small", 1);
  host_.create_fails("a", "mbochs-small", ENOSPC);
  host_.create_fails("b", "mbochs-small", ENOSPC);
  EXPECT_THAT(refusal(vm_), HasSubstr("no available instance of mbochs-small on a, b"));
  EXPECT_EQ(host_.writes().size(), 2u);
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

TEST_F(ClaimDevicesTest, any_other_failure_of_the_kernel_is_told_and_undone) {
  host_.parent("mtty").type("mtty-1", 2);
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_fails("mbochs", "mbochs-small", EIO);
  const Domain domain = domain_of(1, {"port", "small"});
  const std::string text = refusal(domain);
  EXPECT_THAT(text, HasSubstr("GPU 1: creating mbochs-small on mbochs failed"));
  EXPECT_THAT(text, HasSubstr("Input/output error"));
  EXPECT_THAT(host_.instances(), IsEmpty());
  EXPECT_FALSE(claims_.find(domain.uuid));
}

TEST_F(ClaimDevicesTest, a_failing_undo_does_not_hide_the_first_cause) {
  host_.parent("mtty").type("mtty-1", 2);
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_fails("mbochs", "mbochs-small", EIO);
  const Domain domain = domain_of(1, {"port", "small"});
  host_.remove_fails(instance(domain, 0), EBUSY);
  EXPECT_THAT(refusal(domain), HasSubstr("Input/output error"));
  const auto claim = claims_.find(domain.uuid);
  ASSERT_TRUE(claim) << "what did not go stays claimed";
  ASSERT_EQ(claim->devices.size(), 1u);
  EXPECT_EQ(claim->devices[0].state, State::quarantined);
  EXPECT_EQ(claim->devices[0].alias, "ua-gpuward-0");
}

// ---- the UUID is there already

TEST_F(ClaimDevicesTest, an_instance_of_its_own_that_nobody_claims_is_adopted) {
  host_.parent("mbochs").type("mbochs-small", 1);
  host_.instance("mbochs", "mbochs-small", instance(vm_));
  prepare(vm_);
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_EQ(claims_.find(vm_.uuid)->devices[0].state, State::claimed);
}

TEST_F(ClaimDevicesTest, one_of_a_type_that_the_profile_does_not_allow_is_refused) {
  host_.parent("mtty").type("mtty-1", 1);
  host_.parent("mbochs").type("mbochs-small", 1);
  host_.instance("mtty", "mtty-1", instance(vm_));
  const std::string text = refusal(vm_);
  EXPECT_THAT(text, HasSubstr("already exists on mtty with type mtty-1"));
  EXPECT_THAT(text, HasSubstr("echo 1 > /sys/bus/mdev/devices/"));
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

TEST_F(ClaimDevicesTest, one_that_mdevctl_defines_is_refused) {
  host_.parent("mbochs").type("mbochs-small", 1);
  host_.instance("mbochs", "mbochs-small", instance(vm_));
  host_.mdevctl_definition("mbochs", instance(vm_));
  EXPECT_THAT(refusal(vm_), HasSubstr("mdevctl undefine --uuid " + to_string(instance(vm_))));
  EXPECT_EQ(host_.instances().size(), 1u);
}

TEST_F(ClaimDevicesTest, one_that_a_process_has_open_is_refused_and_the_process_named) {
  host_.parent("mbochs").type("mbochs-small", 1);
  host_.instance("mbochs", "mbochs-small", instance(vm_));
  host_.opens(4711, "qemu-system-x86", instance(vm_));
  EXPECT_THAT(refusal(vm_), HasSubstr("in use by process 4711 (qemu-system-x86)"));
  EXPECT_EQ(host_.instances().size(), 1u);
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ClaimDevicesTest, eexist_is_told_with_where_it_is) {
  host_.parent("a").type("mbochs-small", 1);
  host_.parent("b").type("mtty-1", 1);
  host_.before_write = [&](const std::string& line) {  // between the look and the write
    if (line.starts_with("create a ")) host_.instance("b", "mtty-1", instance(vm_));
  };
  const std::string text = refusal(vm_);
  EXPECT_THAT(text, HasSubstr(to_string(instance(vm_)) + " already exists on b"));
  EXPECT_EQ(where(vm_), "b/mtty-1") << "what another made is not removed";
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

TEST_F(ClaimDevicesTest, what_another_made_on_the_same_parent_is_not_removed_either) {
  host_.parent("a").type("mbochs-small", 2);
  host_.before_write = [&](const std::string& line) {
    if (line.starts_with("create a ")) host_.instance("a", "mbochs-small", instance(vm_));
  };
  EXPECT_THAT(refusal(vm_), HasSubstr("already exists on a"));
  EXPECT_EQ(where(vm_), "a/mbochs-small");
}

// ---- a create that hangs

TEST_F(ClaimDevicesTest, a_create_that_hangs_is_told_within_the_deadline) {
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_hangs("mbochs", "mbochs-small");
  const std::string text = refusal(vm_, hasty);
  EXPECT_THAT(text,
              HasSubstr("creating mbochs-small on mbochs is blocked in the kernel (process "));
  EXPECT_THAT(text, HasSubstr("journalctl -k"));
}

TEST_F(ClaimDevicesTest, a_create_that_hangs_undoes_those_before_it) {
  host_.parent("mtty").type("mtty-1", 2);
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_hangs("mbochs", "mbochs-small");
  const Domain domain = domain_of(1, {"port", "small"});
  EXPECT_THAT(refusal(domain, hasty), HasSubstr("is blocked in the kernel"));
  EXPECT_EQ(where(domain, 0), "");
}

TEST_F(ClaimDevicesTest, a_create_that_hangs_leaves_those_behind_it_out_of_the_claim) {
  host_.parent("mtty").type("mtty-1", 2);
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_hangs("mbochs", "mbochs-small");
  const Domain domain = domain_of(1, {"small", "port"});
  EXPECT_THAT(refusal(domain, hasty), HasSubstr("is blocked in the kernel"));
  const auto claim = claims_.find(domain.uuid);
  ASSERT_TRUE(claim);
  ASSERT_THAT(claim->devices, testing::SizeIs(1));
  EXPECT_EQ(claim->devices[0].parent, "mbochs");
  EXPECT_EQ(claim->devices[0].state, ClaimedDevice::State::quarantined);
}

/// The claim says what was meant; without it nobody would know of the instance.
TEST_F(ClaimDevicesTest, an_instance_that_a_hanging_create_makes_in_the_end_is_found_by_reconcile) {
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_hangs("mbochs", "mbochs-small");
  refusal(vm_, hasty);
  host_.behaves();
  host_.lets_go();
  ASSERT_EQ(where(vm_), "mbochs/mbochs-small");
  reconcile(
      host_.root(), [](const Uuid&) { return false; }, patient, false);
  EXPECT_EQ(where(vm_), "");
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

/// libvirt calls release at once after a refused prepare; the kernel shows nothing yet.
TEST_F(ClaimDevicesTest, a_hanging_create_stays_claimed_over_the_release_that_follows) {
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_hangs("mbochs", "mbochs-small");
  refusal(vm_, hasty);
  const auto kept = release_devices(host_.root(), claims_, claims_.find(vm_.uuid).value(), hasty);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_THAT(kept[0].reason, HasSubstr("creation is blocked in the kernel (process "));
  ASSERT_TRUE(claims_.find(vm_.uuid));
  host_.behaves();
  host_.lets_go();
  EXPECT_THAT(release_devices(host_.root(), claims_, claims_.find(vm_.uuid).value(), patient),
              IsEmpty());
  EXPECT_EQ(where(vm_), "");
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

TEST_F(ClaimDevicesTest, a_hanging_create_stays_claimed_beside_one_that_cannot_be_undone) {
  host_.parent("mtty").type("mtty-1", 2);
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_hangs("mbochs", "mbochs-small");
  const Domain domain = domain_of(1, {"port", "small"});
  host_.remove_fails(instance(domain, 0), EBUSY);
  refusal(domain, hasty);
  const auto claim = claims_.find(domain.uuid);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->devices.size(), 2u);
}

/// The device appears before its driver is bound; removing it then leaves one without `remove`.
TEST_F(ClaimDevicesTest, an_instance_that_is_still_being_made_is_not_removed) {
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.create_hangs("mbochs", "mbochs-small");
  host_.before_write = [&](const std::string& line) {
    if (line.starts_with("create ")) host_.instance_without_type("mbochs", instance(vm_));
  };
  refusal(vm_, hasty);
  EXPECT_THAT(host_.writes(), ElementsAre(testing::StartsWith("create ")));
}

TEST_F(ClaimDevicesTest, a_kernel_that_takes_the_write_and_makes_nothing_is_found_out) {
  host_.parent("mbochs").type("mbochs-small", 2);
  host_.before_write = [&](const std::string&) {};
  host_.create_fails("mbochs", "mbochs-small", 0);
  EXPECT_THAT(refusal(vm_), HasSubstr("created instance " + to_string(instance(vm_))));
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

// ---- what an earlier start left

TEST_F(ClaimDevicesTest, a_claim_that_was_never_released_is_given_back_first) {
  host_.parent("mbochs").type("mbochs-small", 1);
  prepare(vm_);
  prepare(vm_);
  EXPECT_EQ(where(vm_), "mbochs/mbochs-small");
  EXPECT_EQ(host_.writes().size(), 3u) << "created, removed, created";
  EXPECT_EQ(claims_.find(vm_.uuid)->devices.size(), 1u);
}

TEST_F(ClaimDevicesTest, a_claim_of_which_nothing_was_made_does_not_matter) {
  host_.parent("mbochs").type("mbochs-small", 1);
  claims_.make_ready();
  claims_.write(
      {vm_.uuid,
       "vm1",
       {{State::claimed, "ua-gpuward-0", "small", instance(vm_), "mbochs", "mbochs-small"}}});
  prepare(vm_);
  EXPECT_EQ(claims_.find(vm_.uuid)->devices[0].state, State::claimed);
}

TEST_F(ClaimDevicesTest, a_leftover_that_is_still_open_refuses_and_stays_claimed) {
  host_.parent("mbochs").type("mbochs-small", 2);
  prepare(vm_);
  host_.opens(4711, "qemu-system-x86", instance(vm_));
  const std::string text = refusal(vm_);
  EXPECT_THAT(text, HasSubstr("quarantine"));
  EXPECT_THAT(text, HasSubstr("process 4711 (qemu-system-x86)"));
  EXPECT_THAT(text, HasSubstr("gpuward reconcile"));
  EXPECT_EQ(where(vm_), "mbochs/mbochs-small");
  EXPECT_EQ(claims_.find(vm_.uuid)->devices[0].state, State::quarantined);
}

TEST_F(ClaimDevicesTest, a_quarantined_leftover_that_goes_at_last_is_no_obstacle) {
  host_.parent("mbochs").type("mbochs-small", 1);
  prepare(vm_);
  host_.opens(4711, "qemu-system-x86", instance(vm_));
  refusal(vm_);
  host_.ends(4711);
  prepare(vm_);
  EXPECT_EQ(claims_.find(vm_.uuid)->devices[0].state, State::claimed);
}

TEST_F(ClaimDevicesTest, a_leftover_whose_removal_hangs_refuses_until_it_ends) {
  host_.parent("mbochs").type("mbochs-small", 2);
  prepare(vm_);
  host_.remove_hangs(instance(vm_));
  EXPECT_THAT(refusal(vm_, hasty), HasSubstr("blocked in the kernel"));
  EXPECT_THAT(refusal(vm_, hasty), HasSubstr("removal is blocked in the kernel until"));
  EXPECT_EQ(claims_.find(vm_.uuid)->devices[0].state, State::quarantined);
  host_.behaves();
  host_.lets_go();
  prepare(vm_);
  EXPECT_EQ(claims_.find(vm_.uuid)->devices[0].state, State::claimed);
}

TEST_F(ClaimDevicesTest, a_claim_that_cannot_be_read_refuses_with_its_place_and_stays) {
  host_.parent("mbochs").type("mbochs-small", 1);
  claims_.make_ready();
  const std::string file = host_.root().run("claims/") + to_string(vm_.uuid);
  write_file_atomically(file, "gpuward-claim 1\nrubbish\n");
  EXPECT_THAT(refusal(vm_), HasSubstr(file + " line 2: "));
  EXPECT_TRUE(exists(file));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ClaimDevicesTest, an_unreadable_claim_of_another_domain_keeps_all_from_being_assigned) {
  host_.parent("mbochs").type("mbochs-small", 1);
  claims_.make_ready();
  write_file_atomically(host_.root().run("claims/") + to_string(domain_of(2, {}).uuid), "rubbish");
  const std::string why = refusal(vm_);
  EXPECT_THAT(why, HasSubstr(host_.root().run("claims/") + to_string(domain_of(2, {}).uuid)));
  EXPECT_THAT(why, HasSubstr("gpuward doctor"));
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

// ---- others at the same time

TEST_F(ClaimDevicesTest, a_domain_that_is_worked_on_for_too_long_is_refused) {
  host_.parent("mbochs").type("mbochs-small", 1);
  claims_.make_ready();
  const auto lock = claims_.lock_domain(vm_.uuid, milliseconds(60'000));
  const Deadlines short_lock{milliseconds(50), milliseconds(60'000), milliseconds(50)};
  EXPECT_THAT(refusal(vm_, short_lock), HasSubstr("still preparing or releasing"));
}

TEST_F(ClaimDevicesTest, a_host_that_is_locked_for_too_long_is_told_and_nothing_claimed) {
  host_.parent("mbochs").type("mbochs-small", 1);
  claims_.make_ready();
  const auto lock = claims_.lock_host(milliseconds(60'000));
  const Deadlines short_lock{milliseconds(50), milliseconds(60'000), milliseconds(50)};
  EXPECT_THAT(refusal(vm_, short_lock), HasSubstr("waiting for another allocation"));
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

TEST_F(ClaimDevicesTest, what_another_is_about_to_create_is_not_given_twice) {
  host_.parent("mbochs").type("mbochs-small", 1);
  const Domain other = domain_of(2, {"small"});
  claims_.make_ready();
  const auto lock = claims_.lock_domain(other.uuid, milliseconds(60'000));
  claim_small(other);
  EXPECT_THAT(refusal(vm_), HasSubstr("in use by domains 'vm2'"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

/// As `gpuward doctor` asks, which any user may run.
TEST_F(ClaimDevicesTest, to_one_who_cannot_read_the_lock_no_domain_is_worked_on) {
  host_.parent("mbochs").type("mbochs-small", 1);
  const Domain other = domain_of(2, {"small"});
  claims_.make_ready();
  claim_small(other);
  const auto lock = claims_.lock_domain(other.uuid, milliseconds(60'000));
  EXPECT_THAT(devices_refusal(host_.root(), config_, vm_).reason.problem, HasSubstr("'vm2'"));
  ASSERT_EQ(::chmod(host_.root().run("lock").c_str(), 0), 0);
  ASSERT_EQ(::chmod(host_.root().at("/").c_str(), 0711), 0);
  const uid_t user = ::getuid();
  ASSERT_EQ(::seteuid(user == 0 ? 65534 : user), 0);
  EXPECT_EQ(devices_refusal(host_.root(), config_, vm_).reason.problem, "");
  ASSERT_EQ(::seteuid(user), 0);
}

/// A directory in place of the lock cannot be read by root either.
TEST_F(ClaimDevicesTest, for_an_mdev_only_those_who_claim_mdevs_are_looked_for_at_work) {
  host_.parent("mbochs").type("mbochs-small", 1);
  claims_.make_ready();
  make_directories(host_.root().run("lock"));
  ClaimedDevice device{State::claimed, "ua-gpuward-0", "card", {}, "0000:41:00.0", "-"};
  device.use = Use::whole;
  device.address = *parse_pci_address("0000:41:00.0");
  const Domain other = domain_of(2, {"small"});
  claims_.write({other.uuid, other.name, {device}});
  EXPECT_EQ(devices_refusal(host_.root(), config_, vm_).reason.problem, "");
  claim_small(other);
  EXPECT_THAT(devices_refusal(host_.root(), config_, vm_).reason.problem,
              HasSubstr("cannot open lock"))
      << "unknown is not free";
}

TEST_F(ClaimDevicesTest, what_a_killed_one_was_about_to_create_is_free) {
  host_.parent("mbochs").type("mbochs-small", 1);
  const Domain other = domain_of(2, {"small"});
  claims_.make_ready();
  claim_small(other);
  EXPECT_EQ(refusal(vm_), "(not refused)");
}

/// Kernel and claims say the same: so many domains hold so many instances.
void expect_agreement(FakeHost& host, size_t holders) {
  EXPECT_EQ(host.instances().size(), holders);
  std::set<Uuid> claimed;
  for (const Claim& claim : Claims(host.root()).all().readable)
    for (const ClaimedDevice& device : claim.devices) {
      EXPECT_EQ(device.state, State::claimed);
      EXPECT_EQ(host.instances().at(device.instance), device.parent + '/' + device.type);
      claimed.insert(device.instance);
    }
  EXPECT_EQ(claimed.size(), holders);
}

TEST_F(ClaimDevicesTest, of_many_at_once_exactly_as_many_get_one_as_there_are) {
  host_.parent("a").type("mbochs-small", 5);
  host_.parent("b").type("mbochs-small", 7);
  const auto statuses = in_processes(20, [&](int number) {
    const std::string text = refusal(domain_of(static_cast<unsigned>(number), {"small"}));
    if (text == "(not refused)") return 0;
    return text.find("no available instance of mbochs-small") != std::string::npos ? 1 : 2;
  });
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 0), 12);
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 1), 8);
  expect_agreement(host_, 12);
}

TEST_F(ClaimDevicesTest, also_when_available_instances_is_of_no_use) {
  host_.parent("a").type("mbochs-small", 3);
  host_.parent("b").type("mbochs-small", 3);
  const auto statuses = in_processes(10, [&](int number) {
    // the driver says that there is always room
    host_.before_write = [&](const std::string&) {
      for (const char* name : {"a", "b"})
        host_.parent(name).attribute("mdev_supported_types/mbochs-small/available_instances", "9");
    };
    return refusal(domain_of(static_cast<unsigned>(number), {"small"})) == "(not refused)" ? 0 : 1;
  });
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 0), 6);
  expect_agreement(host_, 6);
}

TEST_F(ClaimDevicesTest, the_same_domain_many_times_at_once_ends_with_one) {
  host_.parent("a").type("mbochs-small", 5);
  const auto statuses = in_processes(8, [&](int) {
    const std::string text = refusal(vm_);
    return text == "(not refused)" ? 0 : 1;
  });
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 0), 8);
  expect_agreement(host_, 1);
}

// ---- quota

class QuotaTest : public ClaimDevicesTest {
 protected:
  QuotaTest() { host_.parent("mbochs").type("mbochs-small", 20); }
  void quota(const std::string& pattern, std::map<std::string, unsigned> per_profile,
             std::optional<unsigned> total = {}) {
    config_.quotas.push_back(
        {*parse_domain_pattern(pattern), std::move(per_profile), total, {}, {"gpuward.conf", 3}});
  }
};

TEST_F(QuotaTest, a_domain_that_would_exceed_it_is_refused_before_anything_is_written) {
  quota("vm*", {{"small", 1}});
  prepare(vm_);
  const auto before = host_.tree("");
  EXPECT_EQ(refusal(domain_of(2, {"small"})),
            "[quota vm*] (gpuward.conf:3): small = 1 would be exceeded: domain 'vm1' uses 1, "
            "domain 'vm2' requests 1; shut one of them down or raise the limit; for what is used "
            "run: gpuward quota vm2");
  EXPECT_EQ(host_.tree(""), before);
  end_domain(vm_);
  prepare(domain_of(2, {"small"}));
}

TEST_F(QuotaTest, starting_again_does_not_count_twice) {
  quota("vm*", {}, 1);
  prepare(vm_);
  prepare(vm_);
  EXPECT_EQ(host_.instances().size(), 1u);
}

TEST_F(QuotaTest, the_owner_of_the_claim_counts) {
  quota("owner:team-a", {}, 1);
  vm_.owner = "team-a";
  prepare(vm_);
  EXPECT_EQ(claims_.find(vm_.uuid)->owner, "team-a");
  Domain other = domain_of(2, {"small"});
  other.owner = "team-a";
  EXPECT_THAT(refusal(other), HasSubstr("total = 1 would be exceeded"));
  other.owner = "team-b";
  prepare(other);
}

TEST_F(QuotaTest, a_lost_claim_is_written_with_the_owner) {
  vm_.owner = "team-a";
  prepare(vm_);
  claims_.drop(vm_.uuid);
  check_running_domain(host_.root(), config_, vm_, patient);
  EXPECT_EQ(claims_.find(vm_.uuid)->owner, "team-a");
}

TEST_F(QuotaTest, an_instance_written_by_hand_counts_for_the_total) {
  quota("*", {}, 1);
  const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.instance("mbochs", "mbochs-small", foreign);
  Domain by_hand = domain_of(2, {});
  Hostdev hostdev;
  hostdev.model = "vfio-pci";
  hostdev.instance = foreign;
  by_hand.hostdevs.push_back(hostdev);
  prepare(by_hand);
  EXPECT_THAT(refusal(vm_), HasSubstr("domain 'vm2' uses 1, domain 'vm1' requests 1"));
}

TEST_F(QuotaTest, what_an_unreadable_claim_uses_is_unknown_and_refuses) {
  quota("*", {}, 9);
  claims_.make_ready();
  write_file_atomically(host_.root().run("claims/" + to_string(domain_of(2, {}).uuid)),
                        "rubbish\n");
  EXPECT_THAT(refusal(vm_), HasSubstr("cannot be read"));
  EXPECT_TRUE(host_.instances().empty());
}

TEST_F(QuotaTest, doctor_names_it_as_what_passes_when_another_domain_is_shut_down) {
  quota("*", {}, 1);
  prepare(vm_);
  const DevicesRefusal full = devices_refusal(host_.root(), config_, domain_of(2, {"small"}));
  EXPECT_THAT(full.reason.problem, HasSubstr("would be exceeded"));
  EXPECT_TRUE(full.passes);
  EXPECT_FALSE(devices_refusal(host_.root(), config_, domain_of(2, {"small", "small"})).passes);
}

TEST_F(QuotaTest, of_many_domains_at_once_as_many_start_as_it_permits) {
  quota("vm?", {{"small", 3}});
  quota("*", {}, 5);
  const auto statuses = in_processes(20, [&](int number) {
    const std::string text = refusal(domain_of(static_cast<unsigned>(number), {"small"}));
    if (text == "(not refused)") return 0;
    return text.find("would be exceeded") != std::string::npos ? 1 : 2;
  });
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 0), 8);
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 1), 12);
  expect_agreement(host_, 8);
}

// ---- [gpu] max

class MaxTest : public ClaimDevicesTest {
 protected:
  void max(const std::string& parent, const std::string& type, unsigned count) {
    GpuSection section;
    section.selector.by = GpuSelector::By::name;
    section.selector.name = parent;
    section.max = {{type, count}};
    config_.gpus.push_back(section);
  }
};

TEST_F(MaxTest, no_more_of_the_type_are_created_on_the_card_than_it_permits) {
  host_.parent("a").type("mbochs-small", 4);
  host_.parent("b").type("mbochs-small", 1);
  max("a", "mbochs-small", 2);
  for (unsigned number = 1; number <= 3; ++number) prepare(domain_of(number, {"small"}));
  EXPECT_EQ(refusal(domain_of(4, {"small"})),
            "GPU 0: no available instance of mbochs-small on b (in use by domains 'vm1'); "
            "max = mbochs-small:2 is reached on a by domains 'vm2', 'vm3'; shut one down "
            "or add GPUs to [profile small]");
  end_domain(domain_of(2, {"small"}));
  prepare(domain_of(4, {"small"}));
}

TEST_F(MaxTest, counts_what_the_domain_itself_requests) {
  host_.parent("a").type("mbochs-small", 4);
  max("a", "mbochs-small", 2);
  EXPECT_THAT(refusal(domain_of(1, {"small", "small", "small"})),
              HasSubstr("max = mbochs-small:2 is reached on a by domain 'vm1'"));
  EXPECT_TRUE(host_.instances().empty());
  prepare(domain_of(1, {"small", "small"}));
  prepare(domain_of(1, {"small", "small"}));
}

TEST_F(MaxTest, is_for_a_card_over_all_its_vfs) {
  host_.pci_gpu("0000:41:00.0");
  for (const char* const vf : {"0000:41:00.4", "0000:41:00.5", "0000:41:00.6"})
    host_.parent(vf).type("mbochs-small", 1).link("physfn", "../0000:41:00.0");
  GpuSection section;
  section.selector.by = GpuSelector::By::address;
  section.selector.address = *parse_pci_address("0000:41:00.0");
  section.max = {{"mbochs-small", 2}};
  config_.gpus = {section};
  prepare(domain_of(1, {"small"}));
  prepare(domain_of(2, {"small"}));
  EXPECT_EQ(refusal(domain_of(3, {"small"})),
            "GPU 0: no GPU of profile 'small' is available: max = mbochs-small:2 is reached on "
            "0000:41:00.0 by domains 'vm1', 'vm2'; shut one down or add GPUs to [profile small]");
}

TEST_F(MaxTest, another_type_of_the_profile_serves_when_the_first_is_at_its_limit) {
  config_.profiles[0].types = {"mbochs-small", "mbochs-large"};
  host_.parent("a").type("mbochs-small", 4).type("mbochs-large", 2);
  max("a", "mbochs-small", 0);
  prepare(vm_);
  EXPECT_EQ(where(vm_), "a/mbochs-large");
}

TEST_F(MaxTest, an_instance_that_is_there_counts_like_one_to_be_created) {
  host_.parent("a").type("mbochs-small", 4);
  max("a", "mbochs-small", 1);
  host_.instance("a", "mbochs-small", instance(vm_));
  prepare(domain_of(2, {"small"}));
  EXPECT_EQ(refusal(vm_), "GPU 0: instance " + to_string(instance(vm_)) +
                              " already exists, and max = mbochs-small:1 is reached on a by "
                              "domain 'vm2'; shut one of the domains down");
  EXPECT_FALSE(claims_.find(vm_.uuid));
  end_domain(domain_of(2, {"small"}));
  prepare(vm_);
}

TEST_F(MaxTest, a_limit_of_0_is_not_waited_for) {
  host_.parent("a").type("mbochs-small", 4);
  max("a", "mbochs-small", 0);
  EXPECT_EQ(
      refusal(vm_),
      "GPU 0: no GPU of profile 'small' is available: max = mbochs-small:0 permits none on a; "
      "raise max in the [gpu] section of a");
  EXPECT_TRUE(host_.instances().empty());
}

TEST_F(MaxTest, refuses_an_instance_written_by_hand) {
  host_.parent("a").type("mbochs-small", 4);
  max("a", "mbochs-small", 1);
  prepare(vm_);
  const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.instance("a", "mbochs-small", foreign);
  Domain by_hand = domain_of(2, {});
  Hostdev hostdev;
  hostdev.model = "vfio-pci";
  hostdev.instance = foreign;
  by_hand.hostdevs.push_back(hostdev);
  EXPECT_EQ(refusal(by_hand), "hostdev " + to_string(foreign) + ": instance " + to_string(foreign) +
                                  " already exists, and max = mbochs-small:1 is reached on a by "
                                  "domain 'vm1'; shut one of the domains down");
  EXPECT_FALSE(claims_.find(by_hand.uuid));
  EXPECT_EQ(host_.instances().size(), 2u) << "it is the administrator's";
  end_domain(vm_);
  prepare(by_hand);
  prepare(by_hand);
  EXPECT_THAT(refusal(vm_), HasSubstr("is reached on a by domain 'vm2'"));
}

TEST_F(MaxTest, holds_for_many_domains_at_once) {
  host_.parent("a").type("mbochs-small", 12);
  max("a", "mbochs-small", 5);
  const auto statuses = in_processes(12, [&](int number) {
    return refusal(domain_of(static_cast<unsigned>(number), {"small"})) == "(not refused)" ? 0 : 1;
  });
  EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 0), 5);
  expect_agreement(host_, 5);
}

// ---- reconnect

class CheckDevicesTest : public ClaimDevicesTest {
 protected:
  std::string check() { return check_running_domain(host_.root(), {}, vm_, patient); }
};

TEST_F(CheckDevicesTest, a_domain_without_gpus_is_well) {
  EXPECT_EQ(check_running_domain(host_.root(), {}, domain_of(1, {}), patient), "");
}

TEST_F(CheckDevicesTest, all_as_it_should_be_is_no_word_and_no_change) {
  host_.parent("mbochs").type("mbochs-small", 1);
  prepare(vm_);
  const auto before = host_.tree("");
  EXPECT_EQ(check(), "");
  EXPECT_EQ(host_.tree(""), before);
}

TEST_F(CheckDevicesTest, a_lost_claim_is_written_again) {
  host_.parent("mbochs").type("mbochs-small", 1);
  prepare(vm_);
  const std::string before = format_claim(*claims_.find(vm_.uuid));
  claims_.drop(vm_.uuid);
  EXPECT_THAT(check(), HasSubstr("claim file was missing"));
  EXPECT_EQ(format_claim(*claims_.find(vm_.uuid)), before);
}

TEST_F(ClaimDevicesTest, the_claim_has_the_memory_whoever_asked_for_it) {
  host_.parent("mbochs")
      .type("mbochs-small", 2)
      .attribute("mdev_supported_types/mbochs-small/description",
                 "virtual display, 4 MB video memory");
  prepare(vm_);
  EXPECT_EQ(claims_.find(vm_.uuid)->devices[0].memory_mib, 4u);
  const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.instance("mbochs", "mbochs-small", foreign);
  Domain by_hand = domain_of(2, {});
  Hostdev hostdev;
  hostdev.model = "vfio-pci";
  hostdev.instance = foreign;
  by_hand.hostdevs.push_back(hostdev);
  prepare(by_hand);
  EXPECT_EQ(claims_.find(by_hand.uuid)->devices[0].memory_mib, 4u);
  claims_.drop(by_hand.uuid);
  claim_by_hand_again(host_.root(), config_, by_hand, patient);
  EXPECT_EQ(claims_.find(by_hand.uuid)->devices.at(0).memory_mib, 4u);
}

/// With the lock of the host held nothing is read for it: a create that hangs comes after that.
TEST_F(ClaimDevicesTest, memory_that_nothing_needs_is_noted_once_the_lock_is_released) {
  host_.parent("mbochs")
      .type("mbochs-small", 1)
      .attribute("mdev_supported_types/mbochs-small/description",
                 "virtual display, 4 MB video memory");
  host_.create_hangs("mbochs", "mbochs-small");
  EXPECT_THAT(refusal(vm_, hasty), HasSubstr("is blocked in the kernel"));
  EXPECT_FALSE(claims_.find(vm_.uuid)->devices.at(0).memory_mib);
}

TEST_F(CheckDevicesTest, a_claim_that_is_written_again_has_the_memory) {
  host_.parent("mbochs")
      .type("mbochs-small", 1)
      .attribute("mdev_supported_types/mbochs-small/description",
                 "virtual display, 4 MB video memory");
  prepare(vm_);
  claims_.drop(vm_.uuid);
  check();
  EXPECT_EQ(claims_.find(vm_.uuid)->devices.at(0).memory_mib, 4u);
}

TEST_F(CheckDevicesTest, an_instance_that_is_gone_is_told_and_none_is_made) {
  host_.parent("mbochs").type("mbochs-small", 1);
  prepare(vm_);
  host_.instance_goes(instance(vm_));
  EXPECT_THAT(check(), HasSubstr("GPU 0: instance "));
  EXPECT_EQ(where(vm_), "");
}

// ---- attributes of an instance

class AttributesTest : public ClaimDevicesTest {
 protected:
  AttributesTest() {
    host_.parent("mbochs").type("mbochs-small", 4);
    takes("assign_adapter", 0);
    takes("nvidia/vgpu_params", 0);
    config_.profiles[0].attributes = {
        {"assign_adapter", "5"}, {"nvidia/vgpu_params", "enable_uvm=1"}, {"assign_adapter", "6"}};
  }
  void takes(const std::string& attribute, int code) {
    host_.instance_reacts("mbochs", attribute, [code](const std::string&) { return code; });
  }
};

TEST_F(AttributesTest, are_written_in_order_once_the_instance_exists) {
  prepare(vm_);
  EXPECT_THAT(host_.writes(),
              ElementsAre(HasSubstr("create mbochs"), "set assign_adapter 5",
                          "set nvidia/vgpu_params enable_uvm=1", "set assign_adapter 6"));
  const auto claim = claims_.find(vm_.uuid);
  ASSERT_TRUE(claim);
  EXPECT_TRUE(claim->completed);
  EXPECT_FALSE(claim->devices[0].writer.pid);
}

TEST_F(AttributesTest, unified_memory_is_refused_before_an_instance_without_all_memory_is_created) {
  host_.parent("0000:41:00.0")
      .type("nvidia-563", 4)
      .attribute("mdev_supported_types/nvidia-563/name", "NVIDIA A40-12Q");
  config_.profiles[0].types = {"nvidia-563"};
  EXPECT_THAT(refusal(vm_),
              testing::StartsWith("GPU 0: type NVIDIA A40-12Q has 12288 of 49152 MiB, and only"));
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

TEST_F(AttributesTest, one_that_fails_undoes_the_instance_and_refuses_the_start) {
  takes("nvidia/vgpu_params", EINVAL);
  EXPECT_EQ(refusal(vm_), "GPU 0: setting nvidia/vgpu_params to 'enable_uvm=1' on instance " +
                              to_string(instance(vm_)) +
                              " on mbochs failed: Invalid argument; correct 'set' in [profile "
                              "small], or check: journalctl -k");
  EXPECT_THAT(host_.instances(), IsEmpty());
  EXPECT_FALSE(claims_.find(vm_.uuid));
  EXPECT_THAT(host_.writes(), Not(testing::Contains("set assign_adapter 6")));
}

TEST_F(AttributesTest, one_that_the_driver_does_not_have_is_named) {
  config_.profiles[0].attributes = {{"assign_adaptor", "5"}};
  EXPECT_EQ(refusal(vm_), "GPU 0: setting assign_adaptor to '5' on instance " +
                              to_string(instance(vm_)) +
                              " on mbochs failed: there is no such attribute; correct 'set' in "
                              "[profile small]");
  EXPECT_THAT(host_.instances(), IsEmpty());
}

TEST_F(AttributesTest, one_that_blocks_leaves_the_instance_in_quarantine) {
  host_.instance_reacts("mbochs", "assign_adapter", [this](const std::string&) {
    host_.hang();
    return 0;
  });
  EXPECT_THAT(refusal(vm_, hasty),
              HasSubstr("setting assign_adapter to '5' on instance " + to_string(instance(vm_)) +
                        " on mbochs is blocked in the kernel (process "));
  const auto claim = claims_.find(vm_.uuid);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->devices[0].state, State::quarantined);
  EXPECT_TRUE(claim->devices[0].writer.pid);
  const auto kept = release_devices(host_.root(), claims_, *claim, hasty);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_THAT(kept[0].reason, testing::StartsWith("setting of its attributes is blocked in the "
                                                  "kernel (process "));
  host_.lets_go();
  EXPECT_THAT(release_devices(host_.root(), claims_, *claims_.find(vm_.uuid), patient), IsEmpty());
  EXPECT_THAT(host_.instances(), IsEmpty());
}

/// A write that begins with no time left would look like one that is blocked.
TEST_F(AttributesTest, none_is_begun_when_the_time_is_over) {
  prepare(vm_);
  const auto before = host_.writes();
  Claim claim = *claims_.find(vm_.uuid);
  Deadlines over = patient;
  over.end = Deadline::in(milliseconds(0));
  EXPECT_EQ(error_of([&] {
              write_attributes({host_.root(), config_, config_.profiles[0], claim, over},
                               claim.devices[0]);
            }),
            "GPU 0: timed out before its attributes were set; run again: virsh start vm1");
  EXPECT_EQ(host_.writes(), before);
}

TEST_F(AttributesTest, of_every_gpu_of_the_domain_are_written) {
  const Domain two = domain_of(2, {"small", "small"});
  prepare(two);
  const auto writes = host_.writes();
  EXPECT_EQ(std::count(writes.begin(), writes.end(), "set assign_adapter 6"), 2);
}

// ---- a GPU that a section may select

TEST_F(ClaimDevicesTest, a_gpu_of_which_the_serial_number_cannot_be_read_is_not_given_by_star) {
  const std::string gpu = "0000:41:00.0";
  host_.parent(gpu)
      .type("mbochs-small", 4)
      .attribute("power_state", "D3cold")
      .attribute("config", std::string(4096, '\0'));
  GpuSection off, all;
  off.selector.by = GpuSelector::By::serial;
  off.selector.name = "1324";
  off.use = Use::off;
  off.position = {"/etc/gpuward/gpuward.conf", 7};
  all.use = Use::mdev;
  config_.gpus = {all, off};
  EXPECT_EQ(refusal(vm_),
            "GPU 0: device 0000:41:00.0: [gpu serial=1324] "
            "(/etc/gpuward/gpuward.conf:7) may select the GPU, whose serial number cannot be read: "
            "the card "
            "sleeps or does not answer; set use in [gpu 0000:41:00.0], which counts more");
  config_.gpus.pop_back();
  config_.profiles[0].gpus = {off.selector};
  EXPECT_THAT(refusal(vm_), HasSubstr("'gpu = serial=1324' of profile 'small' may select the GPU"));
  host_.parent(gpu).attribute("serial_number", "1324");
  prepare(vm_);
  EXPECT_EQ(where(vm_), gpu + "/mbochs-small");
}

TEST_F(ClaimDevicesTest, an_instance_that_is_left_on_such_a_gpu_is_not_used) {
  host_.parent("0000:41:00.0")
      .type("mbochs-small", 4)
      .attribute("power_state", "D3cold")
      .attribute("config", std::string(4096, '\0'));
  host_.instance("0000:41:00.0", "mbochs-small", instance(vm_));
  config_.gpus.resize(1);
  config_.gpus[0].selector.by = GpuSelector::By::serial;
  config_.gpus[0].selector.name = "1324";
  EXPECT_THAT(refusal(vm_), HasSubstr("whose serial number cannot be read"));
  config_.gpus.clear();
  prepare(vm_);
}

TEST_F(ClaimDevicesTest, an_mdev_written_by_hand_on_such_a_gpu_is_refused) {
  host_.parent("0000:41:00.0")
      .type("mbochs-small", 4)
      .attribute("power_state", "D3cold")
      .attribute("config", std::string(4096, '\0'));
  const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.instance("0000:41:00.0", "mbochs-small", foreign);
  Domain by_hand = domain_of(2, {});
  Hostdev hostdev;
  hostdev.model = "vfio-pci";
  hostdev.instance = foreign;
  by_hand.hostdevs.push_back(hostdev);
  config_.gpus.resize(1);
  config_.gpus[0].selector.by = GpuSelector::By::serial;
  config_.gpus[0].selector.name = "1324";
  config_.gpus[0].use = Use::off;
  EXPECT_THAT(refusal(by_hand), HasSubstr("whose serial number cannot be read"));
  config_.gpus.clear();
  prepare(by_hand);
}

}  // namespace
}  // namespace gpuward
