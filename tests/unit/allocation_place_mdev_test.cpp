// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/place_mdev.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "allocation/pool.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "nvml_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;

Profile small_on(const std::string& gpu) {
  Profile profile;
  profile.name = "small";
  profile.types = {"mbochs-small"};
  profile.gpus = {*parse_gpu_selector(gpu)};
  return profile;
}

/// A domain that requests instances of these profiles, of which it has none yet.
class PlaceMdevTest : public testing::Test {
 protected:
  /// The parent of each.
  std::vector<std::string> place(const std::vector<Profile>& profiles) {
    domain_.uuid.bytes[0] = 0xd0;
    Claim claim{domain_.uuid, "vm1", {}};
    for (size_t number = 0; number < profiles.size(); ++number) {
      claim.devices.push_back({.alias = "ua-gpuward-" + std::to_string(number),
                               .profile = profiles[number].name,
                               .instance = {},
                               .parent = {},
                               .type = {}});
      claim.devices.back().instance.bytes[0] = static_cast<uint8_t>(number + 1);
    }
    std::vector<MdevRequest> requests;
    for (size_t number = 0; number < profiles.size(); ++number)
      requests.push_back({profiles[number], claim.devices[number]});
    const std::vector<Claim> others;
    const DevicesInUse taken;
    const std::set<ParentType> refused;
    const std::set<std::string> existing;
    const Claims claims(host_.root());
    place_mdevs({host_.root(), config_, domain_, claims, claim, others, taken, refused, existing},
                requests);
    std::vector<std::string> parents;
    for (const ClaimedDevice& device : claim.devices) parents.push_back(device.parent);
    return parents;
  }
  FakeHost host_;
  Config config_;
  Domain domain_;
};

TEST_F(PlaceMdevTest, profiles_that_differ_in_their_gpus_alone_have_places_of_their_own) {
  host_.parent("a").type("mbochs-small", 4);
  host_.parent("b").type("mbochs-small", 4);
  EXPECT_THAT(place({small_on("a"), small_on("b")}), ElementsAre("a", "b"));
}

/// [gpu] of a VF says less than that of the card's first VF.
TEST_F(PlaceMdevTest, max_of_the_virtual_function_itself_counts_for_several) {
  host_.pci_gpu("0000:41:00.0");
  host_.sriov("0000:41:00.0", 3);
  host_.set_vfs("0000:41:00.0", 3);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2", "0000:41:00.3"})
    host_.parent(vf).type("mbochs-small", 1);
  GpuSection section;
  section.selector = *parse_gpu_selector("0000:41:00.2");
  section.max = {{"mbochs-small", 1}};
  config_.gpus = {section};
  const Profile small = small_on("0000:41:00.0");
  EXPECT_THAT(place({small, small}), ElementsAre("0000:41:00.1", "0000:41:00.3"));
}

// ---- NVLink

/// Four cards of NVIDIA's on one switch, with room for one each.
class PlaceLinkedTest : public PlaceMdevTest {
 protected:
  PlaceLinkedTest() {
    for (const char* const card : {"41", "42", "43", "44"}) {
      host_.parent(address(card)).type("nvidia-700", 1).driver("nvidia");
      host_.move_below("0000:40:00.0", address(card));
    }
    profile_.name = "large";
    profile_.types = {"nvidia-700"};
    profile_.gpus = {*parse_gpu_selector("*")};
  }
  static std::string address(const std::string& bus) { return "0000:" + bus + ":00.0"; }
  void link(const std::string& one, const std::string& other, const std::string& word = "link") {
    nvml_.add(word + ' ' + address(one) + " 0 " + address(other));
    nvml_.add(word + ' ' + address(other) + " 0 " + address(one));
  }
  /// The buses of the cards that so many get.
  std::string placed(size_t count) {
    std::string buses;
    for (const std::string& parent : place(std::vector(count, profile_)))
      buses += (buses.empty() ? "" : " ") + parent.substr(5, 2);
    return buses;
  }
  NvmlDouble nvml_{host_.root()};
  Profile profile_;
};

TEST_F(PlaceLinkedTest, two_get_linked_cards_whatever_the_numbering) {
  EXPECT_EQ(placed(2), "41 42") << "no links";
  link("41", "43");
  link("42", "44");
  EXPECT_EQ(placed(2), "41 43");
  nvml_.set("mig off\n");
  link("41", "44");
  link("42", "43");
  EXPECT_EQ(placed(2), "41 44");
  nvml_.set("mig off\n");
  link("42", "44");
  EXPECT_EQ(placed(2), "42 44") << "not the first card, which has no links";
  nvml_.set("mig off\n");
  nvml_.add("link 0000:42:00.0 0 switch");
  nvml_.add("link 0000:44:00.0 3 switch");
  EXPECT_EQ(placed(2), "42 44") << "on NVSwitches";
}

TEST_F(PlaceLinkedTest, what_is_down_or_cannot_be_read_does_not_count) {
  link("42", "44", "link-down");
  EXPECT_EQ(placed(2), "41 42");
  nvml_.set("mig off\n");
  link("42", "44");
  nvml_.add("returns DeviceGetNvLinkRemotePciInfo_v2 999");
  EXPECT_EQ(placed(2), "41 42");
  nvml_.without("returns DeviceGetNvLinkRemotePciInfo_v2 999");
  EXPECT_EQ(placed(2), "42 44");
  nvml_.replace_library_by_one_without_nvlink();
  EXPECT_EQ(placed(2), "41 42");
}

TEST_F(PlaceLinkedTest, the_library_is_asked_once_and_only_where_it_can_matter) {
  const NvmlWatch watch(host_.root(), "exec sleep 300");
  EXPECT_EQ(placed(1), "41");
  EXPECT_EQ(watch.asked(), "") << "one GPU";
  profile_.gpus = {*parse_gpu_selector(address("43"))};
  host_.parent(address("43")).type("nvidia-700", 2);
  EXPECT_EQ(placed(2), "43 43");
  EXPECT_EQ(watch.asked(), "") << "no choice of cards";
  profile_.gpus = {*parse_gpu_selector("*")};
  host_.parent(address("43")).type("nvidia-700", 1);
  EXPECT_EQ(placed(4), "41 42 43 44");
  EXPECT_EQ(watch.asked(), "links\n") << "no second time, although nothing came";
  for (const char* const card : {"41", "42", "43", "44"})
    host_.parent(address(card)).driver("another");
  placed(2);
  EXPECT_EQ(watch.asked(), "links\n") << "of cards that NVIDIA's driver has not";
}

TEST_F(PlaceLinkedTest, what_was_asked_before_the_lock_is_not_asked_under_it) {
  const NvmlWatch watch(host_.root(), "exec sleep 300");
  AskedCards asked;
  ask_nvlinks(host_.root(), {}, asked);
  EXPECT_EQ(watch.asked(), "links\n");
  auto spots = spots_of(host_.root(),
                        {*parse_pci_address(address("41")), *parse_pci_address(address("44"))});
  add_nvlinks(host_.root(), {&spots.at(0), &spots.at(1)}, asked);
  EXPECT_EQ(watch.asked(), "links\n");
}

}  // namespace
}  // namespace gpuward
