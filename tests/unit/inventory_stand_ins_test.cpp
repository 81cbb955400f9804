// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/stand_ins.hpp"

#include <gtest/gtest.h>

#include "fake_host.hpp"
#include "mdev/provisioned.hpp"

namespace gpuward {
namespace {

const std::string web01 = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";
const std::string db02 = "73168fe1-3c40-5430-b083-344f87e93219";

TEST(StandInsTest, serial_numbers_keep_their_form) {
  StandIns stand_ins;
  EXPECT_EQ(stand_ins.serial("48-b0-2d-ff-ff-12-34-56"), "00-00-00-00-00-00-00-01");
  EXPECT_EQ(stand_ins.serial("692223001234"), "000000000002");
  EXPECT_EQ(stand_ins.serial("48b02dffff123456"), "0000000000000001") << "the same one";
  EXPECT_EQ(stand_ins.serial("48B02DFFFF123456"), "0000000000000001") << "in either case";
  EXPECT_EQ(stand_ins.serial("PCB-99"), "000-03");
}

TEST(StandInsTest, zeros_are_no_serial_number) {
  StandIns stand_ins;
  EXPECT_EQ(stand_ins.serial(""), "");
  EXPECT_EQ(stand_ins.serial("0000000000000000"), "0000000000000000");
}

TEST(StandInsTest, short_serial_numbers_stay_different) {
  StandIns stand_ins;
  std::set<std::string> seen;
  for (int number = 1; number < 200; ++number)
    EXPECT_TRUE(seen.insert(stand_ins.serial("s" + std::to_string(number))).second) << number;
}

TEST(StandInsTest, uuids_stay_uuids) {
  StandIns stand_ins;
  EXPECT_EQ(stand_ins.in_text("GPU-" + web01 + " and " + db02 + ", " + web01),
            "GPU-00000000-0000-4000-8000-000000000001 and 00000000-0000-4000-8000-000000000002, "
            "00000000-0000-4000-8000-000000000001");
  EXPECT_EQ(stand_ins.in_text("00000000-0000-0000-0000-000000000000"),
            "00000000-0000-0000-0000-000000000000")
      << "it is nobody's";
  EXPECT_EQ(stand_ins.in_text("a" + web01), "a" + web01) << "no UUID";
}

TEST(StandInsTest, uuids_of_provisioned_instances_are_kept) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 4);
  const Uuid own = provisioned_uuid("mtty", "mtty-1", 0), other = *parse_uuid(web01);
  host.instance("mtty", "mtty-1", own);
  host.instance("mtty", "mtty-1", other);
  StandIns stand_ins;
  keep_provisioned(host.root(), stand_ins);
  EXPECT_EQ(stand_ins.uuid(own), own);
  EXPECT_NE(stand_ins.uuid(other), other);
}

TEST(StandInsTest, domains_are_numbered) {
  StandIns stand_ins;
  EXPECT_EQ(stand_ins.in_text("domain " + web01 + " web 01\nboot -\n"),
            "domain 00000000-0000-4000-8000-000000000001 domain-1\nboot -\n");
  EXPECT_EQ(stand_ins.in_text("domain 'db02': GPU 0 of domain 'web 01' is in use"),
            "domain 'domain-2': GPU 0 of domain 'domain-1' is in use");
  EXPECT_EQ(stand_ins.in_text("domain XML line 12"), "domain XML line 12");
}

TEST(StandInsTest, owners_are_numbered) {
  StandIns stand_ins;
  EXPECT_EQ(stand_ins.in_text("state completed\nowner team-a\nmdev claimed\n"),
            "state completed\nowner owner-1\nmdev claimed\n");
  EXPECT_EQ(stand_ins.in_text("owner -\n"), "owner -\n");
  EXPECT_EQ(stand_ins.in_text("does not match domain 'web01' with owner 'team-a'"),
            "does not match domain 'domain-1' with owner 'owner-1'");
}

TEST(StandInsTest, domains_are_replaced_in_a_list) {
  StandIns stand_ins;
  EXPECT_EQ(stand_ins.in_text("by domains 'web01', 'web 02', 'a' and 3 others; domain 'a'"),
            "by domains 'domain-1', 'domain-2', 'domain-3' and 3 others; domain 'domain-3'");
}

TEST(StandInsTest, the_journal_does_not_name_patterns) {
  StandIns stand_ins;
  EXPECT_EQ(stand_ins.in_journal("[quota acme-*] (/etc/a.conf:3): total = 1 would be exceeded\n"
                                 "allow = acme-*, owner:team-? (/etc/a.conf:4) does not match\n"),
            "[quota domain-1*] (/etc/a.conf:3): total = 1 would be exceeded\n"
            "allow = domain-1*, owner:owner-1? (/etc/a.conf:4) does not match\n");
}

TEST(StandInsTest, the_journal_does_not_name_the_host) {
  StandIns stand_ins("gpu01");
  EXPECT_EQ(stand_ins.in_journal("on gpu01: gpu010, gpu01.example\n"),
            "on host: gpu010, host.example\n");
}

TEST(StandInsTest, a_configuration_keeps_its_lines_but_not_its_comments) {
  StandIns stand_ins;
  EXPECT_EQ(stand_ins.in_config("# of the customer ACME\n"
                                "[gpu 10de:2235]  ; the old one\n"
                                "expect = serial:0324, uuid:GPU-" +
                                web01 +
                                "\n"
                                "\n"
                                "[quota acme-*]\n"
                                "[quota web01]\n"
                                "[quota *-acme-[0-9]]\n"
                                "total = 3\n"
                                "[quota owner:ml-*]\n"
                                "[profile p]\n"
                                "allow = web01, owner:ml-*,\n"
                                "  owner:acme\n"
                                "type = nvidia-63\n"),
            "\n"
            "[gpu 10de:2235] \n"
            "expect = serial:0001, uuid:GPU-00000000-0000-4000-8000-000000000001\n"
            "\n"
            "[quota domain-1*]\n"
            "[quota domain-2]\n"
            "[quota *domain-3]\n"
            "total = 3\n"
            "[quota owner:owner-1*]\n"
            "[profile p]\n"
            "allow = domain-2, owner:owner-1*, \n"
            " owner:owner-2\n"
            "type = nvidia-63\n");
}

TEST(StandInsTest, records_of_devices_tell_nothing) {
  HostRecord record;
  record.files["var/lib/gpuward/used/0000:41:00.0~1a2b3c4d"].text =
      "gpuward-record 1\ndevice 0000:41:00.0\nserial 48-b0-2d-ff-ff-12-34-56\ndomain " + web01 +
      " web01\nrecord used\n";
  record.files["var/lib/gpuward/used/0000:42:00.0"].text = "db02\n";
  StandIns stand_ins;
  const auto files = with_stand_ins(record, stand_ins);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files.at("var/lib/gpuward/used/0000:41:00.0~00000001").text,
            "gpuward-record 1\ndevice 0000:41:00.0\nserial 00-00-00-00-00-00-00-02\ndomain "
            "00000000-0000-4000-8000-000000000001 domain-1\nrecord used\n");
  EXPECT_EQ(files.at("var/lib/gpuward/used/0000:42:00.0").text, "domain-2\n") << "of 0.1.0";
}

}  // namespace
}  // namespace gpuward
