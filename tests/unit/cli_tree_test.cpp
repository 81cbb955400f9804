// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "fake_host.hpp"
#include "nvml_fixtures.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

const std::vector<TreeNode> two{{"one", {{"first", {{"leaf"}}}, {"last", {{"leaf"}}}}}, {"two"}};

TEST(TreeTest, branches_are_drawn_as_lsblk_draws_them) {
  EXPECT_EQ(format_tree(two, true), "one\n├─first\n│ └─leaf\n└─last\n  └─leaf\ntwo\n");
  EXPECT_EQ(format_tree(two, false), "one\n|-first\n| `-leaf\n`-last\n  `-leaf\ntwo\n");
}

TEST(TreeTest, names_of_others_cannot_draw_lines) {
  EXPECT_EQ(format_tree({{"a\nb", {}}}, false).find('\n'),
            format_tree({{"a\nb", {}}}, false).size() - 1);
}

TEST(TreeTest, the_locale_says_whether_utf8_may_be_printed) {
  ::setenv("LC_ALL", "", 1);
  ::setenv("LC_CTYPE", "C", 1);
  ::setenv("LANG", "de_DE.UTF-8", 1);
  EXPECT_FALSE(is_utf8_locale());
  ::setenv("LC_CTYPE", "", 1);
  EXPECT_TRUE(is_utf8_locale());
  ::setenv("LC_ALL", "POSIX", 1);
  EXPECT_FALSE(is_utf8_locale());
}

std::string tree(const FakeHost& host) {
  ::setenv("LC_ALL", "C", 1);
  testing::internal::CaptureStdout();
  list_tree_command({host.root(), "", 0, false});
  return testing::internal::GetCapturedStdout();
}

ClaimedDevice claimed(Use use, const std::string& address, const std::string& type) {
  ClaimedDevice device{.alias = "ua-gpuward-0",
                       .profile = "p",
                       .instance = {},
                       .parent = "0000:41:00.0",
                       .type = type};
  device.use = use;
  device.address = at(address);
  return device;
}

TEST(ListTreeTest, shows_card_vf_instance_and_domain) {
  FakeHost host;
  host.sriov("0000:41:00.0", 4);
  host.set_vfs("0000:41:00.0", 4);
  for (int number = 1; number <= 4; ++number)
    host.parent("0000:41:00." + std::to_string(number))
        .type("nvidia-559", 1)
        .attribute("mdev_supported_types/nvidia-559/name", "NVIDIA A40-12Q");
  const Uuid one = *parse_uuid("00000000-0000-5000-8000-000000000001");
  host.instance("0000:41:00.2", "nvidia-559", one);
  const Claims claims(host.root());
  claims.make_ready();
  ClaimedDevice device{.alias = "ua-gpuward-0",
                       .profile = "p",
                       .instance = one,
                       .parent = "0000:41:00.2",
                       .type = "nvidia-559"};
  claims.write({*parse_uuid("d0000000-0000-4000-8000-000000000001"), "web01", {device}});
  EXPECT_EQ(tree(host),
            "0000:41:00.0  1234:1111, 12/48 GiB in use\n"
            "|-VF 0000:41:00.2\n"
            "| `-00000000-0000-5000-8000-000000000001  nvidia-559 (NVIDIA A40-12Q), in-use\n"
            "|   `-domain web01\n"
            "`-3 VFs unused\n");
}

