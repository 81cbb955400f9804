// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/claim_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using State = ClaimedDevice::State;
using testing::HasSubstr;

const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid db02 = *parse_uuid("00000000-1d52-d8f3-2516-782e98ab3fa0");
const Uuid gpu0 = *parse_uuid("73168fe1-3c40-5430-b083-344f87e93219");
const Uuid gpu1 = *parse_uuid("6e94b1dc-7c4f-5131-a5a9-6f0b20f13488");

Claim claim_of(const Uuid& domain, const std::string& name) {
  return {domain,
          name,
          {{State::claimed, "ua-gpuward-0", "small", gpu0, "mbochs", "mbochs-small"},
           {State::quarantined, "ua-gpuward-1", "big_1.0+x", gpu1, "0000:41:00.0", "nvidia-745"}}};
}

void expect_same(const Claim& a, const Claim& b) {
  EXPECT_EQ(a.domain, b.domain);
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.owner, b.owner);
  ASSERT_EQ(a.devices.size(), b.devices.size());
  for (size_t i = 0; i < a.devices.size(); ++i) EXPECT_TRUE(a.devices[i] == b.devices[i]) << i;
}

std::string error_of(std::string_view text) {
  try {
    parse_claim(text, "FILE");
  } catch (const Error& error) {
    return error.what();
  }
  return "(good)";
}

Claim pci_claim() {
  Claim claim{web01, "web01", {}};
  ClaimedDevice device{State::claimed, "ua-gpuward-0", "big", {}, "0000:41:00.0", "-"};
  device.use = Use::whole;
  device.address = *parse_pci_address("0000:41:00.0");
  device.scrub = "/usr/sbin/scrub";
  device.one_time = true;
  claim.devices.push_back(device);
  device = {State::quarantined, "ua-gpuward-1", "quarter", {}, "0000:42:00.0", "1145"};
  device.use = Use::vendor_vf;
  device.address = *parse_pci_address("10000:42:00.4");
  claim.devices.push_back(device);
  return claim;
}

// ---- the text

TEST(ClaimTextTest, of_pci_devices_is_readable_too) {
  const std::string text = format_claim(pci_claim());
  EXPECT_EQ(text,
            "gpuward-claim 3\n"
            "domain 4dea22b3-1d52-d8f3-2516-782e98ab3fa0 web01\n"
            "boot -\n"
            "state started\n"
            "owner -\n"
            "whole claimed ua-gpuward-0 big 0000:41:00.0 0000:41:00.0 - scrub=/usr/sbin/scrub "
            "one-time\n"
            "vendor-vf quarantined ua-gpuward-1 quarter 10000:42:00.4 0000:42:00.0 1145\n");
  expect_same(parse_claim(text, "FILE"), pci_claim());
}

TEST(ClaimTextTest, a_pci_device_needs_an_address_and_a_known_use) {
  const std::string head = "gpuward-claim 1\ndomain 4dea22b3-1d52-d8f3-2516-782e98ab3fa0 web01\n";
  for (const std::string line :
       {"whole claimed a p 4dea22b3-1d52-d8f3-2516-782e98ab3fa0 x -", "whole claimed a p x x -",
        "mdev claimed a p 0000:41:00.0 mbochs t", "off claimed a p 0000:41:00.0 x -",
        "part claimed a p 0000:41:00.0 x -", "vf claimed a p 0000:41:00.0 x - scrub=rm",
        "vf claimed a p 0000:41:00.0 x - often", "vf claimed a p 0000:41:00.0 x"})
    EXPECT_THAT(error_of(head + line + '\n'), HasSubstr("claim file FILE line 3: invalid line"))
        << line;
}

