// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/gpu_settings.hpp"

#include <gtest/gtest.h>

namespace gpuward {
namespace {

using By = GpuSelector::By;

GpuSelector any() {
  return {};
}
GpuSelector by_name(const std::string& name) {
  GpuSelector selector;
  selector.by = By::name;
  selector.name = name;
  return selector;
}
GpuSelector by_address(const std::string& address) {
  GpuSelector selector;
  selector.by = By::address;
  selector.address = parse_pci_address(address).value();
  return selector;
}
GpuSelector by_id(uint16_t vendor, uint16_t device) {
  GpuSelector selector;
  selector.by = By::id;
  selector.vendor = vendor;
  selector.device = device;
  return selector;
}

GpuSection section(GpuSelector selector, std::optional<Use> use,
                   std::vector<InstanceCount> instances = {}) {
  GpuSection result;
  result.selector = std::move(selector);
  result.use = use;
  result.instances = std::move(instances);
  return result;
}

Parent a40() {
  Parent parent;
  parent.name = "0000:41:00.0";
  parent.address = parse_pci_address(parent.name);
  parent.vendor = 0x10de;
  parent.device = 0x2235;
  return parent;
}
Parent mtty() {
  Parent parent;
  parent.name = "mtty";
  return parent;
}

Config config_of(std::vector<GpuSection> sections) {
  Config config;
  config.gpus = std::move(sections);
  return config;
}

TEST(SelectsTest, star_selects_all) {
  EXPECT_TRUE(selects(any(), a40()));
  EXPECT_TRUE(selects(any(), mtty()));
}

TEST(SelectsTest, an_address_selects_what_sits_there) {
  EXPECT_TRUE(selects(by_address("0000:41:00.0"), a40()));
  EXPECT_FALSE(selects(by_address("0000:41:00.1"), a40()));
  EXPECT_FALSE(selects(by_address("0000:00:00.0"), mtty()));
}

TEST(SelectsTest, vendor_and_device_select_all_alike) {
  EXPECT_TRUE(selects(by_id(0x10de, 0x2235), a40()));
  EXPECT_FALSE(selects(by_id(0x10de, 0x2236), a40()));
  EXPECT_FALSE(selects(by_id(0x1002, 0x2235), a40()));
  EXPECT_FALSE(selects(by_id(0, 0), mtty())) << "what is no PCI device has no ids";
}

TEST(SelectsTest, a_name_selects_the_parent_of_that_name) {
  EXPECT_TRUE(selects(by_name("mtty"), mtty()));
  EXPECT_FALSE(selects(by_name("mbochs"), mtty()));
}

TEST(SettingsTest, without_a_section_nothing_is_said) {
  const GpuSettings settings = settings_of(Config(), mtty());
  EXPECT_FALSE(settings.use);
  EXPECT_TRUE(settings.instances.empty());
}

TEST(SettingsTest, sections_of_other_gpus_do_not_count) {
  const Config config = config_of({section(by_name("mbochs"), Use::off, {{"t", 1}})});
  EXPECT_FALSE(settings_of(config, mtty()).use);
  EXPECT_TRUE(settings_of(config, mtty()).instances.empty());
}

TEST(SettingsTest, the_more_precise_section_wins_in_whatever_order) {
  std::vector<GpuSection> sections{section(any(), Use::off),
                                   section(by_id(0x10de, 0x2235), Use::vf),
                                   section(by_address("0000:41:00.0"), Use::mdev)};
  EXPECT_EQ(settings_of(config_of(sections), a40()).use, Use::mdev);
  std::reverse(sections.begin(), sections.end());
  EXPECT_EQ(settings_of(config_of(sections), a40()).use, Use::mdev);
  sections.erase(sections.begin());
  EXPECT_EQ(settings_of(config_of(sections), a40()).use, Use::vf);
  EXPECT_EQ(settings_of(config_of(sections), mtty()).use, Use::off);
}

TEST(SettingsTest, keys_win_one_by_one) {
  const Config config = config_of(
      {section(any(), std::nullopt, {{"general", 1}}), section(by_name("mtty"), Use::mdev)});
  const GpuSettings settings = settings_of(config, mtty());
  EXPECT_EQ(settings.use, Use::mdev);
  ASSERT_EQ(settings.instances.size(), 1u);
  EXPECT_EQ(settings.instances[0].type, "general");
}

TEST(SettingsTest, instances_are_replaced_not_added) {
  const Config config = config_of({section(any(), std::nullopt, {{"a", 1}, {"b", 2}}),
                                   section(by_name("mtty"), std::nullopt, {{"c", 3}})});
  const GpuSettings settings = settings_of(config, mtty());
  ASSERT_EQ(settings.instances.size(), 1u);
  EXPECT_EQ(settings.instances[0].type, "c");
}

TEST(SettingsTest, tells_whether_the_instances_were_meant_for_this_very_gpu) {
  const auto by_itself = [](GpuSelector selector) {
    return settings_of(config_of({section(std::move(selector), std::nullopt, {{"t", 1}})}), a40())
        .instances_by_name;
  };
  EXPECT_FALSE(by_itself(any()));
  EXPECT_FALSE(by_itself(by_id(0x10de, 0x2235)));
  EXPECT_TRUE(by_itself(by_address("0000:41:00.0")));
}

TEST(SettingsTest, a_gpu_of_another_use_keeps_no_instances) {
  for (const Use use : {Use::off, Use::vf, Use::vendor_vf, Use::whole}) {
    const Config config = config_of({section(by_name("mtty"), use, {{"t", 1}})});
    EXPECT_TRUE(settings_of(config, mtty()).instances.empty());
  }
}

TEST(ServesTest, a_profile_without_gpus_may_use_all) {
  EXPECT_TRUE(serves(Config(), Profile(), a40()));
  EXPECT_TRUE(serves(Config(), Profile(), mtty()));
}

TEST(ServesTest, a_profile_with_gpus_may_use_these) {
  Profile profile;
  profile.gpus = {by_name("mbochs"), by_id(0x10de, 0x2235)};
  EXPECT_TRUE(serves(Config(), profile, a40()));
  EXPECT_FALSE(serves(Config(), profile, mtty()));
}

TEST(ServesTest, a_gpu_kept_for_another_use_serves_none) {
  for (const Use use : {Use::off, Use::vf, Use::vendor_vf, Use::whole})
    EXPECT_FALSE(serves(config_of({section(by_name("mtty"), use)}), Profile(), mtty()));
  EXPECT_TRUE(serves(config_of({section(by_name("mtty"), Use::mdev)}), Profile(), mtty()));
}

Parent vf_of_a40() {
  Parent parent = a40();
  parent.name = "0000:41:00.4";
  parent.address = parse_pci_address(parent.name);
  parent.physical_function = a40().address;
  parent.card_vendor = 0x10de;
  parent.card_device = 0x2235;
  parent.device = 0x2200;
  return parent;
}

TEST(SettingsOfVfTest, the_section_of_its_card_governs_a_vf) {
  for (const GpuSelector& card : {by_address("0000:41:00.0"), by_id(0x10de, 0x2235)}) {
    EXPECT_TRUE(selects(card, vf_of_a40()));
    EXPECT_FALSE(selects_itself(card, vf_of_a40()));
    EXPECT_EQ(settings_of(config_of({section(card, Use::off)}), vf_of_a40()).use, Use::off);
  }
  EXPECT_FALSE(selects(by_address("0000:42:00.0"), vf_of_a40()));
  const auto both = config_of({section(by_address("0000:41:00.4"), Use::mdev),
                               section(by_address("0000:41:00.0"), Use::off),
                               section(by_id(0x10de, 0x2235), Use::vf)});
  EXPECT_EQ(settings_of(both, vf_of_a40()).use, Use::mdev) << "its own is more precise";
}

TEST(SettingsOfVfTest, a_profile_that_names_the_card_has_its_vfs) {
  Profile profile;
  profile.name = "small";
  profile.gpus = {by_address("0000:41:00.0")};
  EXPECT_TRUE(serves({}, profile, vf_of_a40()));
  EXPECT_FALSE(
      serves(config_of({section(by_address("0000:41:00.0"), Use::off)}), profile, vf_of_a40()));
}

}  // namespace
}  // namespace gpuward
