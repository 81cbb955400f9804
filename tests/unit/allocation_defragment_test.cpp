// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/defragment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>

#include "allocation_fixtures.hpp"

namespace gpuward {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Texts = std::vector<std::string>;

PciAddress card(unsigned number) {
  return {0, static_cast<uint8_t>(number), 0, 0};
}

Profile profile(const std::string& name) {
  Profile profile;
  profile.name = name;
  profile.use = Use::whole;
  profile.types = {name};
  return profile;
}

/// What a card of so many MiB without an instance has room for on VFs `vfs`.
CardRoom vgpu_room(const std::map<std::string, unsigned>& sizes, unsigned mib,
                   const std::vector<unsigned>& vfs) {
  Gpu gpu;
  gpu.parent.name = "card";
  gpu.offers_vgpus = true;
  std::vector<GpuType> types;
  for (const auto& [id, size] : sizes) {
    types.push_back({.id = id, .memory_mib = size, .takes = {size}, .most = mib / size});
    for (const unsigned vf : vfs) types.back().on.push_back({to_string(card(vf)), 1});
  }
  return card_room(gpu, types, {});
}

/// Cards 1, 2 …, profiles of some of them, and domains vm1, vm2 … that are shut off.
struct SmallHost {
  void pool(const std::string& name, const std::vector<unsigned>& cards) {
    auto& devices = pools_[title_of(profile(name))];
    for (const unsigned number : cards)
      devices.push_back({card(number), {}, {}, {card(number)}, true});
  }
  void off(const std::string& name, const std::vector<unsigned>& cards) {
    const auto number = static_cast<uint8_t>(off_.size() + 1);
    PoolDomain domain{{}, "vm" + std::to_string(number), {}, {}};
    domain.uuid.bytes[15] = number;
    for (const unsigned at : cards)
      domain.gpus.push_back(
          {"ua-gpuward-" + std::to_string(domain.gpus.size()), profile(name), card(at)});
    off_.push_back(domain);
  }
  Defragmented plan(const std::string& name, unsigned wanted) {
    const Profile of = profile(name);
    return defragment({of, pools_, off_, taken_, by_hand_, rooms_, iommu_groups_}, wanted);
  }
  /// "vm1 1>2", in order.
  Texts moves(const std::string& name, unsigned wanted) {
    Texts texts;
    for (const DeviceMove& move : plan(name, wanted).moves)
      texts.push_back(move.name + ' ' + std::to_string(move.from.bus) + '>' +
                      std::to_string(move.to.bus));
    return texts;
  }
  Texts hindrances(const std::string& name, unsigned wanted) {
    Texts texts;
    for (const Hindrance& each : plan(name, wanted).hindrances)
      texts.push_back(std::to_string(each.device.bus) + ": " + each.why);
    return texts;
  }
  std::vector<PoolDomain> off_;
  DevicePools pools_;
  DevicesInUse taken_, by_hand_;
  std::map<PciAddress, CardRoom> rooms_;
  std::map<PciAddress, unsigned> iommu_groups_;
};

struct DefragmentTest : testing::Test, SmallHost {};

TEST_F(DefragmentTest, what_is_available_needs_no_move) {
  pool("any", {1, 2, 3});
  off("any", {1});
  const Defragmented found = plan("any", 2);
  EXPECT_EQ(found.available, 2U);
  EXPECT_EQ(found.possible, 2U);
  EXPECT_THAT(found.moves, IsEmpty());
  EXPECT_THAT(found.hindrances, IsEmpty());
}

TEST_F(DefragmentTest, moves_who_can_have_another) {
  pool("any", {1, 2, 3});
  pool("big", {1});
  off("any", {1});
  EXPECT_EQ(moves("big", 1), Texts{"vm1 1>2"});
  EXPECT_EQ(plan("big", 1).available, 0U);
  EXPECT_EQ(plan("big", 1).possible, 1U);
  taken_ = taken({"0000:02:00.0"});
  EXPECT_EQ(moves("big", 1), Texts{"vm1 1>3"});
}

TEST_F(DefragmentTest, moves_in_turn_where_only_that_helps) {
  pool("big", {1});
  pool("two", {1, 2});
  pool("any", {1, 2, 3});
  off("two", {1});
  off("any", {2});
  EXPECT_EQ(moves("big", 1), (Texts{"vm2 2>3", "vm1 1>2"})) << "the one that makes place first";
}

TEST_F(DefragmentTest, moves_as_few_as_possible) {
  pool("any", {1, 2, 3, 4, 5});
  pool("big", {1, 2});
  off("any", {1});
  off("any", {1});
  off("any", {2});
  EXPECT_EQ(moves("big", 1), Texts{"vm3 2>3"});
  EXPECT_EQ(moves("big", 2), (Texts{"vm1 1>4", "vm2 1>4", "vm3 2>3"}))
      << "those that share one stay together";
}

TEST_F(DefragmentTest, an_iommu_group_goes_to_one_domain) {
  pool("any", {1, 2, 3, 4});
  iommu_groups_ = {{card(1), 7}, {card(2), 7}, {card(3), 8}, {card(4), 8}};
  EXPECT_EQ(plan("any", 4).possible, 2U) << "one of each group";
  EXPECT_EQ(hindrances("any", 4),
            (Texts{"2: IOMMU group 7, device 0000:01:00.0: counted as room",
                   "4: IOMMU group 8, device 0000:03:00.0: counted as room"}));
  off("any", {2});
  EXPECT_EQ(plan("any", 4).possible, 1U);
  EXPECT_THAT(hindrances("any", 4),
              Contains("1: IOMMU group 7, device 0000:02:00.0: assigned to shut-off domain 'vm1'"));
  by_hand_[card(4)] = {{}, "assigned to domain 'hand'"};
  EXPECT_EQ(plan("any", 4).possible, 0U);
  EXPECT_THAT(hindrances("any", 4),
              Contains("3: IOMMU group 8, device 0000:04:00.0: assigned to domain 'hand'"));
}

TEST_F(DefragmentTest, names_who_is_in_the_way) {
  pool("big", {1, 2, 3, 4, 5});
  pool("one", {2});
  taken_ = taken({"0000:01:00.0"});
  off("one", {2});
  by_hand_[card(3)] = {{}, "assigned to domain 'hand'"};
  pools_[title_of(profile("big"))][3].is_full = true;
  EXPECT_EQ(hindrances("big", 2),
            (Texts{"1: web has it",
                   "2: assigned to shut-off domain 'vm1', for which no other device is available",
                   "3: assigned to domain 'hand'",
                   "4: GPU has no capacity for another vGPU of profile 'big'"}));
  EXPECT_EQ(plan("big", 2).possible, 1U);
  EXPECT_THAT(hindrances("big", 1), IsEmpty());
}

TEST_F(DefragmentTest, who_is_at_a_device_of_another_is_not_in_the_way) {
  pool("big", {1, 2});
  off("big", {1});
  taken_ = taken({"0000:01:00.0"});
  EXPECT_EQ(plan("big", 1).possible, 1U);
  EXPECT_THAT(moves("big", 1), IsEmpty());
}

TEST_F(DefragmentTest, nothing_that_goes_with_what_another_has) {
  pool("any", {1, 2, 3});
  pool("big", {1});
  off("any", {1});
  off("any", {3});
  pools_[title_of(profile("any"))][1].functions.push_back(card(3));
  EXPECT_THAT(moves("big", 1), IsEmpty()) << "card 2 shares a companion with what vm2 has";
  EXPECT_EQ(plan("big", 1).possible, 0U);
}

TEST_F(DefragmentTest, no_more_vgpus_than_their_card_has_room_for) {
  pool("any", {1, 2, 3});
  for (PoolDevice& vf : pools_[title_of(profile("any"))]) vf.physical_function = card(9);
  rooms_.emplace(card(9), vgpu_room({{"any", 1}}, 2, {1, 2, 3}));
  EXPECT_EQ(plan("any", 3).possible, 2U);
  rooms_.clear();
  EXPECT_EQ(plan("any", 3).possible, 3U);
}

/// Cards 8 and 9, with VFs 1 to 3 and 4 to 6.
struct VgpuDefragmentTest : DefragmentTest {
  VgpuDefragmentTest() {
    pool("any", {1, 2, 3, 4, 5, 6});
    pool("small", {1, 2, 3, 4, 5, 6});
    pool("first", {1, 2, 3});
    for (auto& [title, pool] : pools_)
      for (PoolDevice& vf : pool) vf.physical_function = card(vf.address.bus <= 3 ? 8 : 9);
    room(8, 2, {1, 2, 3});
    room(9, 2, {4, 5, 6});
  }
  void room(unsigned number, unsigned mib, const std::vector<unsigned>& vfs) {
    rooms_.insert_or_assign(card(number),
                            vgpu_room({{"any", 2}, {"small", 1}, {"first", 2}}, mib * 2, vfs));
  }
};

TEST_F(VgpuDefragmentTest, what_shut_off_domains_are_to_have_takes_its_room) {
  EXPECT_EQ(plan("any", 9).possible, 4U);
  off("any", {1});
  EXPECT_EQ(plan("any", 9).possible, 3U);
  off("any", {2});
  off("any", {3});
  EXPECT_EQ(plan("any", 9).possible, 2U) << "more on card 8 than it has room for";
}

TEST_F(VgpuDefragmentTest, what_is_moved_takes_room_where_it_goes) {
  off("any", {1});
  off("any", {2});
  EXPECT_EQ(moves("first", 2), (Texts{"vm1 1>4", "vm2 2>5"}));
  EXPECT_EQ(plan("first", 2).available, 0U);
  room(9, 1, {4, 5, 6});
  EXPECT_EQ(moves("first", 2), Texts{"vm1 1>4"});
  EXPECT_EQ(plan("first", 2).possible, 1U);
  EXPECT_EQ(hindrances("first", 2).back(),
            "3: GPU has no capacity for another vGPU of profile 'first'");
}

TEST_F(VgpuDefragmentTest, each_type_takes_what_it_takes) {
  off("small", {1});
  off("small", {2});
  EXPECT_EQ(plan("first", 2).available, 1U);
  EXPECT_EQ(plan("small", 9).possible, 4U) << "of VFs there are no more";
  off("small", {4});
  EXPECT_EQ(plan("any", 9).possible, 2U);
}

TEST_F(VgpuDefragmentTest, of_those_that_share_one_the_largest_counts) {
  off("small", {1});
  off("any", {1});
  EXPECT_EQ(plan("first", 2).available, 1U) << "not both";
  rooms_.insert_or_assign(card(8),
                          vgpu_room({{"any", 2}, {"small", 1}, {"first", 2}}, 3, {1, 2, 3}));
  EXPECT_EQ(plan("first", 2).available, 0U) << "1 MiB is left, not 2";
}

/// Either of the two may run on card 9, which has none of the type that is wanted.
TEST_F(VgpuDefragmentTest, what_is_moved_fits_beside_each_of_those_that_share_one) {
  rooms_.insert_or_assign(card(9), vgpu_room({{"any", 2}, {"small", 1}}, 3, {4, 5, 6}));
  off("any", {1});
  off("any", {2});
  off("small", {4});
  EXPECT_EQ(moves("first", 1), Texts{"vm1 1>5"});
  off("any", {4});
  EXPECT_THAT(moves("first", 1), IsEmpty());
}

/// Of two things that types take each leaves more of one.
TEST_F(VgpuDefragmentTest, nothing_is_moved_beside_those_of_which_neither_leaves_less) {
  CardRoom room = vgpu_room({{"any", 2}, {"small", 1}}, 6, {4, 5, 6});
  room.left = {3, 4};
  room.left_at_most.reset();
  for (TypeRoom& type : room.types)
    type.cost = type.id == "any" ? std::vector<uint64_t>{2, 1} : std::vector<uint64_t>{1, 2};
  rooms_.insert_or_assign(card(9), room);
  off("any", {1});
  off("any", {2});
  off("small", {4});
  EXPECT_EQ(moves("first", 1), Texts{"vm1 1>5"});
  off("any", {4});
  EXPECT_THAT(moves("first", 1), IsEmpty());
}

TEST_F(VgpuDefragmentTest, that_a_domain_could_have_another_device_is_not_denied) {
  off("any", {1});
  off("any", {2});
  room(9, 0, {4, 5, 6});
  EXPECT_EQ(hindrances("first", 1)[0],
            "1: assigned to shut-off domain 'vm1', and reassigning makes no more room");
}

// ---- mdevs

/// One pool of 1 GiB, as labgpu and mbochs have; each type takes its MiB.
SharedCard shared_card(const std::vector<std::string>& present) {
  Gpu gpu;
  gpu.parent.name = "a";
  gpu.mdev_parents = {"a"};
  unsigned left = 1024;
  for (const std::string& type : present) left -= type == "big" ? 512 : 128;
  std::vector<GpuType> types;
  for (const auto& [id, size] : {std::pair("big", 512U), std::pair("small", 128U)}) {
    GpuType type{.id = id, .memory_mib = size, .takes = {size}};
    type.most = 1024 / size;
    type.on = {{"a", left / size}};
    types.push_back(type);
  }
  return {card_room(gpu, types, present), {}};
}

TEST(RoomUsersTest, what_each_would_free) {
  SharedCard one = shared_card({"big", "small", "small", "small", "small"});
  one.types = {{"web01", {"big"}}, {"web02", {"small", "small"}}, {"web03", {"small", "small"}}};
  SharedCard other = shared_card({"big", "big"});
  other.types = {{"web04", {"big", "big"}}};
  const std::vector<SharedCard> cards{one, other};
  EXPECT_THAT(room_users(cards, {"big"}), ElementsAre(RoomUser{"web04", 2}, RoomUser{"web01", 1}))
      << "web02 and web03 only together";
  EXPECT_THAT(room_users(cards, {"small"}),
              ElementsAre(RoomUser{"web04", 8}, RoomUser{"web01", 4}, RoomUser{"web02", 2},
                          RoomUser{"web03", 2}));
}

TEST(RoomUsersTest, no_more_than_max_permits) {
  SharedCard card = shared_card({"big", "big"});
  card.types = {{"web01", {"big"}}, {"provisioned", {"big"}}};
  card.within_max = {{"small", 3}, {"big", 0}};
  card.not_in_max = {"provisioned"};
  limit(card.room, "small", 3);
  limit(card.room, "big", 0);
  EXPECT_THAT(room_users({card}, {"big"}), ElementsAre(RoomUser{"web01", 1}))
      << "of the other max does not count any";
  EXPECT_THAT(room_users({card}, {"small"}),
              ElementsAre(RoomUser{"provisioned", 3}, RoomUser{"web01", 3}));
}

TEST(RoomUsersTest, what_is_not_known_is_said) {
  SharedCard card = shared_card({"big", "big"});
  card.types = {{"web01", {"unlisted"}}};
  EXPECT_THAT(room_users({card}, {"big"}), ElementsAre(RoomUser{"web01", std::nullopt}));
}

// ---- against a search through everything

struct Best {
  unsigned possible = 0;
  unsigned moves = 0;
};

/// Each group stays or has one of its targets, no two the same; what is left of the pool is room,
/// as far as the cards have it. What is assigned takes its MiB, also where there are too few.
struct Exhaustive {
  unsigned wanted;
  std::vector<unsigned> pool;
  std::vector<unsigned> at, size;
  std::vector<std::vector<unsigned>> targets;
  std::vector<unsigned> takes{};       ///< of a group, in MiB
  unsigned one = 1;                    ///< of those to make room for
  std::map<unsigned, unsigned> mib{};  ///< of a card
  std::function<unsigned(unsigned)> card_of{};
  Best best{};