TEST(ClaimedDeviceTest, is_the_same_by_what_names_it_on_the_host) {
  const Claim pci = pci_claim();
  const Claim mdev = claim_of(db02, "db02");
  EXPECT_TRUE(is_same_device(pci.devices[0], pci.devices[0]));
  EXPECT_FALSE(is_same_device(pci.devices[0], pci.devices[1]));
  EXPECT_FALSE(is_same_device(pci.devices[0], mdev.devices[0]));
  EXPECT_TRUE(is_same_device(mdev.devices[0], mdev.devices[0]));
  EXPECT_FALSE(is_same_device(mdev.devices[0], mdev.devices[1]));
}

TEST(ClaimTextTest, is_readable_by_people) {
  EXPECT_EQ(format_claim(claim_of(web01, "web 01")),
            "gpuward-claim 3\n"
            "domain 4dea22b3-1d52-d8f3-2516-782e98ab3fa0 web 01\n"
            "boot -\n"
            "state started\n"
            "owner -\n"
            "mdev claimed ua-gpuward-0 small 73168fe1-3c40-5430-b083-344f87e93219 mbochs "
            "mbochs-small\n"
            "mdev quarantined ua-gpuward-1 big_1.0+x 6e94b1dc-7c4f-5131-a5a9-6f0b20f13488 "
            "0000:41:00.0 nvidia-745\n");
}

TEST(ClaimTextTest, reads_back_as_written_whatever_the_name) {
  for (const std::string name :
       {"web01", "two words", "  blanks at both ends  ", "-rf", "Gr\u00fc\u00dfe \u65e5\u672c",
        "a'b\"c", "mdev claimed x", "tab\there", "\xff\xfe no UTF-8", "..", "a/b", " "}) {
    const Claim claim = claim_of(web01, name);
    expect_same(parse_claim(format_claim(claim), "FILE"), claim);
  }
}

TEST(ClaimTextTest, a_claim_without_devices_reads_back) {
  const Claim claim{web01, "web01", {}};
  expect_same(parse_claim(format_claim(claim), "FILE"), claim);
}

TEST(ClaimTextTest, every_state_reads_back) {
  for (const State state : {State::claimed, State::quarantined}) {
    Claim claim = claim_of(web01, "web01");
    claim.devices[0].state = state;
    EXPECT_EQ(parse_claim(format_claim(claim), "FILE").devices[0].state, state);
  }
}

TEST(ClaimTextTest, every_process_that_works_for_the_claim_reads_back) {
  Claim claim = claim_of(web01, "web01");
  claim.devices[1].writer = {4711, 99};
  claim.devices[0].scrub_process = {4712, 0};
  const std::string text = format_claim(claim);
  EXPECT_THAT(text, HasSubstr(" 0000:41:00.0 nvidia-745 writer=4711@99\n"));
  EXPECT_THAT(text, HasSubstr(" mbochs-small scrub-pid=4712\n"));
  expect_same(parse_claim(text, "FILE"), claim);
  for (const std::string word :
       {"writer=", "writer=0", "writer=-1", "writer=x", "4711", "writer=1 x", "writer=1@",
        "writer=1@x", "writer=1@0", "writer=@1", "scrub-pid=", "scrub-pid=0", "maker=0"}) {
    std::string bad = text;
    bad.replace(bad.find("writer=4711@99"), 14, word);
    EXPECT_THAT(error_of(bad), HasSubstr("FILE line 7: ")) << word;
  }
}

TEST(ClaimTextTest, boot_and_state_read_back) {
  Claim claim = claim_of(web01, "web01");
  claim.boot = "0f0f0f0f-1d52-d8f3-2516-782e98ab3fa0";
  claim.completed = true;
  const std::string text = format_claim(claim);
  EXPECT_THAT(text,
              HasSubstr("\nboot 0f0f0f0f-1d52-d8f3-2516-782e98ab3fa0\nstate completed\nowner -\n"));
  EXPECT_EQ(parse_claim(text, "FILE").boot, claim.boot);
  EXPECT_TRUE(parse_claim(text, "FILE").completed);
}

