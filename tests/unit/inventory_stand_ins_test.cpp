// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/stand_ins.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/journal.hpp"
#include "base/quote.hpp"
#include "fake_host.hpp"
#include "inventory/config_record.hpp"
#include "inventory/journal_record.hpp"
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
      << "the nil UUID names nothing";
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

struct Logged {
  std::string domain;  ///< of its field
  std::string message;
};

/// The messages of a journal with these entries, a line each.
std::string journal(const std::vector<Logged>& entries, StandIns& stand_ins) {
  std::string exported;
  for (const auto& [domain, message] : entries) {
    std::vector<log::Field> fields = {{"__REALTIME_TIMESTAMP", "1764493629000001"},
                                      {"SYSLOG_IDENTIFIER", "gpuward"},
                                      {"_PID", "7"},
                                      {"MESSAGE", message}};
    if (!domain.empty()) fields.push_back({"GPUWARD_DOMAIN", domain});
    exported += log::journal_entry(fields) + '\n';
  }
  std::string text = journal_with_stand_ins(exported, stand_ins);
  const std::string head = "2025-11-30T09:07:09Z gpuward[7]: ";
  for (size_t at; (at = text.find(head)) != text.npos;) text.erase(at, head.size());
  return text;
}

std::string journal(const std::vector<Logged>& entries) {
  StandIns stand_ins;
  return journal(entries, stand_ins);
}

TEST(StandInsTest, the_journal_does_not_name_the_host) {
  StandIns stand_ins("gpu01");
  EXPECT_EQ(journal({{"", "on gpu01: gpu010, gpu01.example"}}, stand_ins),
            "on host: gpu010, host.example\n");
}

TEST(StandInsTest, each_entry_of_the_journal_has_its_time_and_program) {
  StandIns stand_ins;
  const log::Field fields[] = {{"__REALTIME_TIMESTAMP", "1764493629000001"},
                               {"SYSLOG_IDENTIFIER", "gpuward-guard"},
                               {"_PID", "12"},
                               {"MESSAGE", "started"}};
  EXPECT_EQ(journal_with_stand_ins(log::journal_entry(fields), stand_ins),
            "2025-11-30T09:07:09Z gpuward-guard[12]: started\n");
  EXPECT_EQ(journal_with_stand_ins("", stand_ins), "");
}

TEST(StandInsTest, the_journal_names_no_domain_wherever_it_is_named) {
  EXPECT_EQ(journal({{"web01", "domain 'web01': in use; run: gpuward reassign web01"},
                     {"", "in use by domains 'db02', 'db03' and 2 more"},
                     {"", "web01: REASSIGNED"},
                     {"", "error: db03: GPU 0"},
                     {"", "run: gpuward reassign db04; then db04.1, xdb04, db040"}}),
            "domain 'domain-1': in use; run: gpuward reassign domain-1\n"
            "in use by domains 'domain-2', 'domain-3' and 2 more\n"
            "domain-1: REASSIGNED\n"
            "error: domain-3: GPU 0\n"
            "run: gpuward reassign domain-4; then domain-4.1, xdb04, db040\n");
}

TEST(StandInsTest, the_journal_names_no_domain_of_a_later_entry_or_of_a_claim) {
  HostRecord record;
  record.files["run/gpuward/claims/" + web01].text =
      "gpuward-claim 2\ndomain " + web01 + " web01\nboot -\nstate started\n";
  StandIns stand_ins;
  with_stand_ins(record, stand_ins);
  EXPECT_EQ(journal({{"", "web01: db02"}, {"db02", ""}}, stand_ins), "domain-1: domain-2\n\n");
}

TEST(StandInsTest, the_longest_name_of_a_domain_is_replaced) {
  EXPECT_EQ(journal({{"web", "web, web-2, web-3"}, {"web-2", "x"}, {"domain", "domain 'web'"}}),
            "domain-1, domain-2, domain-1-3\nx\ndomain-3 'domain-1'\n");
}

TEST(StandInsTest, names_of_domains_may_have_any_letter) {
  const std::string large(100, 'x');
  EXPECT_EQ(journal({{"O'Brien's", domain_title("O'Brien's") + ": " + shell_word("O'Brien's")}}),
            "domain 'domain-1': 'domain-1'\n");
  EXPECT_EQ(journal({{"", "domain 'O'Brien': O'Brien"}}), "domain 'domain-1': domain-1\n");
  EXPECT_EQ(journal({{"a b/c", "a b/c: 'a b/c'"}}), "domain-1: 'domain-1'\n");
  EXPECT_EQ(journal({{"m\u00fcller", "m\u00fcller: x"}}), "domain-1: x\n");
  EXPECT_EQ(journal({{large, domain_title(large)}}), "domain 'domain-1...' (100 bytes)\n");
  EXPECT_EQ(journal({{"", domain_title(large)}}), "domain 'domain-1...' (100 bytes)\n");
  EXPECT_EQ(journal({{"*", "a * b"}, {"", "domain '-': -"}}), "a * b\ndomain '-': -\n")
      << "they say nothing";
}

