// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/choose_device.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>

#include "allocation_fixtures.hpp"

namespace gpuward {
namespace {

PoolDevice device(const std::string& address, std::optional<int> node = {},
                  const std::string& pf = "") {
  PoolDevice device{at(address), {}, node, {at(address)}, true};
  if (!pf.empty()) device.physical_function = at(pf);
  return device;
}

std::string chosen(const Profile& profile, const std::vector<PoolDevice>& pool,
                   const DeviceUse& use = {}, const std::vector<int>& nodes = {}) {
  const PoolDevice* const found = choose_device(profile, pool, use, {nodes, {}});
  return found ? to_string(found->address) : "none";
}

class ChooseDeviceTest : public testing::Test {
 protected:
  const std::vector<PoolDevice> pool_{device("0000:41:00.0", 0), device("0000:42:00.0", 1),
                                      device("0000:43:00.0", 1)};
  Profile profile_;
};

TEST_F(ChooseDeviceTest, the_first_that_is_free) {
  EXPECT_EQ(chosen(profile_, pool_), "0000:41:00.0");
  EXPECT_EQ(chosen(profile_, pool_, {taken({"0000:41:00.0"}), {}}), "0000:42:00.0");
  EXPECT_EQ(chosen(profile_, {}), "none");
  EXPECT_EQ(chosen(profile_, pool_, {taken({"0000:41:00.0", "0000:42:00.0", "0000:43:00.0"}), {}}),
            "none");
}

TEST_F(ChooseDeviceTest, one_whose_companion_is_taken_is_taken) {
  std::vector<PoolDevice> pool = pool_;
  pool[0].functions.push_back(at("0000:41:00.1"));
  EXPECT_EQ(chosen(profile_, pool, {taken({"0000:41:00.1"}), {}}), "0000:42:00.0");
}

TEST_F(ChooseDeviceTest, one_that_the_fewest_others_are_assigned_count) {
  DeviceUse use{{}, {{at("0000:41:00.0"), 2}, {at("0000:42:00.0"), 1}}};
  EXPECT_EQ(chosen(profile_, pool_, use), "0000:43:00.0");
  use.assigned_count[at("0000:43:00.0")] = 3;
  EXPECT_EQ(chosen(profile_, pool_, use), "0000:42:00.0");
}

TEST_F(ChooseDeviceTest, a_near_one_as_numa_says) {
  EXPECT_EQ(chosen(profile_, pool_, {}, {1}), "0000:42:00.0");
  profile_.numa = Numa::ignore;
  EXPECT_EQ(chosen(profile_, pool_, {}, {1}), "0000:41:00.0");
  const DeviceUse near_ones{taken({"0000:42:00.0", "0000:43:00.0"}), {}};
  profile_.numa = Numa::prefer;
  EXPECT_EQ(chosen(profile_, pool_, near_ones, {1}), "0000:41:00.0");
  profile_.numa = Numa::require;
  EXPECT_EQ(chosen(profile_, pool_, near_ones, {1}), "none");
}

TEST_F(ChooseDeviceTest, one_near_the_cpus_that_the_domain_is_pinned_to) {
  std::vector<PoolDevice> pool = pool_;
  pool[0].local_cpus = {0, 1};
  pool[1].local_cpus = pool[2].local_cpus = {2, 3};
  const auto at_cpu = [&](int cpu) {
    const PoolDevice* const found = choose_device(profile_, pool, {}, {{}, {cpu}});
    return found ? to_string(found->address) : "none";
  };
  profile_.numa = Numa::require;
  EXPECT_EQ(at_cpu(0), "0000:41:00.0");
  EXPECT_EQ(at_cpu(3), "0000:42:00.0");
  EXPECT_EQ(at_cpu(9), "none");
  pool[1].numa_node = {};
  EXPECT_EQ(at_cpu(3), "0000:43:00.0") << "one without a node is not near";
}

TEST_F(ChooseDeviceTest, one_on_a_full_card_only_when_there_is_no_other) {
  std::vector<PoolDevice> pool = pool_;
  pool[0].is_full = true;
  EXPECT_EQ(chosen(profile_, pool), "0000:42:00.0");
  EXPECT_EQ(chosen(profile_, pool, {taken({"0000:42:00.0", "0000:43:00.0"}), {}}), "0000:41:00.0");
}

/// Where gpuward may remove it (adopt = yes).
TEST_F(ChooseDeviceTest, one_with_anothers_vgpu_only_when_there_is_no_other) {
  std::vector<PoolDevice> pool = pool_;
  pool[0].has_vgpu = pool[0].adopt = true;
  EXPECT_EQ(chosen(profile_, pool), "0000:42:00.0");
  EXPECT_EQ(chosen(profile_, pool, {}, {0}), "0000:42:00.0") << "also where that is not near";
  EXPECT_EQ(chosen(profile_, pool, {taken({"0000:42:00.0", "0000:43:00.0"}), {}}), "0000:41:00.0");
}

TEST_F(ChooseDeviceTest, never_one_with_a_vgpu_that_only_the_administrator_may_remove) {
  std::vector<PoolDevice> pool = pool_;
  pool[0].has_vgpu = true;
  EXPECT_EQ(chosen(profile_, pool), "0000:42:00.0");
  EXPECT_EQ(chosen(profile_, pool, {taken({"0000:42:00.0", "0000:43:00.0"}), {}}), "none");
}

TEST_F(ChooseDeviceTest, on_the_fullest_or_emptiest_physical_function) {
  const std::vector<PoolDevice> vfs{
      device("0000:41:00.1", {}, "0000:41:00.0"), device("0000:41:00.2", {}, "0000:41:00.0"),
      device("0000:42:00.1", {}, "0000:42:00.0"), device("0000:42:00.2", {}, "0000:42:00.0")};
  const DeviceUse use{taken({"0000:42:00.1"}), {}};
  EXPECT_EQ(chosen(profile_, vfs, use), "0000:42:00.2");
  profile_.placement = Placement::spread;
  EXPECT_EQ(chosen(profile_, vfs, use), "0000:41:00.1");
}

TEST_F(ChooseDeviceTest, near_counts_before_assigned_count_and_that_before_full) {
  const DeviceUse use{{}, {{at("0000:42:00.0"), 2}, {at("0000:43:00.0"), 1}}};
  EXPECT_EQ(chosen(profile_, pool_, use, {1}), "0000:43:00.0");
  const std::vector<PoolDevice> vfs{device("0000:41:00.1", {}, "0000:41:00.0"),
                                    device("0000:42:00.1", {}, "0000:42:00.0"),
                                    device("0000:42:00.2", {}, "0000:42:00.0")};
  EXPECT_EQ(chosen(profile_, vfs, {taken({"0000:42:00.1"}), {{at("0000:42:00.2"), 1}}}),
            "0000:41:00.1");
}

// ---- several

/// Of each request its place in `pools`; "" for one without a device.
std::vector<std::string> chosen_for(const std::vector<std::vector<PoolDevice>>& pools,
                                    const DeviceUse& use = {}, const Profile& profile = {}) {
  std::vector<DeviceRequest> requests;
  for (const auto& pool : pools) requests.push_back({profile, pool, use});
  std::vector<const PoolDevice*> devices;
  choose_devices(requests, {}, devices);
  std::vector<std::string> texts;
  for (const PoolDevice* const each : devices)
    texts.push_back(each ? to_string(each->address).substr(5, 2) : "");
  return texts;
}

std::vector<PoolDevice> cards(const std::vector<int>& buses) {
  std::vector<PoolDevice> pool;
  for (const int bus : buses) pool.push_back(device("0000:" + std::to_string(bus) + ":00.0"));
  return pool;
}

using Texts = std::vector<std::string>;

TEST_F(ChooseDeviceTest, of_several_each_gets_its_own) {
  EXPECT_EQ(chosen_for({cards({41, 42}), cards({41, 42})}), (Texts{"41", "42"}));
  EXPECT_EQ(chosen_for({cards({41, 42}), cards({41, 42}), cards({41, 42})}),
            (Texts{"41", "42", ""}));
  EXPECT_EQ(chosen_for({}), Texts{});
}

/// A card below this port of a switch.
PoolDevice below(int card, int upstream, int node = 0) {
  PoolDevice found = device("0000:" + std::to_string(card) + ":00.0", node);
  found.bus = BusPath{at("0000:00:00.0"),
                      {at("0000:00:01.0"), at("0000:" + std::to_string(upstream) + ":00.0"),
                       at("0000:" + std::to_string(upstream + 1) + ":00.0")}};
  return found;
}

TEST_F(ChooseDeviceTest, several_of_one_pool_are_near_each_other) {
  const std::vector<PoolDevice> pool{below(41, 10), below(42, 20), below(43, 20), below(44, 30)};
  EXPECT_EQ(chosen_for({pool}), (Texts{"41"}));
  EXPECT_EQ(chosen_for({pool, pool}), (Texts{"42", "43"}));
  EXPECT_EQ(chosen_for({pool, pool}, {{}, {{at("0000:42:00.0"), 1}}}), (Texts{"41", "43"}))
      << "assigned to fewer counts more";
  DeviceUse use;
  use.beside = {spot_of(pool[3])};
  const std::vector<PoolDevice> more{below(41, 10), below(45, 30)};
  EXPECT_EQ(chosen_for({more}, use), (Texts{"45"})) << "near what the domain has";
}

/// VFs of cards on one switch, two of each; `links`: pairs of cards that NVLink connects.
std::vector<PoolDevice> vfs_of(const std::vector<int>& cards,
                               const std::vector<std::pair<int, int>>& links) {
  std::vector<PoolDevice> vfs;
  for (const int card : cards)
    for (const char* const function : {".1", ".2"}) {
      PoolDevice vf = below(card, 10);
      const auto address_of = [](int of, const char* number) {
        return at("0000:" + std::to_string(of) + ":00" + number);
      };
      vf.physical_function = vf.address;
      vf.address = address_of(card, function);
      vf.functions = {vf.address};
      for (const auto& [one, other] : links)
        if (one == card || other == card)
          vf.links.cards.push_back(address_of(one == card ? other : one, ".0"));
      vfs.push_back(std::move(vf));
    }
  return vfs;
}

TEST_F(ChooseDeviceTest, of_vfs_on_several_cards_two_get_linked_ones) {
  profile_.placement = Placement::spread;
  const auto chosen_of = [&](const std::vector<std::pair<int, int>>& links, DeviceUse use = {}) {
    const auto pool = vfs_of({41, 42, 43, 44}, links);
    return chosen_for({pool, pool}, use, profile_);
  };
  EXPECT_EQ(chosen_of({}), (Texts{"41", "42"}));
  EXPECT_EQ(chosen_of({{41, 43}, {42, 44}}), (Texts{"41", "43"}));
  EXPECT_EQ(chosen_of({{41, 44}, {42, 43}}), (Texts{"41", "44"}));
  EXPECT_EQ(chosen_of({{42, 44}}), (Texts{"42", "44"}));
  EXPECT_EQ(chosen_of({{41, 43}, {42, 44}}, {taken({"0000:43:00.1", "0000:43:00.2"}), {}}),
            (Texts{"42", "44"}))
      << "the other of the pair has no room";
  const auto pool = vfs_of({41, 42, 43}, {{42, 43}});
  EXPECT_EQ(chosen_for({pool}, {}, profile_), (Texts{"41"})) << "of one alone links do not count";
}

TEST_F(ChooseDeviceTest, near_each_other_counts_less_than_near_the_domain_and_full) {
  const std::vector<PoolDevice> pool{below(41, 10, 1), below(42, 20), below(43, 20)};
  const std::vector<DeviceRequest> requests{{profile_, pool, {}}, {profile_, pool, {}}};
  std::vector<const PoolDevice*> devices;
  choose_devices(requests, {{1}, {}}, devices);
  EXPECT_EQ(devices[0]->address, pool[0].address);
  std::vector<PoolDevice> vfs{below(41, 10), below(42, 20), below(43, 10)};
  vfs[1].physical_function = at("0000:42:00.7");
  vfs[0].physical_function = vfs[2].physical_function = at("0000:41:00.7");
  vfs.push_back(vfs[1]);
  vfs.back().address = at("0000:42:00.1");
  vfs.back().functions = {vfs.back().address};
  DeviceUse use{taken({"0000:42:00.1"}), {}};
  use.beside = {spot_of(vfs[0])};
  EXPECT_EQ(chosen(profile_, vfs, use), "0000:42:00.0") << "the fuller card is elsewhere";
  EXPECT_EQ(decide(profile_, vfs, use, {}, vfs[1], vfs[0]).by, Criterion::fill);
  EXPECT_EQ(decide(profile_, vfs, {}, {}, vfs[0], vfs[2]).by, Criterion::name);
}

TEST_F(ChooseDeviceTest, one_that_may_have_any_leaves_it_to_one_that_may_not) {
  EXPECT_EQ(chosen_for({cards({41, 42}), cards({41})}), (Texts{"42", "41"}));
  EXPECT_EQ(chosen_for({cards({41, 42}), cards({42, 43}), cards({41})}), (Texts{"42", "43", "41"}));
  EXPECT_EQ(chosen_for({cards({41, 42}), cards({41})}, {taken({"0000:42:00.0"}), {}}),
            (Texts{"41", ""}));
}

TEST_F(ChooseDeviceTest, none_of_several_gets_a_part_of_anothers) {
  auto with_audio = cards({41});
  with_audio[0].functions.push_back(at("0000:41:00.1"));
  EXPECT_EQ(chosen_for({with_audio, {device("0000:41:00.1")}}), (Texts{"41", ""}));
  EXPECT_EQ(chosen_for({cards({41}), {device("0000:41:00.4", {}, "0000:41:00.0")}}),
            (Texts{"41", ""}));
}

/// As many as a search through all ways finds.
TEST_F(ChooseDeviceTest, as_many_as_possible_of_several_get_one) {
  std::mt19937 random(1);
  const std::function<int(const std::vector<std::vector<int>>&, size_t, std::set<int>)> most =
      [&](const auto& pools, size_t number, const std::set<int>& used) {
        if (number == pools.size()) return 0;
        int best = most(pools, number + 1, used);
        for (const int card : pools[number]) {
          if (used.contains(card)) continue;
          std::set<int> more = used;
          more.insert(card);
          best = std::max(best, 1 + most(pools, number + 1, more));
        }
        return best;
      };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::vector<int>> numbers(1 + random() % 5);
    std::vector<std::vector<PoolDevice>> pools;
    for (auto& pool : numbers) {
      for (int card = 41; card <= 45; ++card)
        if (random() % 3 == 0) pool.push_back(card);
      pools.push_back(cards(pool));
    }
    const auto found = chosen_for(pools);
    const auto with = static_cast<int>(found.size()) -
                      static_cast<int>(std::count(found.begin(), found.end(), ""));
    EXPECT_EQ(with, most(numbers, 0, {}));
    std::set<std::string> different(found.begin(), found.end());
    different.erase("");
    EXPECT_EQ(static_cast<int>(different.size()), with);
  }
}

TEST_F(ChooseDeviceTest, none_that_shares_its_group_with_what_the_host_uses) {
  std::vector<PoolDevice> pool = pool_;
  pool[0].host_bound_members = {at("0000:41:05.0")};
  EXPECT_EQ(chosen(profile_, pool), "0000:42:00.0");
  DeviceUse use;
  use.own = {at("0000:41:05.0")};
  EXPECT_EQ(chosen(profile_, pool, use), "0000:41:00.0") << "the domain has that, too";
}

}  // namespace
}  // namespace gpuward
