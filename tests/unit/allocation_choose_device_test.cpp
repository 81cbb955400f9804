// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/choose_device.hpp"

#include <gtest/gtest.h>

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
