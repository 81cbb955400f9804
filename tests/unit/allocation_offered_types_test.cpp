// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/offered_types.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "inventory/snapshot.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class OfferedTypesTest : public testing::Test {
 protected:
  /// A card with two VFs of the vendor VFIO framework.
  void vgpus(const std::string& creatable, const std::string& current = "0") {
    host_.sriov("0000:42:00.0", 2);
    host_.set_vfs("0000:42:00.0", 2);
    host_.pci_gpu("0000:42:00.1")
        .attribute("nvidia/current_vgpu_type", current)
        .attribute("nvidia/creatable_vgpu_types", "");
    host_.pci_gpu("0000:42:00.2")
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types", creatable);
  }
  void section(const std::string& selector, Use use) {
    GpuSection section;
    section.selector = *parse_gpu_selector(selector);
    section.use = use;
    config_.gpus.push_back(section);
  }
  OfferedTypes offered() {
    return offered_types(host_.root(), config_, read_gpus(host_.root(), config_));
  }
  std::vector<std::string> ids() {
    std::vector<std::string> ids;
    for (const OfferedType& type : offered().types) ids.push_back(type.id);
    return ids;
  }
  FakeHost host_;
  Config config_;
};

TEST_F(OfferedTypesTest, are_those_of_parents_and_vfs) {
  host_.parent("mtty").type("mtty-1", 2);
  vgpus("1145 : NVIDIA L40S-1B");
  EXPECT_THAT(ids(), ElementsAre("mtty-1", "1145"));
  EXPECT_THAT(offered().partly_listed, IsEmpty());
}

TEST_F(OfferedTypesTest, of_a_full_card_those_that_exist_are_known) {
  vgpus("", "1145");
  EXPECT_THAT(offered().types, ElementsAre(OfferedType{"1145", "", Use::vendor_vf}));
  EXPECT_THAT(offered().partly_listed, ElementsAre("0000:42:00.0"));
}

TEST_F(OfferedTypesTest, one_that_exists_and_can_be_created_is_there_once) {
  vgpus("1145 : NVIDIA L40S-1B", "1145");
  EXPECT_THAT(offered().types, ElementsAre(OfferedType{"1145", "NVIDIA L40S-1B", Use::vendor_vf}));
}

TEST_F(OfferedTypesTest, a_gpu_that_is_kept_for_another_use_offers_none) {
  host_.parent("mtty").type("mtty-1", 2);
  vgpus("1145 : NVIDIA L40S-1B", "1146");
  section("*", Use::off);
  EXPECT_THAT(ids(), IsEmpty());
  section("mtty", Use::mdev);
  EXPECT_THAT(ids(), ElementsAre("mtty-1"));
  section("0000:42:00.2", Use::vendor_vf);
  EXPECT_THAT(ids(), ElementsAre("mtty-1", "1145", "1146")) << "one VF is for vGPUs";
}

TEST(ProfileNameTest, must_not_be_that_of_a_type_that_it_does_not_provide) {
  const std::vector<OfferedType> types = {{"nvidia-63", "GRID P40-2Q", Use::mdev},
                                          {"1145", "NVIDIA L40S-1B", Use::vendor_vf}};
  Config config;
  for (const char* const name : {"small", "nvidia-63", "1145"}) {
    Profile profile;
    profile.name = name;
    profile.types = {"nvidia-63"};
    profile.position = {"gpuward.conf", 4};
    config.profiles.push_back(profile);
  }
  const auto found = profiles_named_as_others(config, types, {});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(to_string(found[0]),
            "gpuward.conf:4: [profile 1145] is named as a type of a GPU of this host, but provides "
            "another; rename the profile");
  config.profiles[1].types.push_back("nvidia-64");
  EXPECT_EQ(profiles_named_as_others(config, types, {}).size(), 2u);
  EXPECT_TRUE(profiles_named_as_others(config, {}, {}).empty());
}

TEST(ProfileNameTest, must_not_be_that_of_a_model_that_it_does_not_provide) {
  const std::vector<OfferedModel> models = {
      {"L40S", "NVIDIA Corporation AD102GL [L40S]", "10de:26b9"}};
  Config config;
  for (const char* const name : {"l40s", "L40", "L40S"}) {
    Profile profile;
    profile.name = name;
    profile.types = {"1145"};
    profile.use = Use::vendor_vf;
    profile.position = {"gpuward.conf", 4};
    config.profiles.push_back(profile);
  }
  auto found = profiles_named_as_others(config, {}, models);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(to_string(found[0]),
            "gpuward.conf:4: [profile l40s] is named as a model of a GPU of this host, but "
            "provides another; rename the profile");
  config.profiles[2].use = Use::whole;
  EXPECT_EQ(profiles_named_as_others(config, {}, models).size(), 2u) << "of any GPU";
  config.profiles[2].gpus = {*parse_gpu_selector("10DE:26b9")};
  EXPECT_EQ(profiles_named_as_others(config, {}, models).size(), 1u) << "what the model means";
  config.profiles[2].gpus = {*parse_gpu_selector("10de:26ba")};
  EXPECT_EQ(profiles_named_as_others(config, {}, models).size(), 2u);
}

}  // namespace
}  // namespace gpuward