TEST(ClaimTextTest, has_the_memory_and_the_isolation_of_a_fraction) {
  const std::string line =
      "mdev claimed ua-gpuward-0 nvidia-560 4dea22b3-1d52-d8f3-2516-782e98ab3fa0 0000:41:00.4 "
      "nvidia-560";
  for (const char* const rest :
       {"", " memory=4096", " fraction=memory", " memory=4096 fraction=memory+compute compute=25",
        " compute=100", " memory=4864 part=19:6+1:- vgpu=474 group=7", " writer=4711@12 attributes",
        " attributes memory=4096"}) {
    const auto device = parse_device(line + rest);
    ASSERT_TRUE(device) << rest;
    EXPECT_EQ(format_device(*device), line + rest);
  }
  for (const char* const rest :
       {" memory=0", " memory=", " memory=4GiB", " memory=-1", " fraction=", " fraction=compute",
        " fractions=memory", " compute=0", " compute=101",
        " compute=", " part=", " vgpu=", " vgpu=x", " group=", " group=-1"})
    EXPECT_FALSE(parse_device(line + rest)) << rest;
}

TEST(ClaimTextTest, version_1_is_read) {
  const Claim claim = parse_claim(
      "gpuward-claim 1\ndomain 4dea22b3-1d52-d8f3-2516-782e98ab3fa0 web01\n"
      "whole quarantined ua-gpuward-0 big 0000:41:00.0 0000:41:00.0 - maker=7 scrubber=8 "
      "scrub=/usr/sbin/scrub one-time\n",
      "FILE");
  EXPECT_TRUE(claim.completed);
  EXPECT_EQ(claim.boot, "");
  ASSERT_EQ(claim.devices.size(), 1u);
  EXPECT_EQ(claim.devices[0].writer, (Process{7, 0}));
  EXPECT_EQ(claim.devices[0].scrub_process, (Process{8, 0}));
  EXPECT_TRUE(claim.devices[0].one_time);
}

TEST(ClaimTextTest, version_2_is_read_and_has_no_owner) {
  const Claim claim = parse_claim(
      "gpuward-claim 2\ndomain 4dea22b3-1d52-d8f3-2516-782e98ab3fa0 web01\nboot -\n"
      "state completed\nmdev claimed ua-gpuward-0 small 73168fe1-3c40-5430-b083-344f87e93219 a b\n",
      "FILE");
  EXPECT_TRUE(claim.completed);
  EXPECT_EQ(claim.owner, "");
  EXPECT_EQ(claim.devices.size(), 1u);
}

TEST(ClaimTextTest, the_owner_reads_back) {
  Claim claim = claim_of(web01, "web01");
  claim.owner = "team-a@example.org";
  const std::string text = format_claim(claim);
  EXPECT_THAT(text, HasSubstr("\nowner team-a@example.org\n"));
  EXPECT_EQ(parse_claim(text, "FILE").owner, claim.owner);
  for (const std::string bad : {"owner", "owner ", "owner a b", "owners a", ""}) {
    std::string wrong = text;
    wrong.replace(wrong.find("owner team-a@example.org"), 24, bad);
    EXPECT_THAT(error_of(wrong), HasSubstr("FILE line 5: invalid line")) << bad;
  }
}

TEST(ClaimTextTest, a_newer_version_is_named) {
  EXPECT_THAT(error_of("gpuward-claim 4\n"), HasSubstr("FILE line 1: "));
  EXPECT_THAT(error_of("gpuward-claim 4\n"), HasSubstr("version '4' is not supported"));
}

TEST(ClaimTextTest, cut_at_any_byte_it_is_no_claim_or_one_of_fewer_devices) {
  const std::string text = format_claim(claim_of(web01, "web 01"));
  for (size_t size = 0; size < text.size(); ++size) {
    const std::string cut = text.substr(0, size);
    const bool whole_lines = cut.ends_with('\n') && std::count(cut.begin(), cut.end(), '\n') >= 5;
    EXPECT_THAT(error_of(cut), HasSubstr(whole_lines ? "(good)" : "FILE")) << cut;
  }
}

