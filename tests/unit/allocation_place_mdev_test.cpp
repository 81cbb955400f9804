// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/place_mdev.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"
#include "fake_host.hpp"

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

}  // namespace
}  // namespace gpuward