TEST(ListTreeTest, of_vendor_vfs_the_vf_is_the_instance) {
  FakeHost host;
  host.sriov("0000:41:00.0", 3);
  host.set_vfs("0000:41:00.0", 3);
  for (const auto& [vf, id] :
       {std::pair("0000:41:00.1", "1153"), {"0000:41:00.2", "1153"}, {"0000:41:00.3", "0"}})
    host.pci_gpu(vf)
        .attribute("nvidia/current_vgpu_type", id)
        .attribute("nvidia/creatable_vgpu_types",
                   std::string_view(id) == "0" ? "1153 : NVIDIA L40S-12Q\n" : "");
  const Claims claims(host.root());
  claims.make_ready();
  claims.write({*parse_uuid("d0000000-0000-4000-8000-000000000001"),
                "web01",
                {claimed(Use::vendor_vf, "0000:41:00.1", "1153")}});
  EXPECT_THAT(tree(host),
              testing::HasSubstr("|-VF 0000:41:00.1  vendor-vf 1153 (NVIDIA L40S-12Q), in-use\n"
                                 "| `-domain web01\n"
                                 "|-VF 0000:41:00.2  vendor-vf 1153 (NVIDIA L40S-12Q), external\n"
                                 "`-1 VF unused\n"));
}

TEST(ListTreeTest, a_whole_card_names_its_domain) {
  FakeHost host;
  host.pci_gpu("0000:41:00.0");
  const Claims claims(host.root());
  claims.make_ready();
  claims.write(
      {*parse_uuid("d0000000-0000-4000-8000-000000000001"), "web01", {whole_card("0000:41:00.0")}});
  EXPECT_THAT(tree(host), testing::HasSubstr("\n`-whole, in-use\n"
                                             "  `-domain web01\n"));
}

// ---- MIG

/// An A100 in MIG mode (tests/nvml) with two VFs, the first of which web01 has with GPU instance 1.
class MigTreeTest : public testing::Test {
 protected:
  MigTreeTest() {
    host_.sriov(card_, 2);
    host_.set_vfs(card_, 2);
    for (const auto& [vf, id] : {std::pair("0000:41:00.1", "474"), {"0000:41:00.2", "0"}})
      host_.pci_gpu(vf)
          .attribute("nvidia/current_vgpu_type", id)
          .attribute("nvidia/creatable_vgpu_types",
                     std::string_view(id) == "0" ? "474 : GRID A100-1-5C\n" : "");
    host_.config("[gpu *]\nuse = mig\n");
    claims_.make_ready();
    claim("19:6+1:1");
    nvml_.add("instance 1 19 6 1 1");
    nvml_.add("instance 2 14 0 2 1");
  }
  void claim(const std::string& part, ClaimedDevice::State state = ClaimedDevice::State::claimed) {
    ClaimedDevice device = claimed(Use::mig, "0000:41:00.1", "1g.5gb");
    device.vgpu = "474";
    device.part = part;
    device.state = state;
    claims_.write({*parse_uuid("d0000000-0000-4000-8000-000000000001"), "web01", {device}});
  }
  /// Of `list gpus`.
  nlohmann::json gpu(int schema = 2) {
    testing::internal::CaptureStdout();
    list_command({host_.root(), "", schema, false}, "gpus");
    return nlohmann::json::parse(testing::internal::GetCapturedStdout())["gpus"][0];
  }
  const std::string card_ = "0000:41:00.0";
  FakeHost host_;
  NvmlDouble nvml_{host_.root()};
  Claims claims_{host_.root()};
};

TEST_F(MigTreeTest, gpu_instances_are_below_the_card_with_the_domain_that_has_them) {
  EXPECT_THAT(tree(host_), testing::HasSubstr("|-GPU instance 2  2g.10gb, placement 0+2, external\n"
                                              "|-GPU instance 1  1g.5gb, placement 6+1, in-use\n"
                                              "| `-domain web01\n"
                                              "|-VF 0000:41:00.1  mig 1g.5gb (MIG 1g.5gb), in-use\n"
                                              "| `-domain web01\n"
                                              "`-1 VF unused\n"));
  const nlohmann::json domain{{"name", "web01"}, {"uuid", "d0000000-0000-4000-8000-000000000001"}};
  EXPECT_EQ(gpu()["gpu_instances"], (nlohmann::json{{{"id", 2},
                                                     {"profile", "2g.10gb"},
                                                     {"placement", {{"start", 0}, {"size", 2}}},
                                                     {"memory", 9856},
                                                     {"state", "external"},
                                                     {"domain", nullptr}},
                                                    {{"id", 1},
                                                     {"profile", "1g.5gb"},
                                                     {"placement", {{"start", 6}, {"size", 1}}},
                                                     {"memory", 4864},
                                                     {"state", "in-use"},
                                                     {"domain", domain}}}));
  EXPECT_FALSE(gpu(1).contains("gpu_instances"));
}