TEST(ClaimTextTest, a_mistake_is_told_with_file_line_and_what_to_do) {
  const std::string head = "gpuward-claim 1\ndomain " + to_string(web01) + " web01\n";
  EXPECT_THAT(error_of(""), HasSubstr("claim file FILE: incomplete"));
  EXPECT_THAT(error_of("gpuward-claim 9\n"),
              HasSubstr("claim file FILE line 1: version '9' is not supported"));
  EXPECT_THAT(error_of("gpuward-claim 1\ndomain x web01\n"), HasSubstr("FILE line 2: "));
  EXPECT_THAT(error_of(head + "mdev claimed\n"), HasSubstr("FILE line 3: "));
  EXPECT_THAT(error_of(head + "\n"), HasSubstr("FILE line 3: "));
  EXPECT_THAT(error_of(head + "mdev claimed\n"), testing::Not(HasSubstr("remove")));
}

TEST(ClaimTextTest, words_that_may_not_be_part_of_a_path_are_refused) {
  const std::string head = "gpuward-claim 1\ndomain " + to_string(web01) + " web01\n";
  const std::string device = "mdev claimed ua-gpuward-0 small " + to_string(gpu0) + ' ';
  EXPECT_EQ(error_of(head + device + "mbochs mbochs-small\n"), "(good)");
  for (const std::string words :
       {".. mbochs-small", "mbochs ..", ". mbochs-small", "mbochs .", "../../etc mbochs-small",
        "mbochs a/b", "/ x", "mbochs  x", "mbochs", "mbochs x y", "mbochs x "})
    EXPECT_THAT(error_of(head + device + words + '\n'), HasSubstr("FILE line 3: ")) << words;
}

TEST(ClaimTextTest, unknown_words_and_uuids_are_refused) {
  const std::string head = "gpuward-claim 1\ndomain " + to_string(web01) + " web01\n";
  for (const std::string& line :
       {std::string("mdev claimed a b no-uuid p t"), "mdev lost a b " + to_string(gpu0) + " p t",
        "vf held a b " + to_string(gpu0) + " p t", "MDEV held a b " + to_string(gpu0) + " p t"})
    EXPECT_THAT(error_of(head + line + '\n'), HasSubstr("FILE line 3: ")) << line;
}

// ---- the files

class ClaimsTest : public testing::Test {
 protected:
  ClaimsTest() { claims_.make_ready(); }
  std::string path(const std::string& name) { return host_.root().run("claims/" + name); }
  void put(const std::string& name, const std::string& text) {
    write_file_atomically(path(name), text);
  }
  FakeHost host_;
  Claims claims_{host_.root()};
};

TEST_F(ClaimsTest, none_is_nothing) {
  EXPECT_FALSE(claims_.find(web01));
  EXPECT_TRUE(claims_.all().readable.empty());
  EXPECT_FALSE(claims_.stamp(web01));
}

TEST_F(ClaimsTest, a_host_without_the_directory_has_none) {
  const TempDir empty;
  const Claims claims(Root{empty.path()});
  EXPECT_FALSE(claims.find(web01));
  EXPECT_TRUE(claims.all().readable.empty());
  EXPECT_FALSE(claims.is_worked_on(web01));
}

TEST_F(ClaimsTest, make_ready_twice_is_well) {
  EXPECT_NO_THROW(claims_.make_ready());
}

TEST_F(ClaimsTest, finds_what_was_written) {
  claims_.write(claim_of(web01, "web 01"));
  const auto found = claims_.find(web01);
  ASSERT_TRUE(found);
  expect_same(*found, claim_of(web01, "web 01"));
  EXPECT_FALSE(claims_.find(db02));
}