TEST(StandInsTest, the_journal_has_no_serial_number_and_no_uuid) {
  EXPECT_EQ(journal({{"serial", "found serial:0324, serial: 0325 (serial:0326) 'serial : 0327'"},
                     {"vm-" + web01, "vm-" + web01 + " " + web01}}),
            "found domain-1:0001, domain-1: 0002 (domain-1:0003) 'domain-1 : 0004'\n"
            "domain-2 00000000-0000-4000-8000-000000000001\n");
}

TEST(StandInsTest, the_journal_has_no_pattern_and_no_owner) {
  StandIns stand_ins;
  config_with_stand_ins("[quota acme-?]\n[profile p]\nallow = owner:ml-*\n", stand_ins);
  EXPECT_EQ(journal({{"", "section [quota acme-?]: 'acme-?'; ml-*"},
                     {"", "[quota [ab]cme] [quota web*]: allow = web*, owner:team (x.conf:1)"},
                     {"", "owner 'team' of team"}},
                    stand_ins),
            "section [quota pattern-1]: 'pattern-1'; pattern-2\n"
            "[quota pattern-3] [quota pattern-4]: allow = pattern-4, owner:owner-1 (x.conf:1)\n"
            "owner 'owner-1' of owner-1\n");
}

std::string config(const std::string& text) {
  StandIns stand_ins;
  return config_with_stand_ins(text, stand_ins);
}

TEST(StandInsTest, a_configuration_keeps_its_lines_but_not_its_comments) {
  EXPECT_EQ(config("# of the customer ACME\n"
                   "[gpu 10de:2235]  ; the old one\n"
                   "use = whole # of ACME\n"
                   "expect = serial:0324, uuid:GPU-" +
                   web01 +
                   "\n"
                   "\n"
                   "[quota web01]\n"),
            "\n"
            "[gpu 10de:2235] \n"
            "use = whole\n"
            "expect = serial:0001, uuid:GPU-00000000-0000-4000-8000-000000000001\n"
            "\n"
            "[quota domain-1]\n");
}

TEST(StandInsTest, a_configuration_has_no_serial_number) {
  for (const char* const before : {"expect = serial: ", "expect = serial : ", "expect = serial\t:",
                                   "expect = slot:1,\n  serial:", "expect = serial:\n  ",
                                   "expect = serial\n  :", "expect: serial:", "  Serial: "}) {
    const std::string text = before;
    EXPECT_EQ(config("[gpu *]\n" + text + "AB-03 24, slot:2\n"),
              "[gpu *]\n" + text + "00-00 01, slot:2\n");
  }
}

TEST(StandInsTest, a_configuration_has_no_pattern_of_a_quota) {
  EXPECT_EQ(config("[quota\tacme-*]\n[ quota acme-* ]\n[quota [ab]cme]\n[quota acme-* x]\n"
                   "[quota acme\n[quota *]\n[quotas acme]\n[quota owner:acme]\n"
                   "[quota owner: ml-*]\n\xef\xbb\xbf[quota]\n"),
            "[quota pattern-1]\n[quota pattern-1]\n[quota pattern-2]\n[quota pattern-3]\n"
            "[quota domain-1]\n[quota *]\n[domain-2]\n[quota owner:owner-1]\n"
            "[quota owner:pattern-4]\n\xef\xbb\xbf[quota]\n");
  EXPECT_EQ(config("\xef\xbb\xbf[quota acme]\n[gpu *]\n[profile p]\n[guard]\n"),
            "[quota domain-1]\n[gpu *]\n[profile p]\n[guard]\n");
}

TEST(StandInsTest, a_configuration_has_no_domain_that_a_profile_is_for) {
  EXPECT_EQ(config("[profile p]\nallow = web01 , web-*,\n  owner:team-a ; mine\n\towner:x*\n"
                   "type = nvidia-63,\n  nvidia-64\nallow: db02\n"),
            "[profile p]\nallow = domain-1 , pattern-1,\n  owner:owner-1\n\towner:pattern-2\n"
            "type = nvidia-63,\n  nvidia-64\nallow: domain-2\n");
}

TEST(StandInsTest, claims_name_no_owner) {
  HostRecord record;
  record.files["run/gpuward/claims/" + web01].text = "owner team-a\nowner -\n";
  StandIns stand_ins;
  EXPECT_EQ(with_stand_ins(record, stand_ins).begin()->second.text, "owner owner-1\nowner -\n");
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

TEST(ConfigRecordTest, selectors_by_serial_number_and_uuid_have_stand_ins) {
  StandIns stand_ins;
  const std::string stand_in = stand_ins.serial("692223001234");
  const std::string text =
      config_with_stand_ins("[gpu serial=692223001234]\nuse = off\n[gpu uuid=GPU-" + web01 +
                                "]\n[profile p]\ngpu = serial=692223001234, serial = 77\n",
                            stand_ins);
  EXPECT_THAT(text, testing::HasSubstr("[gpu serial=" + stand_in + "]\nuse = off\n"));
  EXPECT_THAT(text, testing::HasSubstr("gpu = serial=" + stand_in + ", serial = "));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr(web01)));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("77")));
}

}  // namespace
}  // namespace gpuward
