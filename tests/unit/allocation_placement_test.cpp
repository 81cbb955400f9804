// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

Profile profile(Placement placement, Numa numa = Numa::prefer) {
  Profile result;
  result.name = "small";
  result.types = {"t"};
  result.placement = placement;
  result.numa = numa;
  return result;
}

/// The parent of the best; the same whatever the order in which they are given.
std::string best(const Profile& wanted, std::vector<Candidate> candidates) {
  const auto by_parent = [](const Candidate& a, const Candidate& b) { return a.parent < b.parent; };
  std::sort(candidates.begin(), candidates.end(), by_parent);
  const auto first = place(wanted, candidates);
  do {
    const auto again = place(wanted, candidates);
    EXPECT_EQ(again ? again->parent : "none", first ? first->parent : "none");
  } while (std::next_permutation(candidates.begin(), candidates.end(), by_parent));
  return first ? first->parent : "none";
}

const Profile binpack = profile(Placement::binpack);
const Profile spread = profile(Placement::spread);

TEST(PlacementTest, without_candidates_there_is_none) {
  EXPECT_FALSE(place(binpack, {}));
}

TEST(PlacementTest, what_is_full_is_never_taken) {
  EXPECT_EQ(best(binpack, {{"a", "t", 0}, {"b", "t", 0}}), "none");
  EXPECT_EQ(best(binpack, {{"a", "t", 0}, {"b", "t", 9}}), "b");
}

TEST(PlacementTest, the_answer_is_the_whole_candidate) {
  const Candidate only{"a", "t", 3, 1, false};
  const auto found = place(binpack, {&only, 1});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->parent, "a");
  EXPECT_EQ(found->type, "t");
  EXPECT_EQ(found->available, 3u);
}

TEST(PlacementTest, binpack_takes_the_fullest) {
  EXPECT_EQ(best(binpack, {{"a", "t", 4}, {"b", "t", 1}, {"c", "t", 2}}), "b");
}

TEST(PlacementTest, spread_takes_the_emptiest) {
  EXPECT_EQ(best(spread, {{"a", "t", 2}, {"b", "t", 1}, {"c", "t", 4}}), "c");
}

TEST(PlacementTest, equals_go_by_name) {
  EXPECT_EQ(best(binpack, {{"c", "t", 2}, {"a", "t", 2}, {"b", "t", 2}}), "a");
  EXPECT_EQ(best(spread, {{"c", "t", 2}, {"a", "t", 2}, {"b", "t", 2}}), "a");
}

TEST(PlacementTest, of_equally_full_ones_the_nearest_to_the_other_gpus) {
  EXPECT_EQ(best(spread, {{"a", "t", 2, 0, true, "", 4}, {"b", "t", 2, 0, true, "", 1}}), "b");
  EXPECT_EQ(best(spread, {{"a", "t", 3, 0, true, "", 4}, {"b", "t", 2, 0, true, "", 1}}), "a");
  EXPECT_EQ(best(binpack, {{"a", "t", 2, 0, true, "", 4}, {"b", "t", 2, 0, false, "", 1}}), "a");
}

TEST(PlacementTest, the_type_named_first_wins_over_all_else) {
  EXPECT_EQ(best(binpack, {{"a", "second", 1, 1, true}, {"b", "first", 9, 0, false}}), "b");
}

TEST(PlacementTest, the_next_type_is_taken_when_the_first_has_no_capacity) {
  EXPECT_EQ(best(binpack, {{"a", "first", 0, 0}, {"b", "second", 1, 1}}), "b");
}

TEST(PlacementTest, numa_prefer_takes_the_near_one_first_and_a_far_one_when_need_be) {
  EXPECT_EQ(best(binpack, {{"far", "t", 1, 0, false}, {"near", "t", 9, 0, true}}), "near");
  EXPECT_EQ(best(binpack, {{"far", "t", 1, 0, false}, {"near", "t", 0, 0, true}}), "far");
}

