// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/joined.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/text.hpp"
#include "base/uuid.hpp"
#include "base/verdict.hpp"

namespace gpuward {
namespace {

using Parts = std::vector<std::string_view>;

// ---- reason

TEST(ReasonTest, is_one_line_or_a_statement_and_a_hint) {
  const Reason reason{"GPU 0", "in use", "run: gpuward list"};
  EXPECT_EQ(to_string(reason), "GPU 0: in use; run: gpuward list");
  EXPECT_EQ(without_remedy(reason), "GPU 0: in use");
  EXPECT_EQ(hint(reason), "gpuward list");
  EXPECT_EQ(hint({{}, {}, "check: journalctl -k"}), "check: journalctl -k");
}

TEST(ReasonTest, leaves_out_what_it_does_not_have) {
  EXPECT_EQ(to_string(Reason{{}, "in use", {}}), "in use");
  EXPECT_EQ(to_string(Reason{{}, "in use", "stop the domain"}), "in use; stop the domain");
  EXPECT_EQ(to_string(Reason{"GPU 0", {}, {}}), "GPU 0");
}

TEST(ReasonTest, is_about_an_outer_object) {
  EXPECT_EQ(about("domain 'web01'", {"GPU 0", "in use", "wait"}),
            (Reason{"domain 'web01': GPU 0", "in use", "wait"}));
  EXPECT_EQ(about("domain 'web01'", {{}, "in use", {}}), (Reason{"domain 'web01'", "in use", {}}));
}

TEST(ReasonTest, an_error_carries_it_and_says_all_of_it) {
  const Error error("GPU 0", "in use", "run: gpuward list");
  EXPECT_STREQ(error.what(), "GPU 0: in use; run: gpuward list");
  EXPECT_EQ(error.reason.remedy, "run: gpuward list");
  EXPECT_EQ(SystemError("cannot open x", 2).reason.problem,
            "cannot open x: No such file or directory");
}

// ---- uuid

constexpr Uuid dns{{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f,
                    0xd4, 0x30, 0xc8}};  // RFC 4122 appendix C

TEST(UuidTest, is_read_in_either_case_and_written_in_lower_case) {
  const auto uuid = parse_uuid("6BA7B810-9dad-11D1-80b4-00c04fd430C8");
  ASSERT_TRUE(uuid);
  EXPECT_EQ(*uuid, dns);
  EXPECT_EQ(to_string(*uuid), "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
}

TEST(UuidTest, other_texts_are_none) {
  for (const std::string_view text :
       {"", "6ba7b810", "6ba7b810-9dad-11d1-80b4-00c04fd430c",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c88", "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
        "6ba7b8109dad-11d1-80b4-00c04fd430c8-", "{6ba7b810-9dad-11d1-80b4-00c04fd430}",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8\n", " 6ba7b810-9dad-11d1-80b4-00c04fd430c",
        "6ba7b810.9dad.11d1.80b4.00c04fd430c8", "../../../../../../../../../etc/passwd"})
    EXPECT_EQ(parse_uuid(text), std::nullopt) << text;
}

TEST(UuidTest, a_nul_byte_inside_does_not_cut_it_short) {
  std::string text = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  for (size_t i = 0; i < text.size(); ++i) {
    std::string broken = text;
    broken[i] = '\0';
    EXPECT_EQ(parse_uuid(broken), std::nullopt) << i;
  }
}

TEST(UuidTest, names_give_the_uuids_of_the_rfc) {
  // RFC 9562 A.4; the others by Python's uuid.uuid5
  EXPECT_EQ(to_string(name_uuid(dns, "www.example.com")), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
  EXPECT_EQ(to_string(name_uuid(dns, "python.org")), "886313e1-3b8a-5372-9b90-0c9aee199e5d");
  EXPECT_EQ(to_string(name_uuid(dns, "Gr\u00fc\u00dfe")), "d608d6cd-4cee-54a1-8e24-8ca9de8ac858");
}

TEST(UuidTest, namespace_and_name_both_count) {
  const Uuid other{};
  EXPECT_EQ(name_uuid(dns, "a"), name_uuid(dns, "a"));
  EXPECT_NE(name_uuid(dns, "a"), name_uuid(dns, "b"));
  EXPECT_NE(name_uuid(dns, "a"), name_uuid(other, "a"));
  EXPECT_NE(name_uuid(dns, ""), name_uuid(dns, std::string_view("\0", 1)));
}

// ---- PCI address

TEST(PciAddressTest, is_read_and_written_as_sysfs_names_it) {
  for (const std::string text : {"0000:00:00.0", "0000:41:00.0", "ffff:ff:1f.7", "0001:0a:1b.3"}) {
    const auto address = parse_pci_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
  }
}

TEST(PciAddressTest, has_its_parts_where_they_belong) {
  EXPECT_EQ(parse_pci_address("0002:41:1d.5"), (PciAddress{2, 0x41, 0x1d, 5}));
}

TEST(PciAddressTest, the_domain_may_have_32_bits) {
  EXPECT_EQ(parse_pci_address("10000:e1:00.0"), (PciAddress{0x10000, 0xe1, 0, 0}));
  EXPECT_EQ(parse_pci_address("ffffffff:00:00.0")->domain, 0xffffffffu);
  EXPECT_EQ(to_string(PciAddress{0x10000, 0xe1, 0, 0}), "10000:e1:00.0");
}

TEST(PciAddressTest, other_texts_are_none) {
  for (const std::string_view text : {"",
                                      "mtty",
                                      ":",
                                      "41:00.0",
                                      "000:41:00.0",
                                      "0000:41:00",
                                      "0000:41:00.",
                                      "0000:41:00.8",
                                      "0000:41:20.0",
                                      "0000:141:00.0",
                                      "0000:4:00.0",
                                      "0000:41:0.0",
                                      "0000:41:00:0",
                                      "0000.41.00.0",
                                      "0000:41:00.0 ",
                                      " 0000:41:00.0",
                                      "0000:41:00.0\n",
                                      "0000:41:00.00",
                                      "100000000:41:00.0",
                                      "00g0:41:00.0",
                                      "0000:-1:00.0",
                                      "0000:+1:00.0",
                                      "0x00:41:00.0",
                                      "-000:41:00.0",
                                      "0000:41:00.-"})
    EXPECT_EQ(parse_pci_address(text), std::nullopt) << text;
}

// ---- text

TEST(TextTest, trim_takes_blanks_from_both_ends_only) {
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim(" \n "), "");
}

TEST(TextTest, split_keeps_empty_parts) {
  EXPECT_EQ(split("a, b ,c", ','), (Parts{"a", "b", "c"}));
  EXPECT_EQ(split(",", ','), (Parts{"", ""}));
  EXPECT_EQ(split("", ','), (Parts{""}));
}

TEST(JoinedTest, puts_the_separator_between_and_keeps_empty_parts) {
  EXPECT_EQ(joined(std::vector<std::string>{"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(joined(std::set<std::string>{"b", "a"}, "; "), "a; b");
  EXPECT_EQ(joined(Parts{"", "a", ""}, ","), ",a,");
  EXPECT_EQ(joined(Parts{}), "");
  EXPECT_EQ(joined(std::vector<int>{1, 2}, "+", [](int n) { return std::to_string(n); }), "1+2");
}

TEST(TextTest, a_number_is_the_whole_text) {
  EXPECT_EQ(to_number<unsigned>("42"), 42u);
  EXPECT_EQ(to_number<int>("-1"), -1);
  for (const std::string_view text :
       {"", " 1", "1 ", "1x", "0x10", "+1", "-1", "4294967296", "1.5"})
    EXPECT_EQ(to_number<unsigned>(text), std::nullopt) << text;
}

// ---- root, verdict, error

TEST(RootTest, puts_a_whole_host_into_a_directory) {
  EXPECT_EQ(Root{}.sys("class"), "/sys/class");
  EXPECT_EQ(Root{}.run("claims"), "/run/gpuward/claims");
  const Root root{"/tmp/host"};
  EXPECT_EQ(root.proc("1/fd"), "/tmp/host/proc/1/fd");
  EXPECT_EQ(root.etc("gpuward"), "/tmp/host/etc/gpuward");
  EXPECT_EQ(root.dev("vfio"), "/tmp/host/dev/vfio");
}

TEST(VerdictTest, is_allowed_or_has_a_reason) {
  EXPECT_TRUE(Verdict::allow());
  EXPECT_FALSE(Verdict::deny({"x", "why", {}}));
  EXPECT_EQ(Verdict::deny({"x", "why", {}}).reason.problem, "why");
}

TEST(ErrorTest, a_failed_system_call_ends_with_the_text_of_its_errno) {
  const SystemError error("cannot open x", ENOENT);
  EXPECT_STREQ(error.what(), "cannot open x: No such file or directory");
  EXPECT_EQ(error.code, ENOENT);
}

}  // namespace
}  // namespace gpuward
