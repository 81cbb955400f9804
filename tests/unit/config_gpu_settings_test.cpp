// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/gpu_settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"

namespace gpuward {
namespace {

using By = GpuSelector::By;
using testing::AllOf;
using testing::HasSubstr;

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

GpuId a40() {
  GpuId parent;
  parent.name = "0000:41:00.0";
  parent.address = parse_pci_address(parent.name);
  parent.vendor = 0x10de;
  parent.device = 0x2235;
  return parent;
}
GpuId mtty() {
  GpuId parent;
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

GpuId vf_of_a40() {
  GpuId parent = a40();
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

// ---- by marks of the card

/// An A40 whose marks are all known.
GpuId marked() {
  GpuId gpu = a40();
  gpu.card = {.serial = {{"1324", "48-b0-2d"}, ""},
              .uuid = {{"4dea22b3-1d52-d8f3-2516-782e98ab3fa0"}, ""},
              .slot = {{"4"}, ""},
              .subsystem = {{"10de:145a"}, ""},
              .iommu_group = {{"12"}, ""}};
  return gpu;
}

GpuSelector by(const std::string& text) {
  return parse_gpu_selector(text).value();
}

/// From the one that counts most.
const std::vector<std::string> ranks = {
    "0000:41:00.0",   "serial=1324", "slot=4",    "subsystem=10de:145a",
    "iommu-group=12", "0000:41:*",   "10de:2235", "*"};

TEST(SelectsTest, marks_of_the_card_select_it_and_its_vfs) {
  GpuId vf = vf_of_a40();
  vf.card = marked().card;
  for (const std::string& text : ranks) {
    EXPECT_TRUE(selects(by(text), marked())) << text;
    EXPECT_TRUE(selects(by(text), vf)) << text;
  }
  EXPECT_TRUE(selects(by("uuid=GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0"), marked()));
  EXPECT_TRUE(selects(by("serial=48-B0-2D"), marked())) << "in either case of its letters";
  for (const char* text : {"serial=132", "uuid=00000000-1d52-d8f3-2516-782e98ab3fa0", "slot=40",
                           "subsystem=10de:145b", "iommu-group=1", "0000:42:*", "0000:41:0?.1"})
    EXPECT_EQ(match(by(text), marked()), Match::no) << text;
  EXPECT_EQ(match(by("serial=1324"), mtty()), Match::no) << "what is no PCI device has none";
}

TEST(SelectsTest, what_is_not_read_is_unknown) {
  for (const char* text : {"serial=1", "uuid=00000000-1d52-d8f3-2516-782e98ab3fa0", "slot=4",
                           "subsystem=10de:145b", "iommu-group=1"}) {
    EXPECT_EQ(match(by(text), a40()), Match::unknown) << text;
    EXPECT_FALSE(selects(by(text), a40())) << text;
  }
}

TEST(SettingsTest, each_kind_of_selector_counts_more_than_those_after_it) {
  for (size_t first = 0; first < ranks.size(); ++first)
    for (size_t second = first + 1; second < ranks.size(); ++second) {
      std::vector<GpuSection> sections{section(by(ranks[first]), Use::whole),
                                       section(by(ranks[second]), Use::off)};
      const std::string both = ranks[first] + " and " + ranks[second];
      EXPECT_EQ(settings_of(config_of(sections), marked()).use, Use::whole) << both;
      std::reverse(sections.begin(), sections.end());
      const GpuSettings settings = settings_of(config_of(sections), marked());
      EXPECT_EQ(settings.use, Use::whole) << both;
      EXPECT_EQ(settings.unclear.problem, "") << both;
    }
}

TEST(SettingsTest, two_sections_of_one_rank_are_unclear) {
  for (const auto& [one, other] :
       {std::pair("serial=1324", "serial=48-b0-2d"),
        std::pair("serial=1324", "uuid=4dea22b3-1d52-d8f3-2516-782e98ab3fa0"),
        std::pair("0000:41:*", "0000:*")}) {
    auto config = config_of({section(by(one), Use::whole), section(by(other), std::nullopt),
                             section(by("*"), Use::off)});
    config.gpus[0].position = {"/etc/gpuward/gpuward.conf", 3};
    EXPECT_THAT(to_string(settings_of(config, marked()).unclear),
                AllOf(HasSubstr("device 0000:41:00.0: selected by both [gpu " + std::string(one) +
                                "] (/etc/gpuward/gpuward.conf:3) and [gpu " + other + "]"),
                      HasSubstr("gpuward check")));
    config.gpus.pop_back();
    config.gpus.pop_back();
    EXPECT_EQ(settings_of(config, marked()).unclear.problem, "");
  }
  const auto config = config_of({section(by("slot=4"), Use::off), section(by("slot=5"), Use::off)});
  EXPECT_EQ(settings_of(config, marked()).unclear.problem, "")
      << "the other speaks of another card";
}

TEST(SettingsTest, a_card_whose_mark_cannot_be_read_is_unclear_where_a_section_goes_by_it) {
  GpuId unread = marked();
  unread.card.serial = {{}, "cannot be read: the card sleeps"};
  const auto config =
      config_of({section(by("*"), Use::whole), section(by("serial=1324"), Use::off)});
  EXPECT_EQ(to_string(settings_of(config, unread).unclear),
            "device 0000:41:00.0: [gpu serial=1324] () may select the GPU, whose serial "
            "number cannot be read: the card sleeps; set use in [gpu 0000:41:00.0], which counts "
            "more");
  EXPECT_EQ(settings_of(config_of({section(by("slot=4"), Use::off)}), unread).unclear.problem, "");
  unread.card.serial.values = {"1324"};  // of amdgpu, where that of PCIe cannot be read
  EXPECT_EQ(settings_of(config, unread).unclear.problem, "");
  EXPECT_EQ(settings_of(config, unread).use, Use::off);
}

TEST(SettingsTest, use_in_a_section_of_its_address_makes_it_clear) {
  GpuId unread = marked();
  unread.card.serial = {{}, "cannot be read"};
  auto config =
      config_of({section(by("0000:41:00.0"), Use::whole), section(by("serial=1324"), Use::off)});
  EXPECT_EQ(settings_of(config, unread).unclear.problem, "");
  config.gpus[0].use.reset();
  EXPECT_NE(settings_of(config, unread).unclear.problem, "");
  config.gpus[1].vfs = 4;
  config.gpus[1].max = {{"t", 2}};
  config.gpus[0].max = {{"t", 1}};
  const Unclear unclear = settings_of(config, unread).unclear;
  EXPECT_THAT(unclear.problem, Not(HasSubstr("which sets"))) << "it may set no use";
  EXPECT_EQ(unclear.remedy, "set use, vfs in [gpu 0000:41:00.0], which counts more")
      << "all at once, not one key after the other";
}

TEST(SettingsTest, each_key_of_a_section_that_may_fit_must_be_set_in_one_of_its_address) {
  GpuId unread = marked();
  unread.card.serial = {{}, "cannot be read"};
  auto config =
      config_of({section(by("0000:41:00.0"), Use::mdev), section(by("serial=1324"), std::nullopt)});
  GpuSection& itself = config.gpus[0];
  GpuSection& maybe = config.gpus[1];
  const auto unclear = [&] { return to_string(settings_of(config, unread).unclear); };
  EXPECT_EQ(unclear(), "") << "a section without keys says nothing more of it";
  maybe.max = {{"t", 2}};
  maybe.isolation = Isolation::memory;
  maybe.vfs = 4;
  EXPECT_EQ(unclear(),
            "device 0000:41:00.0: [gpu serial=1324] (), which sets max, isolation, may select the "
            "GPU, whose serial number cannot be read; set max, isolation in [gpu 0000:41:00.0], "
            "which counts more");
  EXPECT_TRUE(settings_of(config, unread).unclear.is_unread);
  itself.max = {{"t", 1}};
  EXPECT_THAT(unclear(), HasSubstr("; set isolation in "));
  itself.isolation = Isolation::memory;
  EXPECT_EQ(unclear(), "") << "mdev has no vfs";
  maybe.expect.slot = "4";
  EXPECT_THAT(unclear(), HasSubstr("; set expect in "));
  itself.use = Use::off;
  EXPECT_EQ(unclear(), "") << "no domain gets it";
  itself.use = Use::vf;
  EXPECT_THAT(unclear(), HasSubstr("; set vfs, expect in "));
  config.gpus.push_back(section(by("slot=4"), std::nullopt));
  config.gpus[2].vfs = 2;
  EXPECT_THAT(unclear(), HasSubstr("; set vfs, expect in ")) << "a slot counts less than a number";
}

TEST(SettingsTest, a_key_that_may_fit_matters_only_where_the_use_of_its_address_goes_by_it) {
  GpuId unread = marked();
  unread.card.serial = {{}, "cannot be read"};
  auto config = config_of(
      {section(by("0000:41:00.0"), Use::whole), section(by("serial=1324"), std::nullopt)});
  const auto unclear = [&] { return to_string(settings_of(config, unread).unclear); };
  config.gpus[1].isolation = Isolation::memory;
  EXPECT_EQ(unclear(), "") << "a whole GPU is no fraction";
  config.gpus[1].reset_method = "flr";
  EXPECT_THAT(unclear(), HasSubstr("; set reset-method in "));
  config.gpus[0].use = Use::vf;
  EXPECT_EQ(unclear(), "") << "only a whole GPU's is set";
  config.gpus[0].use = Use::vendor_vf;
  EXPECT_THAT(unclear(), HasSubstr("; set isolation in "));
}

TEST(PermissionsTest, of_a_device_by_hand_only_use_and_max_leave_it_unclear) {
  GpuId unread = marked();
  unread.card.serial = {{}, "cannot be read"};
  auto config =
      config_of({section(by("0000:41:00.0"), Use::mdev), section(by("serial=1324"), std::nullopt)});
  GpuSection& itself = config.gpus[0];
  GpuSection& maybe = config.gpus[1];
  const auto remedy = [&](Use use) { return permissions_of(config, unread, use).unclear.remedy; };
  maybe.isolation = Isolation::memory;
  maybe.expect.slot = "4";
  maybe.reset_method = "flr";
  EXPECT_NE(settings_of(config, unread).unclear.problem, "");
  EXPECT_EQ(remedy(Use::mdev), "");
  maybe.use = Use::off;
  EXPECT_EQ(remedy(Use::mdev), "") << "its address has a use, which counts more";
  EXPECT_EQ(permissions_of(config, unread, Use::mdev).use, Use::mdev);
  maybe.max = {{"t", 2}};
  EXPECT_EQ(remedy(Use::mdev), "set max in [gpu 0000:41:00.0], which counts more");
  EXPECT_EQ(remedy(Use::whole), "") << "a card has no max";
  itself.max = {{"t", 1}};
  EXPECT_EQ(remedy(Use::mdev), "");
  itself.use.reset();
  EXPECT_EQ(remedy(Use::mdev), "set use in [gpu 0000:41:00.0], which counts more");
  EXPECT_EQ(remedy(Use::whole), "set use in [gpu 0000:41:00.0], which counts more");
  itself.use = Use::off;
  EXPECT_EQ(permissions_of(config, unread, Use::whole).use, Use::off);
}

TEST(SettingsTest, a_mark_of_two_cards_is_not_unread) {
  GpuId shared = marked();
  shared.card.serial = {{}, "is also that of GPU 0000:42:00.0", true};
  const auto config = config_of({section(by("serial=1324"), Use::off)});
  EXPECT_NE(settings_of(config, shared).unclear.problem, "");
  EXPECT_FALSE(settings_of(config, shared).unclear.is_unread);
}

TEST(SettingsTest, a_pattern_names_no_gpu_and_a_number_names_this_very_one) {
  const auto of = [](const char* text) {
    return settings_of(config_of({section(by(text), std::nullopt, {{"t", 1}})}), marked());
  };
  EXPECT_FALSE(of("0000:41:*").is_named);
  EXPECT_FALSE(of("*").is_named);
  for (const char* text : {"serial=1324", "slot=4", "subsystem=10de:145a", "iommu-group=12"})
    EXPECT_TRUE(of(text).is_named) << text;
  EXPECT_TRUE(of("serial=1324").instances_by_name);
  EXPECT_TRUE(of("slot=4").instances_by_name);
  EXPECT_FALSE(of("subsystem=10de:145a").instances_by_name);
  EXPECT_FALSE(of("0000:41:*").instances_by_name);
}

TEST(SettingsTest, marks_are_needed_where_a_section_or_a_profile_goes_by_them) {
  Config config = config_of({section(by("*"), Use::off), section(by("0000:41:*"), Use::off),
                             section(by("10de:2235"), Use::off)});
  EXPECT_FALSE(needs_facts(config));
  config.profiles = {Profile()};
  config.profiles[0].gpus = {by("serial=1")};
  EXPECT_TRUE(needs_facts(config));
  EXPECT_TRUE(has_selector(config, By::serial));
  EXPECT_FALSE(has_selector(config, By::slot));
  config.profiles.clear();
  config.gpus.push_back(section(by("slot=1"), Use::off));
  EXPECT_TRUE(needs_facts(config));
}

TEST(ServesTest, a_profile_goes_by_marks_too_and_says_what_it_cannot_know) {
  Profile profile;
  profile.name = "big";
  profile.gpus = {by("slot=5"), by("serial=1324")};
  EXPECT_TRUE(serves({}, profile, marked()));
  EXPECT_EQ(unclear_for(profile, marked()).problem, "");
  GpuId unread = marked();
  unread.card.serial = {{}, "cannot be read"};
  EXPECT_FALSE(serves({}, profile, unread));
  EXPECT_EQ(unclear_for(profile, unread).problem,
            "'gpu = serial=1324' of profile 'big' may select the GPU, whose serial "
            "number cannot be read");
  profile.gpus.push_back(by("0000:41:*"));
  EXPECT_TRUE(serves({}, profile, unread));
  EXPECT_EQ(unclear_for(profile, unread).problem, "");
}

TEST(SelectsTest, an_address_or_vendor_and_device_alone_declare_a_gpu) {
  for (const std::string& text : ranks)
    EXPECT_EQ(declares_gpu(by(text), marked()), text == "0000:41:00.0" || text == "10de:2235")
        << text;
}

}  // namespace
}  // namespace gpuward
