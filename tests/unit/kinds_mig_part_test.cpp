// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/mig_part.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpuward {
namespace {

std::string vgpu_of(const std::string& profile, const std::vector<std::string>& names) {
  std::vector<VgpuType> types;
  for (const std::string& name : names)
    types.push_back({static_cast<unsigned>(types.size()) + 1, name});
  const VgpuType* const type = mig_vgpu_type(profile, types);
  return type ? type->name : "(none)";
}

TEST(MigVgpuTest, has_the_slices_and_memory_of_the_profile) {
  const std::vector<std::string> h100 = {"NVIDIA H100-10C", "NVIDIA H100-1-20C",
                                         "NVIDIA H100-2-10C", "NVIDIA H100-1-10C",
                                         "NVIDIA H100-1-5C"};
  EXPECT_EQ(vgpu_of("1g.10gb", h100), "NVIDIA H100-1-10C");
  EXPECT_EQ(vgpu_of("1g.20gb", h100), "NVIDIA H100-1-20C");
  EXPECT_EQ(vgpu_of("7g.80gb", h100), "(none)");
  EXPECT_EQ(vgpu_of("2g.10gb", {"GRID A100D-2-20C", "GRID A100-2-10C"}), "GRID A100-2-10C");
}

TEST(MigVgpuTest, has_its_engines_or_a_name_without_them) {
  const std::vector<std::string> named = {"A100-1-5C", "A100-1-5CME"};
  EXPECT_EQ(vgpu_of("1g.5gb", named), "A100-1-5C");
  EXPECT_EQ(vgpu_of("1g.5gb+me", named), "A100-1-5CME");
  EXPECT_EQ(vgpu_of("1g.5gb+me", {"A100-1-5C"}), "A100-1-5C");
  EXPECT_EQ(vgpu_of("1g.5gb", {"A100-1-5CME"}), "(none)");
  EXPECT_EQ(vgpu_of("1g.24gb-me", {"DC-1-24CNOME", "DC-1-24C"}), "DC-1-24CNOME");
  EXPECT_EQ(vgpu_of("1g.24gb+me.all", {"DC-1-24C", "DC-1-24CMEALL"}), "DC-1-24CMEALL");
  EXPECT_EQ(vgpu_of("1g.24gb+new", {"DC-1-24C"}), "(none)") << "of what is not known, none";
}

TEST(MigVgpuTest, has_graphics_where_the_profile_has) {
  const std::vector<std::string> dc = {"DC-1-24C", "DC-1-24Q", "DC-1-24AGFX", "DC-1-24QGFX"};
  EXPECT_EQ(vgpu_of("1g.24gb+gfx", dc), "DC-1-24QGFX");
  EXPECT_EQ(vgpu_of("1g.24gb", dc), "DC-1-24C");
  EXPECT_EQ(vgpu_of("1g.24gb+gfx", {"DC-1-24C"}), "(none)");
  EXPECT_EQ(vgpu_of("1g.24gb", {"DC-1-24Q"}), "DC-1-24Q");
}

TEST(MigVgpuTest, is_none_of_other_texts) {
  for (const char* profile : {"", "1g", "g.10gb", "1g.gb", "1.10gb", "1g.10", "nvidia-474"})
    EXPECT_EQ(vgpu_of(profile, {"A100-1-10C", "-", "--", "1-10C", "A100-1-"}), "(none)") << profile;
}

TEST(MigPartTest, is_one_word_of_a_claim) {
  const MigPart created{{19, {6, 1}, 7}};
  EXPECT_EQ(format_part(created), "19:6+1:7");
  EXPECT_EQ(format_part({{19, {6, 1}, {}}}), "19:6+1:-");
  EXPECT_EQ(format_part({{0, {0, 8}, 3}, true}), "0:0+8:3:adopted");
  for (const char* text : {"19:6+1:7", "19:6+1:-", "0:0+8:3:adopted"}) {
    const auto part = parse_part(text);
    ASSERT_TRUE(part) << text;
    EXPECT_EQ(format_part(*part), text);
  }
  for (const char* text : {"", "19", "19:6:7", "19:6+1", "19:6+1:x", "19:6+1:-:adopted",
                           "19:6+1:7:else", "19:6+1:7:adopted:x", "x:6+1:7"})
    EXPECT_FALSE(parse_part(text)) << text;
}

/// "ok GPU instance profile: 1g.5gb" of each.
std::vector<std::string> facts_of(const ClaimedDevice& device, const MigCard& card) {
  std::vector<std::string> lines;
  for (const DeviceFact& fact : part_facts(device, card))
    lines.push_back(std::string(state_word(fact.state)) + ' ' + fact.what + ": " +
                    (fact.reason.empty() ? fact.found : fact.reason));
  return lines;
}

class PartFactsTest : public testing::Test {
 protected:
  PartFactsTest() {
    device_.type = "1g.5gb";
    device_.parent = "0000:41:00.0";
    card_.mode = MigCard::Mode::on;
    card_.profiles.push_back({.id = 19, .name = "1g.5gb", .memory_mib = 4864});
    card_.instances = {{7, 19, {6, 1}}, {8, 19, {5, 1}}};
  }
  ClaimedDevice device_{.alias = "", .profile = "", .instance = {}, .parent = {}, .type = {}};
  MigCard card_;
};

/// As of a start that was killed before the driver answered.
TEST_F(PartFactsTest, one_without_an_id_is_looked_for_at_its_place) {
  device_.part = "19:5+1:-";
  EXPECT_THAT(facts_of(device_, card_), testing::ElementsAre("ok GPU instance profile: 1g.5gb",
                                                             "ok GPU instance placement: 5+1"));
  device_.part = "19:4+1:-";
  const DeviceFacts facts = part_facts(device_, card_);
  ASSERT_EQ(facts.size(), 1U);
  EXPECT_EQ(facts[0].expected, "GPU instance at memory slice 4 of 0000:41:00.0");
  EXPECT_EQ(facts[0].found, "none");
}

TEST_F(PartFactsTest, what_the_driver_does_not_list_of_its_profile_is_unknown) {
  device_.part = "19:6+1:7";
  device_.memory_mib = 4864;
  card_.profiles[0].id = 20;
  EXPECT_THAT(facts_of(device_, card_),
              testing::ElementsAre("unknown GPU instance profile: not listed by the driver",
                                   "ok GPU instance placement: 6+1",
                                   "unknown GPU instance memory: not listed by the driver"));
}

}  // namespace
}  // namespace gpuward
