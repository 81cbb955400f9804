// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/reassignment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "allocation/gpu_choice.hpp"
#include "fake_host.hpp"
#include "nvml_fixtures.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Profile profile(const std::string& name, Use use) {
  Profile profile;
  profile.name = name;
  profile.use = use;
  return profile;
}

const std::string big_title = "profile 'big'";

PciAddress card(unsigned number) {
  return {0, static_cast<uint8_t>(number), 0, 0};
}

Uuid vm(unsigned number) {
  Uuid uuid;
  uuid.bytes[15] = static_cast<uint8_t>(number);
  return uuid;
}

std::vector<std::string> addresses(const DevicesInUse& devices) {
  std::vector<std::string> texts;
  for (const auto& [device, user] : devices) texts.push_back(to_string(device));
  return texts;
}

/// Domains vm(1), vm(2) … that are off, cards of one pool, and who has which.
struct PoolPlanTest : testing::Test {
  PoolPlanTest() {
    for (unsigned number = 1; number <= 4; ++number) add_card(number);
  }
  void add_card(unsigned number) {
    pools_[big_title].push_back({card(number), {}, {}, {card(number)}, true});
  }
  /// With a GPU at each of these cards; 0: nowhere.
  void off(const std::vector<unsigned>& cards) {
    const auto number = static_cast<unsigned>(off_.size()) + 1;
    PoolDomain domain{vm(number), "vm" + std::to_string(number), {}, {}};
    for (const unsigned at : cards)
      domain.gpus.push_back({"ua-gpuward-" + std::to_string(domain.gpus.size()), big_,
                             at ? std::optional(card(at)) : std::nullopt});
    off_.push_back(domain);
  }
  void taken(unsigned number, const Uuid& by = vm(100)) {
    taken_[card(number)] = {by, "web has it"};
  }
  void held(unsigned number) { taken_[card(number)] = {{}, "in use by process 7 (Xorg)", true}; }
  PoolPlan plan() { return plan_reassignments(off_, pools_, by_hand_, taken_, assigned_count_); }
  /// "vm1 1>2": as text, in order.
  std::vector<std::string> moves() {
    std::vector<std::string> texts;
    for (const Reassignment& move : plan().moves)
      texts.push_back("vm" + std::to_string(move.domain.bytes[15]) + ' ' +
                      (move.from ? std::to_string(move.from->bus) : "") + '>' +
                      std::to_string(move.to.front().bus));
    return texts;
  }

  Profile big_ = profile("big", Use::whole);
  std::vector<PoolDomain> off_;
  DevicePools pools_;
  DevicesByHand by_hand_;
  DevicesInUse taken_;
  std::map<PciAddress, unsigned> assigned_count_;
};

using Texts = std::vector<std::string>;

TEST_F(PoolPlanTest, moves_all_that_are_at_a_taken_card_and_spreads_them) {
  for (int i = 0; i < 4; ++i) off({1});
  taken(1);
  EXPECT_EQ(moves(), (Texts{"vm1 1>2", "vm2 1>3", "vm3 1>4", "vm4 1>2"}));
}

TEST_F(PoolPlanTest, leaves_alone_who_is_at_a_free_card) {
  off({2});
  off({2});
  taken(1);
  EXPECT_THAT(moves(), IsEmpty());
}

TEST_F(PoolPlanTest, leaves_who_must_be_unmanaged_where_it_is) {
  off({2});
  big_.keep_driver = true;
  off({2});
  off_[1].gpus[0].must_be_unmanaged = true;
  ASSERT_EQ(moves(), Texts{"vm2 2>2"});
  EXPECT_FALSE(plan().moves[0].managed);
  EXPECT_EQ(plan().moves[0].why, "managed='no' for profile 'big'");
}

TEST_F(PoolPlanTest, takes_the_card_that_the_fewest_are_at) {
  off({2});
  off({2});
  off({3});
  off({1});
  taken(1);
  taken(4);
  EXPECT_EQ(moves(), Texts{"vm4 1>3"});
}