TEST(PlacementTest, numa_require_never_takes_a_far_one) {
  const Profile strict = profile(Placement::binpack, Numa::require);
  EXPECT_EQ(best(strict, {{"far", "t", 1, 0, false}, {"near", "t", 9, 0, true}}), "near");
  EXPECT_EQ(best(strict, {{"far", "t", 1, 0, false}, {"near", "t", 0, 0, true}}), "none");
}

TEST(PlacementTest, numa_ignore_does_not_look) {
  const Profile blind = profile(Placement::binpack, Numa::ignore);
  EXPECT_EQ(best(blind, {{"far", "t", 1, 0, false}, {"near", "t", 9, 0, true}}), "far");
}

Candidate stranding(const std::string& parent, int mib, unsigned available, bool near = true) {
  Candidate candidate{parent, "t", available, 0, near};
  candidate.stranded_mib = mib;
  return candidate;
}

TEST(PlacementTest, binpack_leaves_little_memory_that_no_profile_can_use) {
  const Candidate near_and_full = stranding("a", 2048, 1), far = stranding("b", 0, 9, false);
  EXPECT_EQ(best(binpack, {near_and_full, far}), "b");
  EXPECT_EQ(decide(binpack, {}, far, near_and_full).by, Criterion::stranded);
  EXPECT_EQ(best(binpack, {stranding("a", 0, 1), stranding("b", -1024, 9)}), "b");
  EXPECT_EQ(best(binpack, {stranding("a", 512, 2), stranding("b", 512, 1)}), "b") << "the fuller";
}

TEST(PlacementTest, spread_takes_the_emptiest_whatever_memory_is_left) {
  EXPECT_EQ(best(spread, {stranding("a", 2048, 9), stranding("b", 0, 8)}), "a");
  EXPECT_EQ(best(spread, {stranding("a", 2048, 9), stranding("b", 0, 9)}), "b");
  const Candidate more = stranding("a", 2048, 9), less = stranding("b", 0, 9);
  const Candidate all[] = {more, less};
  EXPECT_EQ(decide(spread, all, less, more).by, Criterion::stranded);
}

TEST(PlacementTest, binpack_opens_no_card_without_need) {
  Candidate empty{"a", "t", 1}, in_use{"b", "t", 9}, far{"c", "t", 9, 0, false};
  empty.opens_card = true;
  EXPECT_EQ(best(binpack, {empty, in_use}), "b");
  EXPECT_EQ(best(binpack, {empty, far}), "a") << "who sets numa wants another card for it";
  EXPECT_EQ(best(spread, {empty, in_use}), "b");
  in_use.available = 1;
  EXPECT_EQ(best(spread, {empty, in_use}), "a");
}

/// Two cards with VFs, each of which has room for one: what counts is the card.
TEST(PlacementTest, cards_are_compared_and_not_their_virtual_functions) {
  const std::vector<Candidate> vfs{{"a1", "t", 1, 0, true, "a"}, {"a2", "t", 1, 0, true, "a"},
                                   {"a3", "t", 1, 0, true, "a"}, {"b1", "t", 0, 0, true, "b"},
                                   {"b2", "t", 1, 0, true, "b"}, {"b3", "t", 1, 0, true, "b"}};
  EXPECT_EQ(best(binpack, vfs), "b2");
  EXPECT_EQ(best(spread, vfs), "a1");
}

const DomainPlace anywhere{}, on_node_1{{1}, {}}, on_cpu_4{{}, {4}}, on_both{{1}, {4}};
const std::vector<int> cpus_of_0{0, 1, 2, 3}, cpus_of_1{4, 5, 6, 7};

TEST(NumaTest, a_domain_that_tells_nothing_is_near_everything) {
  for (const Numa numa : {Numa::require, Numa::prefer}) {
    EXPECT_TRUE(is_near(numa, anywhere, {0, cpus_of_0}));
    EXPECT_TRUE(is_near(numa, anywhere, {{}, {}}));
  }
}