TEST_F(ClaimsTest, what_cannot_be_read_back_is_not_written) {
  const Claim good = claim_of(web01, "web01");
  claims_.write(good);
  const auto with = [&](std::string ClaimedDevice::*word, const char* text) {
    Claim claim = good;
    claim.devices.front().*word = text;
    return claim;
  };
  for (const Claim& claim :
       {with(&ClaimedDevice::parent, ""), with(&ClaimedDevice::type, ""),
        with(&ClaimedDevice::alias, "ua-my alias"), with(&ClaimedDevice::profile, "a/b"),
        with(&ClaimedDevice::type, "..")}) {
    EXPECT_THROW(claims_.write(claim), Error) << format_claim(claim);
    const auto found = claims_.find(web01);
    ASSERT_TRUE(found);
    expect_same(*found, good);
  }
}

TEST_F(ClaimsTest, the_file_is_named_by_the_uuid) {
  claims_.write(claim_of(web01, "../../etc/passwd"));
  EXPECT_EQ(list_directory(path("")), std::vector<std::string>{to_string(web01)});
}

TEST_F(ClaimsTest, dropping_twice_is_well) {
  claims_.write(claim_of(web01, "web01"));
  claims_.drop(web01);
  claims_.drop(web01);
  EXPECT_TRUE(list_directory(path("")).empty());
}

TEST_F(ClaimsTest, lists_all) {
  claims_.write(claim_of(web01, "web01"));
  claims_.write(claim_of(db02, "db02"));
  const auto all = claims_.all().readable;
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "db02");
  EXPECT_EQ(all[1].name, "web01");
}

TEST_F(ClaimsTest, a_broken_one_is_listed_as_broken_beside_the_good_and_stays) {
  claims_.write(claim_of(db02, "db02"));
  put(to_string(web01), "gpuward-claim 1\nrubbish\n");
  const auto [readable, broken] = claims_.all();
  EXPECT_EQ(readable.size(), 1u);
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].file, path(to_string(web01)));
  EXPECT_THAT(broken[0].reason, HasSubstr(path(to_string(web01)) + " line 2: "));
  EXPECT_TRUE(exists(broken[0].file));
  EXPECT_EQ(broken[0].domain, web01);
  try {
    require_readable(claims_.all().unreadable);
    FAIL() << "what the domain has is unknown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(to_string(web01)));
    EXPECT_THAT(error.what(), HasSubstr(path(to_string(web01))));
    EXPECT_THAT(error.what(), HasSubstr("gpuward doctor"));
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("remove")));
  }
}

TEST_F(ClaimsTest, one_that_names_another_domain_is_broken) {
  put(to_string(web01), format_claim(claim_of(db02, "db02")));
  EXPECT_THROW(claims_.find(web01), Error);
  const auto [readable, broken] = claims_.all();
  EXPECT_TRUE(readable.empty());
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_THAT(broken[0].reason, HasSubstr(to_string(db02)));
}

TEST_F(ClaimsTest, a_directory_in_its_place_is_broken) {
  make_directories(path(to_string(web01)));
  const auto [readable, broken] = claims_.all();
  EXPECT_TRUE(readable.empty());
  EXPECT_EQ(broken.size(), 1u);
}

TEST_F(ClaimsTest, files_that_are_named_otherwise_are_none_of_ours) {
  put(to_string(web01) + ".tmp4711", "half of a cl");
  put("README", "hello");
  const auto [readable, broken] = claims_.all();
  EXPECT_TRUE(readable.empty());
  EXPECT_TRUE(broken.empty());
}

TEST_F(ClaimsTest, the_stamp_changes_with_every_write_and_only_then) {
  claims_.write(claim_of(web01, "web01"));
  const auto first = claims_.stamp(web01);
  EXPECT_EQ(claims_.stamp(web01), first);
  claims_.write(claim_of(web01, "web01"));
  EXPECT_NE(claims_.stamp(web01), first);
}