TEST_F(PoolPlanTest, moves_who_is_on_a_full_card_where_another_has_room) {
  off({1});
  pools_[big_title][0].is_full = true;
  EXPECT_EQ(moves(), Texts{"vm1 1>2"});
  for (PoolDevice& device : pools_[big_title]) device.is_full = true;
  EXPECT_THAT(moves(), IsEmpty());
}

TEST_F(PoolPlanTest, moves_who_is_far_where_numa_is_required) {
  off({1});
  off_[0].cpus = {4};
  for (unsigned i = 0; i < 4; ++i) {
    pools_[big_title][i].numa_node = i / 2;
    pools_[big_title][i].local_cpus = {static_cast<int>(i / 2) * 4};
  }
  EXPECT_THAT(moves(), IsEmpty());
  big_.numa = Numa::require;
  for (PoolDomain& domain : off_)
    for (PoolGpu& gpu : domain.gpus) gpu.profile = big_;
  EXPECT_EQ(moves(), Texts{"vm1 1>3"});
}

/// Cards 1 and 2 are directly below the host bridge, 3 and 4 below one switch.
TEST_F(PoolPlanTest, moves_near_the_gpus_of_the_domain_that_stay) {
  for (unsigned number = 1; number <= 4; ++number)
    pools_[big_title][number - 1].bus =
        number < 3 ? BusPath{card(0), {card(10 + number)}}
                   : BusPath{card(0), {card(20), card(21), card(20 + number)}};
  off({4, 1});
  taken(1);
  EXPECT_EQ(moves(), Texts{"vm1 1>3"});
}

TEST_F(PoolPlanTest, counts_those_on_their_way) {
  off({1});
  taken(1);
  assigned_count_ = {{card(2), 1}, {card(3), 1}};
  EXPECT_EQ(moves(), Texts{"vm1 1>4"});
}

TEST_F(PoolPlanTest, counts_those_that_went_no_longer) {
  off({1, 1});
  off({0});
  assigned_count_ = {{card(3), 5}, {card(4), 5}};
  EXPECT_EQ(moves(), (Texts{"vm1 1>2", "vm2 >1"}));
}

TEST_F(PoolPlanTest, moves_nobody_when_none_is_free) {
  off({1});
  for (unsigned number = 1; number <= 4; ++number) taken(number);
  EXPECT_THAT(moves(), IsEmpty());
  EXPECT_FALSE(plan().retry_later) << "the claim changes when a domain ends";
}

TEST_F(PoolPlanTest, all_go_to_the_only_one_that_is_free_again) {
  for (unsigned number : {1U, 2U, 3U}) off({number});
  for (unsigned number : {1U, 2U, 3U}) taken(number);
  EXPECT_EQ(moves(), (Texts{"vm1 1>4", "vm2 2>4", "vm3 3>4"}));
}

TEST_F(PoolPlanTest, is_done_when_it_was_carried_out) {
  for (int i = 0; i < 8; ++i) off({1});
  taken(1);
  const auto first = plan().moves;
  EXPECT_EQ(first.size(), 8u);
  for (size_t i = 0; i < first.size(); ++i) off_[i].gpus[0].at = first[i].to.front();
  EXPECT_THAT(moves(), IsEmpty());
}

TEST_F(PoolPlanTest, tells_why) {
  off({1});
  taken(1);
  EXPECT_EQ(plan().moves.at(0).why, "web has it");
  taken_.clear();
  held(1);
  EXPECT_THAT(plan().moves.at(0).why, HasSubstr("Xorg"));
}

TEST_F(PoolPlanTest, its_own_card_is_its_own) {
  off({1});
  taken(1, vm(1));
  EXPECT_THAT(moves(), IsEmpty());
  EXPECT_FALSE(uses_unavailable_device(off_[0], taken_));
  taken(1);
  EXPECT_TRUE(uses_unavailable_device(off_[0], taken_));
}

