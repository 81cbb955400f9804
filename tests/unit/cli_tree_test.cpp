// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/commands.hpp"
#include "fake_host.hpp"
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

}  // namespace
}  // namespace gpuward