/// The inode of the first file is free again when the third is made, and the clock of the file
/// system ticks only every few milliseconds.
TEST_F(ClaimsTest, the_stamp_of_a_rewritten_claim_never_comes_back) {
  std::vector<std::string> seen;
  for (int i = 0; i < 50; ++i) {
    claims_.write(claim_of(web01, "web01"));
    const auto stamp = claims_.stamp(web01).value();
    EXPECT_THAT(seen, testing::Not(testing::Contains(stamp))) << "write " << i;
    seen.push_back(stamp);
  }
}

TEST_F(ClaimsTest, a_claim_names_the_boot_that_it_is_of) {
  host_.file("/proc/sys/kernel/random/boot_id", "0f0f0f0f-1d52-d8f3-2516-782e98ab3fa0\n");
  claims_.write(claim_of(web01, "web01"));
  EXPECT_EQ(claims_.find(web01)->boot, "0f0f0f0f-1d52-d8f3-2516-782e98ab3fa0");
}

TEST_F(ClaimsTest, the_boot_id_is_read_once) {
  const std::string first = "0f0f0f0f-1d52-d8f3-2516-782e98ab3fa0";
  host_.file("/proc/sys/kernel/random/boot_id", first + '\n');
  claims_.write(claim_of(web01, "web01"));
  host_.file("/proc/sys/kernel/random/boot_id", "11111111-1d52-d8f3-2516-782e98ab3fa0\n");
  claims_.write(claim_of(web01, "web01"));
  EXPECT_EQ(claims_.find(web01)->boot, first);
}

TEST_F(ClaimsTest, temporary_files_of_processes_that_ended_are_swept) {
  host_.process(4712, "gpuward", {});
  put(to_string(web01) + ".tmp4711", "half of a cl");
  put(to_string(web01) + ".tmp4712", "half of a cl");
  put(".reassign-" + to_string(web01) + ".tmp4711", "");
  put("README.tmp4711", "hello");
  claims_.sweep();
  EXPECT_EQ(list_directory(path("")),
            (std::vector<std::string>{to_string(web01) + ".tmp4712", "README.tmp4711"}));
}

// ---- the locks

TEST_F(ClaimsTest, a_domain_is_worked_on_by_one_at_a_time) {
  const auto lock = claims_.lock_domain(web01, std::chrono::seconds(60));
  ASSERT_TRUE(lock);
  EXPECT_TRUE(claims_.is_worked_on(web01));
  EXPECT_FALSE(claims_.lock_domain(web01, std::chrono::milliseconds(0)));
}

TEST_F(ClaimsTest, other_domains_and_the_host_have_locks_of_their_own) {
  const auto lock = claims_.lock_domain(web01, std::chrono::seconds(60));
  EXPECT_FALSE(claims_.is_worked_on(db02));
  EXPECT_TRUE(claims_.lock_domain(db02, std::chrono::milliseconds(0)));
  EXPECT_TRUE(claims_.lock_host(std::chrono::milliseconds(0)));
}

TEST_F(ClaimsTest, the_host_is_locked_by_one_at_a_time) {
  const auto lock = claims_.lock_host(std::chrono::seconds(60));
  EXPECT_FALSE(claims_.lock_host(std::chrono::milliseconds(0)));
  EXPECT_TRUE(claims_.lock_domain(web01, std::chrono::milliseconds(0)));
}

TEST_F(ClaimsTest, a_reader_meets_whole_claims_while_another_writes) {
  const auto statuses = in_processes(2, [&](int number) {
    for (int i = 0; i < 300; ++i) {
      if (number == 0) claims_.write(claim_of(web01, std::string(static_cast<size_t>(i) + 1, 'x')));
      if (number == 1 && claims_.find(web01) && claims_.find(web01)->devices.size() != 2) return 1;
    }
    return 0;
  });
  EXPECT_EQ(statuses, (std::vector<int>{0, 0}));
}

}  // namespace
}  // namespace gpuward