TEST_F(PoolPlanTest, looks_again_for_a_process_that_may_let_go) {
  off({1});
  for (unsigned number : {1U, 2U, 3U}) taken(number);
  held(4);
  EXPECT_THAT(moves(), IsEmpty());
  EXPECT_TRUE(plan().retry_later);
}

TEST_F(PoolPlanTest, points_at_a_card_of_the_pool_where_it_is_at_none) {
  off({0});
  off({9});
  EXPECT_EQ(moves(), (Texts{"vm1 >1", "vm2 9>2"}));
  EXPECT_THAT(plan().moves.at(1).why, HasSubstr("profile 'big'"));
}

TEST_F(PoolPlanTest, keeps_gpus_of_one_domain_apart) {
  off({1, 1});
  EXPECT_EQ(moves(), Texts{"vm1 1>2"});
}

TEST_F(PoolPlanTest, never_points_two_gpus_of_a_domain_at_the_last_card) {
  off({0, 0});
  for (unsigned number : {1U, 2U, 3U}) taken(number);
  EXPECT_EQ(moves(), Texts{"vm1 >4"});
}

TEST_F(PoolPlanTest, never_moves_one_to_where_another_of_the_domain_stays) {
  off({1, 2});
  for (unsigned number : {1U, 3U, 4U}) taken(number);
  EXPECT_THAT(moves(), IsEmpty());
}

/// Card 1 is no longer for "far" and cards 2 to 4 are not for it, so GPU 0 stays there.
TEST_F(PoolPlanTest, never_moves_one_to_where_another_stays_for_want_of_a_device) {
  const Profile far = profile("far", Use::whole);
  pools_[title_of(far)] = {};
  off({1, 4});
  off_[0].gpus[0].profile = far;
  taken(4);
  EXPECT_EQ(moves(), Texts{"vm1 4>2"});
  taken(2);
  taken(3);
  EXPECT_THAT(moves(), IsEmpty());
}

TEST_F(PoolPlanTest, moves_one_to_where_another_of_the_domain_leaves) {
  const Profile far = profile("far", Use::whole);
  pools_[title_of(far)] = {{card(5), {}, {}, {card(5)}, true}};
  off({4, 1});
  off_[0].gpus[1].profile = far;
  for (const unsigned number : {2U, 3U, 4U}) taken(number);
  EXPECT_EQ(moves(), (Texts{"vm1 4>1", "vm1 1>5"}));
}

/// The one that may have any of the two leaves card 1 to the one that may not.
TEST_F(PoolPlanTest, finds_a_device_for_each_whatever_their_order) {
  const Profile one = profile("one", Use::whole);
  pools_[title_of(one)] = {{card(1), {}, {}, {card(1)}, true}};
  off({3, 4});
  off_[0].gpus[1].profile = one;
  taken(3);
  taken(4);
  EXPECT_EQ(moves(), (Texts{"vm1 3>2", "vm1 4>1"}));
}

TEST_F(PoolPlanTest, a_vgpu_of_who_has_claimed_the_vf_is_theirs) {
  off({1});
  pools_[big_title].front().has_vgpu = true;
  EXPECT_EQ(plan().moves.at(0).why, "device has a vGPU that gpuward did not create");
  taken(1);
  EXPECT_EQ(plan().moves.at(0).why, "web has it");
}

TEST_F(PoolPlanTest, never_points_one_at_what_the_domain_has_by_hand) {
  off({1});
  off({1});
  by_hand_[vm(1)][card(1)] = {vm(1), "already assigned to this domain"};
  EXPECT_EQ(moves(), Texts{"vm1 1>2"});
  EXPECT_EQ(plan().moves.at(0).why, "already assigned to this domain");
}

TEST_F(PoolPlanTest, a_taken_companion_takes_the_card) {
  const PciAddress audio{0, 1, 0, 1};
  pools_[big_title].front().functions.push_back(audio);
  off({1});
  taken_[audio] = {vm(100), "web has it"};
  EXPECT_EQ(moves(), Texts{"vm1 1>2"});
}