  /// Devices by group; nothing where one is moved to a card without room for it.
  std::optional<unsigned> room(const std::vector<unsigned>& assigned) const {
    std::map<unsigned, unsigned> by_card, taken;
    for (size_t group = 0; group < at.size(); ++group)
      taken[card_of(assigned[group])] += takes[group];
    for (size_t group = 0; group < at.size(); ++group) {
      const auto has = mib.find(card_of(assigned[group]));
      if (assigned[group] != at[group] && has != mib.end() && taken[has->first] > has->second)
        return {};
    }
    for (const unsigned device : pool)
      if (std::find(assigned.begin(), assigned.end(), device) == assigned.end())
        ++by_card[card_of(device)];
    unsigned sum = 0;
    for (const auto& [card, count] : by_card) {
      const auto has = mib.find(card);
      const unsigned left =
          has == mib.end() ? count : has->second - std::min(has->second, taken[card]);
      sum += has == mib.end() ? count : std::min(count, left / one);
    }
    return std::min(sum, wanted);
  }
  void search(size_t group, const std::vector<unsigned>& assigned, unsigned moves) {
    if (group == at.size()) {
      const auto found = room(assigned);
      if (!found) return;
      const unsigned possible = *found;
      if (possible > best.possible || (possible == best.possible && moves < best.moves))
        best = {possible, moves};
      return;
    }
    const auto go = [&](unsigned device, unsigned cost) {
      if (std::find(assigned.begin(), assigned.end(), device) != assigned.end()) return;
      std::vector<unsigned> more = assigned;
      more.push_back(device);
      search(group + 1, more, moves + cost);
    };
    go(at[group], 0);
    for (const unsigned target : targets[group]) go(target, size[group]);
  }
};

/// VFs 1 to 7 of cards 100 to 102, and domains that are assigned some.
struct RandomHost : SmallHost {
  RandomHost(std::mt19937& random, unsigned largest)
      : in_use(static_cast<unsigned>(1 + random() % 8)) {
    for (unsigned& size : sizes) size = static_cast<unsigned>(1 + random() % largest);
    for (size_t number = 0; number < pools.size(); ++number) add_pool(number, random);
    taken_[card(in_use)] = {{}, "in use"};
    for (size_t count = random() % 7; count > 0; --count) {
      const size_t of = random() % pools.size();
      if (pools[of].empty()) continue;
      const unsigned device = pools[of][random() % pools[of].size()];
      off(std::to_string(of), {device});
      if (device != in_use) groups[device].push_back(of);
    }
    for (unsigned of = 100; of <= 102; ++of)
      if (random() % 2 == 0) add_room(of, static_cast<unsigned>(random() % (3 * largest)));
  }
  void add_room(unsigned of, unsigned has) {
    std::vector<unsigned> vfs;
    for (unsigned device = 1; device <= 7; ++device)
      if (card_of(device) == of && device != in_use) vfs.push_back(device);
    mib[of] = has;
    rooms_.emplace(card(of),
                   vgpu_room({{"0", sizes[0]}, {"1", sizes[1]}, {"2", sizes[2]}}, has, vfs));
  }
  void add_pool(size_t number, std::mt19937& random) {
    for (unsigned device = 1; device <= 7; ++device)
      if (random() % 2 == 0) pools[number].push_back(device);
    pool(std::to_string(number), pools[number]);
    for (PoolDevice& vf : pools_[title_of(profile(std::to_string(number)))])
      vf.physical_function = card(card_of(vf.address.bus));
  }
  static unsigned card_of(unsigned device) { return 100 + device / 3; }
  bool serves(size_t pool, unsigned device) const {
    return device != in_use &&
           std::find(pools[pool].begin(), pools[pool].end(), device) != pools[pool].end();
  }
  unsigned takes(const std::vector<size_t>& owners) const {
    unsigned most = 0;
    for (const size_t owner : owners) most = std::max(most, sizes[owner]);
    return most;
  }
  /// Whether some card has room for what is assigned there.
  bool has_room_for_all() const {
    std::map<unsigned, unsigned> taken;
    for (const auto& [device, owners] : groups) taken[card_of(device)] += takes(owners);
    return std::all_of(mib.begin(), mib.end(),
                       [&](const auto& has) { return taken[has.first] <= has.second; });
  }
  Exhaustive everything(unsigned wanted) const {
    Exhaustive all{wanted, {}, {}, {}, {}};
    all.card_of = card_of;
    all.best.moves = 99;
    all.mib = mib;
    all.one = sizes[0];
    for (unsigned device = 1; device <= 7; ++device)
      if (serves(0, device)) all.pool.push_back(device);
    for (const auto& group : groups) {
      all.at.push_back(group.first);
      all.size.push_back(static_cast<unsigned>(group.second.size()));
      all.takes.push_back(takes(group.second));
      all.targets.emplace_back();
      for (unsigned target = 1; target <= 7; ++target)
        if (target != group.first &&
            std::all_of(group.second.begin(), group.second.end(),
                        [&](size_t owner) { return serves(owner, target); }))
          all.targets.back().push_back(target);
    }
    all.search(0, {}, 0);
    return all;
  }
  /// The room that there is after the moves; nothing where one goes to a card without room for it.
  static std::optional<unsigned> room_after(const Exhaustive& all,
                                            const std::vector<DeviceMove>& moves) {
    std::vector<unsigned> assigned = all.at;
    for (const DeviceMove& move : moves)
      for (size_t group = 0; group < assigned.size(); ++group)
        if (all.at[group] == move.from.bus) assigned[group] = move.to.bus;
    return all.room(assigned);
  }
  unsigned in_use;
  std::vector<unsigned> sizes{1, 1, 1};  ///< of a vGPU of each pool
  std::map<unsigned, unsigned> mib{};    ///< of cards with a room of their own
  std::vector<std::vector<unsigned>> pools{3};
  std::map<unsigned, std::vector<size_t>> groups;  ///< pools of those that are assigned a device
};

/// Whether none of the moves, in their order, goes to a device that a domain is assigned which does
/// not come along.
bool is_in_order(const std::vector<DeviceMove>& moves) {
  for (size_t at = 0; at < moves.size(); ++at)
    for (size_t later = at; later < moves.size(); ++later)
      if (moves[later].from == moves[at].to) return false;
  return true;
}

/// Whether one goes to a card with a room of its own.
bool is_onto_card(const RandomHost& host, const std::vector<DeviceMove>& moves) {
  return std::any_of(moves.begin(), moves.end(), [&](const DeviceMove& move) {
    return host.mib.contains(RandomHost::card_of(move.to.bus));
  });
}

TEST(DefragmentPropertyTest, a_search_through_everything_finds_no_more_room_by_no_fewer_moves) {
  std::mt19937 random(11);
  unsigned moved = 0, in_turn = 0, onto_card = 0;
  for (int round = 0; round < 3000; ++round) {
    RandomHost host(random, 1);
    const auto wanted = static_cast<unsigned>(1 + random() % 4);
    const Defragmented found = host.plan("0", wanted);
    const Exhaustive all = host.everything(wanted);
    ASSERT_EQ(RandomHost::room_after(all, found.moves), found.possible) << "round " << round;
    ASSERT_TRUE(is_in_order(found.moves)) << "round " << round;
    if (!host.has_room_for_all()) continue;
    ASSERT_EQ(found.possible, all.best.possible) << "round " << round;
    ASSERT_EQ(found.moves.size(), all.best.moves) << "round " << round;
    moved += found.moves.empty() ? 0 : 1;
    in_turn += found.moves.size() > 1 ? 1 : 0;
    onto_card += is_onto_card(host, found.moves) ? 1 : 0;
  }
  EXPECT_GT(moved, 100U);
  EXPECT_GT(in_turn, 20U);
  EXPECT_GT(onto_card, 20U);
}

TEST(DefragmentPropertyTest, with_types_of_several_sizes_there_is_all_the_room_that_is_found) {
  std::mt19937 random(12);
  unsigned best = 0, worse = 0, onto_card = 0;
  for (int round = 0; round < 3000; ++round) {
    RandomHost host(random, 3);
    const auto wanted = static_cast<unsigned>(1 + random() % 4);
    const Defragmented found = host.plan("0", wanted);
    const Exhaustive all = host.everything(wanted);
    ASSERT_GE(RandomHost::room_after(all, found.moves), std::optional(found.possible))
        << "round " << round;
    ASSERT_TRUE(is_in_order(found.moves)) << "round " << round;
    (found.possible == all.best.possible ? best : worse) += 1;
    onto_card += is_onto_card(host, found.moves) ? 1 : 0;
  }
  EXPECT_GT(onto_card, 20U);
  EXPECT_GT(best, 40 * worse);
}

}  // namespace
}  // namespace gpuward