TEST(NumaTest, memory_and_cpus_both_count) {
  for (const DomainPlace& domain : {on_node_1, on_cpu_4, on_both}) {
    EXPECT_TRUE(is_near(Numa::require, domain, {1, cpus_of_1}));
    EXPECT_FALSE(is_near(Numa::require, domain, {0, cpus_of_0}));
  }
  EXPECT_FALSE(is_near(Numa::require, {{0}, {4}}, {0, cpus_of_0})) << "far from its CPUs";
  EXPECT_FALSE(is_near(Numa::require, {{1}, {0}}, {0, cpus_of_0})) << "far from its memory";
  EXPECT_TRUE(is_near(Numa::require, {{0, 1}, {3, 4}}, {0, cpus_of_0})) << "near a part of it";
}

TEST(NumaTest, a_gpu_without_a_node_is_not_near_where_that_is_required) {
  for (const DomainPlace& domain : {on_node_1, on_cpu_4, on_both}) {
    EXPECT_FALSE(is_near(Numa::require, domain, {{}, cpus_of_1}));
    EXPECT_TRUE(is_near(Numa::prefer, domain, {{}, cpus_of_0}));
  }
}

TEST(NumaTest, local_cpus_are_read_as_the_kernel_writes_them) {
  TempDir directory;
  EXPECT_TRUE(local_cpus(directory.path()).empty());
  write_file_atomically(directory / "local_cpulist", "0-1,8\n");
  EXPECT_EQ(local_cpus(directory.path()), (std::vector<int>{0, 1, 8}));
}

// ---- the socket

TEST(SocketTest, all_of_its_nodes_and_cpus_are_near) {
  const DevicePlace place{0, {0, 1, 2, 3}, {0, 1}};  // two nodes of two CPUs each
  EXPECT_TRUE(is_near(Numa::socket, {{1}, {}}, place));
  EXPECT_TRUE(is_near(Numa::socket, {{1}, {3}}, place));
  EXPECT_FALSE(is_near(Numa::socket, {{2}, {}}, place)) << "memory of the other socket";
  EXPECT_FALSE(is_near(Numa::socket, {{1}, {4}}, place)) << "CPUs of the other socket";
  EXPECT_FALSE(is_near(Numa::socket, {{1}, {}}, {{}, {}, {}})) << "not known where it is";
  EXPECT_FALSE(is_near(Numa::require, {{1}, {}}, {0, {0, 1}}));
}

TEST(SocketTest, a_far_candidate_is_refused) {
  const Profile socket = profile(Placement::binpack, Numa::socket);
  EXPECT_EQ(best(socket, {{"a", "t", 4, 0, false}}), "none");
  EXPECT_EQ(best(socket, {{"a", "t", 4, 0, true}}), "a");
}

TEST(SocketTest, is_read_from_the_topology_of_a_local_cpu) {
  const TempDir directory;
  const Root root{directory.path()};
  const auto file = [&](const std::string& path, const std::string& text) {
    const std::string whole = root.sys("devices/system/" + path);
    make_directories(whole.substr(0, whole.rfind('/')));
    write_file_atomically(whole, text);
  };
  file("cpu/cpu1/topology/package_cpus_list", "0-3\n");
  file("node/node0/cpulist", "0-1\n");
  file("node/node1/cpulist", "2-3\n");
  file("node/node2/cpulist", "4-7\n");
  file("node/node3/cpulist", "\n");  // memory alone
  DevicePlace place{0, {0, 1}};      // CPU 0 is offline
  widen_to_socket(root, place);
  EXPECT_EQ(place.cpus, (std::vector{0, 1, 2, 3}));
  EXPECT_EQ(place.nodes, (std::vector{0, 1}));
  DevicePlace unknown{1, {8}};
  widen_to_socket(root, unknown);
  EXPECT_EQ(unknown.cpus, (std::vector{8}));
  EXPECT_EQ(unknown.nodes, std::vector<int>());
}

}  // namespace
}  // namespace gpuward