TEST_F(PoolPlanTest, brings_companions) {
  const PciAddress audio{0, 2, 0, 1};
  pools_[big_title][1].functions.push_back(audio);
  off({1});
  taken(1);
  EXPECT_EQ(plan().moves.at(0).to, (std::vector<PciAddress>{card(2), audio}));
}

TEST_F(PoolPlanTest, knows_nothing_of_profiles_that_are_gone) {
  off({1});
  off_[0].gpus[0].profile.name = "old";
  taken(1);
  EXPECT_THAT(moves(), IsEmpty());
}

TEST(PoolDomainTest, has_gpus_of_pools_alone) {
  Config config;
  config.profiles = {profile("big", Use::whole), profile("small", Use::mdev)};
  Domain domain;
  domain.name = "web";
  domain.requests = {{"ua-gpuward-0", "big"}, {"ua-gpuward-1", "small"}, {"ua-gpuward-2", "gone"}};
  domain.hostdevs.resize(2);
  domain.hostdevs[0].alias = "ua-gpuward-0-1";
  domain.hostdevs[0].address = card(7);
  domain.hostdevs[1].alias = "ua-gpuward-0";
  domain.hostdevs[1].address = card(3);
  const PoolDomain found = pool_domain(config, domain);
  EXPECT_EQ(found.gpus,
            (std::vector<PoolGpu>{{"ua-gpuward-0", profile("big", Use::whole), card(3)}}));
}

TEST(PoolDomainTest, has_gpus_of_requests_that_name_no_profile) {
  Domain domain;
  domain.requests = {{"ua-gpuward-0", "whole", SettledRequest{Use::whole}},
                     {"ua-gpuward-1", "NVIDIA A2-1Q", SettledRequest{Use::mdev, "nvidia-745"}},
                     {"ua-gpuward-2", "L40S", SettledRequest{Use::whole, {}, "10de:26b9"}}};
  const auto gpus = pool_domain({}, domain).gpus;
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(title_of(gpus[0].profile), "request 'whole'");
  EXPECT_EQ(title_of(gpus[1].profile), "request '10de:26b9'");
}

/// A domain's mdev on a VF keeps the VF and its card from being assigned to it, its VF the card,
/// and its card the VFs.
TEST(PoolDomainTest, what_it_has_by_hand_is_in_use_with_its_card_and_its_parent) {
  FakeHost host;
  host.sriov("0000:41:00.0", 3);
  host.set_vfs("0000:41:00.0", 3);
  host.parent("0000:41:00.1").type("nvidia-63", 1);
  const Uuid mdev = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host.instance("0000:41:00.1", "nvidia-63", mdev);
  Config config;
  config.profiles = {profile("big", Use::vf)};
  Domain domain;
  domain.uuid = vm(1);
  domain.requests = {{"ua-gpuward-0", "big"}};
  domain.hostdevs.resize(3);
  domain.hostdevs[0].instance = mdev;
  domain.hostdevs[1].type = domain.hostdevs[2].type = Hostdev::Type::pci;
  domain.hostdevs[1].address = at("0000:41:00.2");
  domain.hostdevs[2].alias = "ua-gpuward-0";
  domain.hostdevs[2].address = at("0000:41:00.3");
  DevicesByHand found = devices_by_hand(host.root(), {pool_domain(config, domain)});
  EXPECT_THAT(addresses(found.at(vm(1))),
              ElementsAre("0000:41:00.0", "0000:41:00.1", "0000:41:00.2"));
  domain.hostdevs[0].instance.reset();
  domain.hostdevs[1].address = at("0000:41:00.0");
  found = devices_by_hand(host.root(), {pool_domain(config, domain)});
  EXPECT_THAT(addresses(found.at(vm(1))),
              ElementsAre("0000:41:00.0", "0000:41:00.1", "0000:41:00.2", "0000:41:00.3"));
}

