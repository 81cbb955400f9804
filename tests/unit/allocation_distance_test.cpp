// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/distance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <random>

#include "allocation/choose_device.hpp"
#include "allocation_fixtures.hpp"

namespace gpuward {
namespace {

PciAddress bus(unsigned number) {
  return {0, static_cast<uint8_t>(number), 0, 0};
}

/// A card on this bus, with its NUMA node, the bus of its host bridge and the buses of its ports.
GpuSpot spot(unsigned card, std::optional<int> node, unsigned bridge,
             const std::vector<unsigned>& ports) {
  GpuSpot spot{bus(card), node, BusPath{bus(bridge)}};
  for (const unsigned port : ports) spot.bus->ports.push_back(bus(port));
  return spot;
}

/// Two sockets: on the first two host bridges, one of them with two switches below one root port.
const GpuSpot near_a = spot(0x10, 0, 0x00, {0x01, 0x02, 0x03});
const GpuSpot near_b = spot(0x11, 0, 0x00, {0x01, 0x02, 0x04});
const GpuSpot next_switch = spot(0x12, 0, 0x00, {0x01, 0x05, 0x06, 0x07});
const GpuSpot next_port = spot(0x13, 0, 0x00, {0x08});
const GpuSpot next_bridge = spot(0x14, 0, 0x40, {0x41});
const GpuSpot next_socket = spot(0x15, 1, 0x80, {0x81});

TEST(DistanceTest, is_what_lies_between_the_cards) {
  EXPECT_EQ(distance(near_a, near_b), Distance::one_switch);
  EXPECT_EQ(distance(near_a, next_switch), Distance::one_root_port);
  EXPECT_EQ(distance(near_a, next_port), Distance::one_host_bridge);
  EXPECT_EQ(distance(near_a, next_bridge), Distance::one_node);
  EXPECT_EQ(distance(near_a, next_socket), Distance::far);
  EXPECT_EQ(distance_to(near_a, std::vector{near_b, next_port, next_socket}),
            0U + 2 + 4 + 3 * distance_without_link);
}

TEST(DistanceTest, cards_directly_below_ports_of_their_own_share_no_switch) {
  EXPECT_EQ(distance(spot(0x10, 0, 0, {1}), spot(0x11, 0, 0, {2})), Distance::one_host_bridge);
  EXPECT_EQ(distance({{0, 0, 2, 0}, 0, BusPath{bus(0)}}, {{0, 0, 3, 0}, 0, BusPath{bus(0)}}),
            Distance::one_host_bridge)
      << "slots of the root bus";
  EXPECT_EQ(distance({{0, 0, 2, 0}, 0, BusPath{bus(0)}}, {{0, 0, 2, 0}, 0, BusPath{bus(0)}}),
            Distance::one_switch)
      << "VFs of one card";
}

TEST(DistanceTest, what_is_not_known_is_far) {
  EXPECT_EQ(distance(near_a, {bus(0x11), 0, {}}), Distance::far);
  EXPECT_EQ(distance({bus(0x11), 0, {}}, {bus(0x11), 0, {}}), Distance::far);
  EXPECT_EQ(distance(spot(0x10, {}, 0, {1}), spot(0x11, {}, 0x40, {2})), Distance::far)
      << "the firmware tells no node (numa_node is -1)";
  EXPECT_EQ(distance(spot(0x10, {}, 0, {1}), spot(0x11, {}, 0, {2})), Distance::one_host_bridge);
}

// ---- NVLink

GpuSpot with_links(GpuSpot spot, const std::vector<unsigned>& cards, bool has_switch = false) {
  for (const unsigned card : cards) spot.links.cards.push_back(bus(card));
  spot.links.has_switch = has_switch;
  return spot;
}

TEST(LinksTest, one_end_that_tells_of_a_link_is_enough) {
  const GpuSpot linked = with_links(near_a, {0x15});
  EXPECT_TRUE(are_linked(linked, next_socket));
  EXPECT_TRUE(are_linked(next_socket, linked));
  EXPECT_FALSE(are_linked(linked, near_b));
  EXPECT_FALSE(are_linked(near_a, near_b)) << "nothing is known";
  EXPECT_TRUE(are_linked(linked, linked)) << "one card";
  EXPECT_FALSE(are_linked(near_a, near_a));
  EXPECT_EQ(links_text(linked, std::vector{near_b, next_socket, next_socket, linked}),
            "NVLink to 0000:15:00.0");
  EXPECT_EQ(links_text(near_b, std::vector{linked}), "");
}

TEST(LinksTest, cards_on_nvswitches_are_linked_with_each_other) {
  const GpuSpot one = with_links(near_a, {}, true), other = with_links(next_socket, {}, true);
  EXPECT_TRUE(are_linked(one, other));
  EXPECT_FALSE(are_linked(one, with_links(near_b, {0x13})));
}

TEST(LinksTest, a_linked_card_is_nearer_than_one_on_the_same_switch) {
  const GpuSpot linked = with_links(near_a, {0x12, 0x15});
  const auto to = [&](const GpuSpot& other) { return distance_to(linked, std::vector{other}); };
  EXPECT_LT(to(next_switch), to(next_socket)) << "of linked ones the nearer";
  EXPECT_LT(to(next_socket), to(near_b));
  EXPECT_LT(to(near_b), to(next_port)) << "as without links";
}

TEST(LinksTest, links_that_those_to_come_will_miss_are_counted) {
  const GpuSpot one = with_links(near_a, {0x11});
  const std::vector<SpotWithRoom> possible{{with_links(near_b, {0x10}), 2}, {next_port, 9}};
  EXPECT_EQ(missing_links(one, possible, 2), 0U);
  EXPECT_EQ(missing_links(one, possible, 5), 3 * expected_without_link);
  EXPECT_EQ(missing_links(next_port, possible, 5), 5 * expected_without_link);
}

// ---- several

std::vector<SpotCosts> free_of_cost(const std::vector<GpuSpot>& spots) {
  std::vector<SpotCosts> devices;
  for (const GpuSpot& each : spots) devices.push_back({each, {}, 0});
  return devices;
}

using Places = std::vector<size_t>;

TEST(NearestTest, those_of_one_switch_go_together) {
  const auto devices = free_of_cost({next_port, near_a, next_socket, near_b});
  EXPECT_EQ(nearest(devices, 1), Places({0}));
  EXPECT_EQ(nearest(devices, 2), Places({1, 3}));
  EXPECT_EQ(nearest(devices, 3), Places({0, 1, 3}));
  EXPECT_EQ(nearest(devices, 9), Places({0, 1, 2, 3}));
  EXPECT_EQ(nearest({}, 2), Places());
}

TEST(NearestTest, costs_count_more_and_of_equal_ones_the_first) {
  auto devices = free_of_cost({next_port, near_a, next_socket, near_b});
  devices[3].costs[0] = 1;
  EXPECT_EQ(nearest(devices, 2), Places({0, 1}));
  EXPECT_EQ(nearest(free_of_cost({next_port, next_port, next_port}), 2), Places({0, 1}));
}

/// What is less the better.
std::pair<Costs, unsigned> measure(const std::vector<SpotCosts>& devices, const Places& places) {
  std::pair<Costs, unsigned> sum{};
  for (size_t one = 0; one < places.size(); ++one) {
    const SpotCosts& device = devices[places[one]];
    for (size_t at = 0; at < sum.first.size(); ++at) sum.first[at] += device.costs[at];
    sum.second += device.apart;
    for (size_t other = 0; other < one; ++other)
      sum.second += static_cast<unsigned>(distance(device.spot, devices[places[other]].spot));
  }
  return sum;
}

GpuSpot random_spot(std::mt19937& random, unsigned card) {
  if (random() % 12 == 0) return {bus(card), {}, {}};
  const auto bridge = static_cast<unsigned>(random() % 4);
  const auto root_port = static_cast<unsigned>(random() % 2);
  const auto plug = static_cast<unsigned>(random() % 2);
  const std::optional<int> node = bridge == 3 ? std::nullopt : std::optional<int>(bridge / 2);
  return spot(card, node, bridge, {0x40 + 2 * bridge + root_port, 0x60 + plug, card});
}

Places members(unsigned set) {
  Places places;
  for (size_t place = 0; place < 16; ++place)
    if ((set >> place & 1) != 0) places.push_back(place);
  return places;
}

/// A search through all choices finds nothing better by the measure.
TEST(NearestPropertyTest, no_choice_of_as_many_is_better) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<SpotCosts> devices;
    const auto count = static_cast<unsigned>(1 + random() % 9);
    for (unsigned card = 0; card < count; ++card) {
      devices.push_back({random_spot(random, 0x80 + card), {}, 0});
      devices.back().costs[random() % 2] = random() % 4 == 0;
      devices.back().apart = static_cast<unsigned>(random() % 3);
    }
    const size_t wanted = 1 + random() % count;
    const Places found = nearest(devices, wanted);
    ASSERT_EQ(found.size(), wanted);
    for (unsigned set = 1; set < 1U << count; ++set)
      if (static_cast<size_t>(std::popcount(set)) == wanted) {
        ASSERT_LE(measure(devices, found), measure(devices, members(set))) << "round " << round;
      }
  }
}

TEST(NearestTest, is_found_among_a_thousand_cards_in_milliseconds) {
  std::mt19937 random(3);
  std::vector<SpotCosts> devices;
  for (unsigned card = 0; card < 1000; ++card)
    devices.push_back(
        {spot(card % 256, static_cast<int>(card % 8), card % 16, {card % 200, 1, card % 250}),
         {},
         0});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(nearest(devices, 8).size(), 8U);
  // 10 ms on a quiet machine; other tests run beside this one.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200));
}

}  // namespace
}  // namespace gpuward