/// A release would leave it, too.
TEST_F(MigTreeTest, one_with_the_id_of_the_claim_elsewhere_is_another_one) {
  claim("19:5+1:1");
  EXPECT_THAT(tree(host_), testing::HasSubstr("|-GPU instance 1  1g.5gb, placement 5+1, missing\n"
                                              "| `-domain web01\n"
                                              "|-GPU instance 1  1g.5gb, placement 6+1, external\n"
                                              "|-VF"));
  claim("19:6+1:4");
  EXPECT_THAT(tree(host_), testing::HasSubstr("GPU instance 1  1g.5gb, placement 6+1, external"));
}

TEST_F(MigTreeTest, one_that_is_being_created_or_removed_is_the_domains) {
  claim("19:6+1:-");
  EXPECT_THAT(tree(host_), testing::HasSubstr("GPU instance 1  1g.5gb, placement 6+1, in-use\n"));
  claim("19:5+1:-");
  EXPECT_THAT(tree(host_), testing::HasSubstr("GPU instance  1g.5gb, placement 5+1, missing\n"));
  EXPECT_EQ(gpu()["gpu_instances"][1]["id"], nullptr);
  claim("19:6+1:1", ClaimedDevice::State::quarantined);
  EXPECT_THAT(tree(host_),
              testing::HasSubstr("GPU instance 1  1g.5gb, placement 6+1, quarantined\n"));
}

TEST_F(MigTreeTest, while_a_claim_cannot_be_read_it_is_unknown_whose_they_are) {
  write_file_atomically(host_.root().at("/run/gpuward/claims/d0000000-0000-4000-8000-000000000002"),
                        "nonsense\n");
  testing::internal::CaptureStderr();
  EXPECT_THAT(
      tree(host_),
      testing::AllOf(testing::HasSubstr("GPU instance 2  2g.10gb, placement 0+2, unknown\n"),
                     testing::HasSubstr("GPU instance 1  1g.5gb, placement 6+1, in-use\n")));
  testing::internal::GetCapturedStderr();
}

TEST_F(MigTreeTest, a_card_that_does_not_answer_has_unknown_ones) {
  nvml_.add("returns DeviceGetMigMode 999");
  EXPECT_THAT(tree(host_), testing::HasSubstr("\n|-GPU instances unknown: gpuward-nvml: "));
  EXPECT_EQ(gpu()["gpu_instances"], nullptr);
  EXPECT_TRUE(gpu().contains("gpu_instances"));
  nvml_.set("mig off\n");
  claims_.drop(*parse_uuid("d0000000-0000-4000-8000-000000000001"));
  EXPECT_EQ(gpu()["gpu_instances"], nlohmann::json::array());
  EXPECT_THAT(tree(host_), testing::Not(testing::HasSubstr("GPU instance")));
}

TEST_F(MigTreeTest, a_card_is_asked_once_and_not_while_it_is_used_as_something_else) {
  const NvmlWatch watch(host_.root());
  tree(host_);
  EXPECT_EQ(watch.asked(), "list\n");
  host_.config("[gpu *]\nuse = vendor-vf\n");
  EXPECT_THAT(tree(host_), testing::Not(testing::HasSubstr("GPU instance")));
  EXPECT_FALSE(gpu().contains("gpu_instances"));
  EXPECT_EQ(watch.asked(), "list\n");
}

}  // namespace
}  // namespace gpuward