TEST_F(PoolPlanTest, leaves_a_group_that_the_host_uses_for_one_that_is_free) {
  pools_[big_title][0].host_bound_members = {{0, 1, 5, 0}};
  off({1});
  EXPECT_EQ(moves(), Texts{"vm1 1>2"});
  EXPECT_EQ(plan().moves.at(0).why,
            "IOMMU group is not viable: 0000:01:05.0 is bound to a host driver");
  for (unsigned number : {2U, 3U, 4U}) taken(number);
  EXPECT_THAT(moves(), IsEmpty());
  taken_.clear();
  off_[0].own = {{0, 1, 5, 0}};
  EXPECT_THAT(moves(), IsEmpty());
}

// ---- NVLink

/// Four cards with a VF each, and a domain of two vGPUs on VFs.
struct LinkedPoolTest : PoolPlanTest {
  LinkedPoolTest() {
    big_.use = Use::vendor_vf;
    pools_.clear();
    for (const unsigned number : {1U, 2U, 3U, 4U}) {
      host_.pci_gpu(to_string(card(number))).driver("nvidia");
      PciAddress vf = card(number);
      vf.function = 4;
      pools_[big_title].push_back({vf, card(number), {}, {vf}, true});
    }
    nvml_.set(
        "mig off\nlink 0000:02:00.0 0 0000:04:00.0\n"
        "link 0000:04:00.0 0 0000:02:00.0\n");
  }
  void ask(AskedCards& asked) {
    add_nvlinks(host_.root(), off_, pools_, by_hand_, {taken_, assigned_count_}, asked);
  }
  FakeHost host_;
  NvmlDouble nvml_{host_.root()};
};

TEST_F(LinkedPoolTest, two_vgpus_of_a_domain_get_linked_cards_and_the_plan_names_them) {
  off({0, 0});
  EXPECT_THAT(moves(), ElementsAre("vm1 >1", "vm1 >2"));
  AskedCards asked;
  ask(asked);
  EXPECT_THAT(moves(), ElementsAre("vm1 >2", "vm1 >4"));
  const auto choices = device_choices(off_[0], pools_, by_hand_, {taken_, assigned_count_});
  ASSERT_EQ(choices.size(), 2U);
  EXPECT_EQ(choices[0].devices[1].why, "NVLink to 0000:04:00.0");
  EXPECT_EQ(choices[0].devices[0].why, "farther from the other GPUs of the domain");
  EXPECT_EQ(choices[1].devices[3].why, "NVLink to 0000:02:00.0");
}

TEST_F(LinkedPoolTest, nobody_is_asked_where_it_cannot_matter) {
  const NvmlWatch watch(host_.root());
  AskedCards asked;
  off({0});
  ask(asked);
  EXPECT_EQ(watch.asked(), "") << "one vGPU";
  off_[0].gpus.push_back(off_[0].gpus[0]);
  for (size_t number = 0; number < 2; ++number)
    off_[0].gpus[number].at = pools_[big_title][number].address;
  ask(asked);
  EXPECT_EQ(watch.asked(), "") << "both stay";
  for (PoolDevice& device : pools_[big_title]) device.is_full = device.address.bus > 1;
  off_[0].gpus[0].at.reset();
  ask(asked);
  EXPECT_EQ(watch.asked(), "") << "one card with room";
  pools_[big_title][3].is_full = false;
  ask(asked);
  EXPECT_EQ(watch.asked(), "links\n");
}

TEST_F(LinkedPoolTest, the_plan_names_links_of_mdevs) {
  MdevChoice choice{{{"a", "q", 1}, {"b", "q", 1}}, {}, Candidate{"b", "q", 1}, "NVLink to x"};
  EXPECT_EQ(mdev_choice(choice, big_, "0").devices[1].why, "NVLink to x");
}

}  // namespace
}  // namespace gpuward
