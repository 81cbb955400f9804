// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using nlohmann::json;

class ListTest : public testing::Test {
 protected:
  json list(const std::string& what) {
    testing::internal::CaptureStdout();
    list_command({host_.root(), "", true, false}, what);
    return json::parse(testing::internal::GetCapturedStdout())[what];
  }
  /// One profile of these types; how many domains more can get it.
  unsigned available(const std::string& types) {
    host_.config("[profile p]\ntype = " + types + "\n");
    return list("profiles")[0]["available"].get<unsigned>();
  }
  /// A VF of `card` on which one instance of the type can be made, of `most` on the card.
  void mdev_vf(const std::string& card, const std::string& vf, const std::string& type, int most) {
    host_.parent(vf)
        .type(type, 1)
        .link("physfn", "../" + card)
        .attribute("mdev_supported_types/" + type + "/description",
                   "num_heads=4, framebuffer=12288M, max_instance=" + std::to_string(most));
  }
  FakeHost host_;
};

/// NVIDIA's A2 in one: its types share the card, and the first that has room is given.
TEST_F(ListTest, types_that_share_a_card_are_not_added_up) {
  host_.parent("0000:41:00.0").type("16Q", 1).type("4Q", 4).type("2Q", 8);
  EXPECT_EQ(available("16Q, 4Q, 2Q"), 1U);
  EXPECT_EQ(available("4Q, 2Q"), 4U);
}

TEST_F(ListTest, virtual_functions_share_what_their_card_has) {
  for (const char* const bus : {"41", "42"}) {
    const std::string card = "0000:" + std::string(bus);
    host_.pci_gpu(card + ":00.0");
    for (int number = 0; number < 16; ++number)
      mdev_vf(card + ":00.0",
              card + ":0" + std::to_string(1 + number / 8) + "." + std::to_string(number % 8),
              "12Q", 2);
  }
  EXPECT_EQ(available("12Q"), 4U);
  host_.instance("0000:41:01.0", "12Q", *parse_uuid("00000000-0000-4000-8000-000000000001"));
  EXPECT_EQ(available("12Q"), 3U);
}

TEST_F(ListTest, types_of_vendor_vfs_are_listed_by_their_card) {
  host_.sriov("0000:41:00.0", 2);
  host_.set_vfs("0000:41:00.0", 2);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2"})
    host_.pci_gpu(vf)
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types",
                   "ID    : vGPU Name\n1145  : NVIDIA L40S-1B\n1146  : NVIDIA L40S-2B\n");
  const json types = list("types");
  ASSERT_EQ(types.size(), 2U);
  EXPECT_EQ(types[0]["gpu"], "0000:41:00.0");
  EXPECT_EQ(types[0]["type"], "1145");
  EXPECT_EQ(types[1]["name"], "NVIDIA L40S-2B");
  EXPECT_TRUE(types[0]["available"].is_null()) << "how many together the driver does not report";
}

/// A full card beside an empty one.
TEST_F(ListTest, a_vendor_vf_whose_card_has_no_capacity_is_not_counted) {
  for (const char* const bus : {"41", "42"}) {
    const std::string card = "0000:" + std::string(bus);
    host_.sriov(card + ":00.0", 1);
    host_.set_vfs(card + ":00.0", 1);
    host_.pci_gpu(card + ":00.1")
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types",
                   card == "0000:41" ? "" : "1145 : NVIDIA L40S-1B\n");
  }
  host_.config("[gpu *]\nuse = vendor-vf\n[profile p]\nuse = vendor-vf\ntype = 1145\n");
  EXPECT_EQ(list("profiles")[0]["available"], 1U);
}

}  // namespace
}  // namespace gpuward
