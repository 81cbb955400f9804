// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <set>

#include "base/file.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "fake_host.hpp"
#include "source_tree.hpp"
#include "started_log.hpp"

namespace gpuward::log {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(Log, finds_the_devices_that_a_line_names) {
  EXPECT_THAT(devices_in("web01: 0000:41:00.0 stays: P is 0000:41:00.1; 0000:41:00.0."),
              ElementsAre("0000:41:00.0", "0000:41:00.1"));
  EXPECT_THAT(devices_in("instance 4dea22b3-1d52-d8f3-2516-782e98ab3fa0, open"),
              ElementsAre("4dea22b3-1d52-d8f3-2516-782e98ab3fa0"));
  EXPECT_THAT(devices_in("/claims/4dea22b3-1d52-d8f3-2516-782e98ab3fa0:1: x, /0000:41:00.0:3"),
              ElementsAre("4dea22b3-1d52-d8f3-2516-782e98ab3fa0", "0000:41:00.0"));
  EXPECT_THAT(devices_in("a: b.c: 12 s, 41:00, ----"), IsEmpty());
  EXPECT_THAT(devices_in(""), IsEmpty());
}

/// What the journal gets of one entry.
std::string entry_of(const std::string& line, const std::vector<Field>& of_program = {}) {
  const TempDir directory;
  const Sockets sockets{directory / "journal", directory / "none"};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  sockets.journal.copy(address.sun_path, sizeof address.sun_path - 1);
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return "(cannot listen)";
  start(To::journal, "test", of_program, sockets);
  warning(line);
  stop();
  char entry[4096];
  const ssize_t size = ::recv(socket.get(), entry, sizeof entry, 0);
  return std::string(entry, size > 0 ? static_cast<size_t>(size) : 0);
}

/// Whoever writes it: gpuward-provision, or a guard that releases what a domain had.
TEST(Log, journalctl_finds_a_line_by_the_domain_that_it_names) {
  EXPECT_THAT(entry_of("instance x: not removed: in use by domain 'web01'"),
              HasSubstr("\nGPUWARD_DOMAIN=web01\n"));
  EXPECT_THAT(entry_of("domain 'a b': VF 0000:41:00.1: x"),
              AllOf(HasSubstr("\nGPUWARD_DOMAIN=a b\n"), HasSubstr("GPUWARD_DEVICE=0000:41:00.1")));
  for (const char* line : {"no domain", "domain 'web01", "domain 'aaa...' (80 bytes)", "domain ''"})
    EXPECT_THAT(entry_of(line), Not(HasSubstr("GPUWARD_DOMAIN"))) << line;
  for (const char* forged : {"in use by domain 'web01' x'", "in use by domain 'web01': 'x'"})
    EXPECT_THAT(entry_of(forged), Not(HasSubstr("GPUWARD_DOMAIN"))) << forged;
  EXPECT_THAT(entry_of("in use by domain 'web02'", {{"GPUWARD_DOMAIN", "web01"}}),
              Not(HasSubstr("GPUWARD_DOMAIN=web02")))
      << "a line of web01";
}

TEST(Log, text_of_others_steers_no_terminal_and_forges_no_line) {
  EXPECT_EQ(printable("a\nb\x1b[2J\x7f\xc2\x9b\xff\xc3"),
            "a\\x0ab\\x1b[2J\\x7f\\xc2\\x9b\\xff\\xc3");
  EXPECT_EQ(printable("Gr\xc3\xbc\xc3\x9f \xe2\x82\xac '\""),
            "Gr\xc3\xbc\xc3\x9f \xe2\x82\xac '\"");
  std::optional<StartedLog> started(std::in_place, To::terminal, "test");
  testing::internal::CaptureStderr();
  const Field fields[] = {{"GPUWARD_DOMAIN", "x\ny"}};
  entry(Severity::warning, Message::warning, "a\nb\x1b", fields);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "test: warning: a\\x0ab\\x1b\n");
  started.emplace(To::service, "test");
  testing::internal::CaptureStderr();
  entry(Severity::warning, Message::warning, "a\nb\x1b", fields);
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      testing::AnyOf("", "<4>a\\x0ab\\x1b GPUWARD_DOMAIN='x\\x0ay'\n"));  // "": a journal has it
}

TEST(Log, a_stream_of_the_journal_is_known_by_its_inode) {
  struct stat info;
  ASSERT_EQ(::fstat(STDERR_FILENO, &info), 0);
  const std::string stream = std::to_string(info.st_dev) + ':' + std::to_string(info.st_ino);
  ::setenv("JOURNAL_STREAM", stream.c_str(), 1);
  EXPECT_TRUE(is_journal(STDERR_FILENO));
  ::setenv("JOURNAL_STREAM", (stream + '0').c_str(), 1);
  EXPECT_FALSE(is_journal(STDERR_FILENO));
  ::unsetenv("JOURNAL_STREAM");
  EXPECT_FALSE(is_journal(STDERR_FILENO));
}

TEST(Messages, the_table_is_in_the_order_of_its_names) {
  size_t number = 0;
  for (const MessageRow& row : messages()) EXPECT_EQ(row.message, static_cast<Message>(number++));
  EXPECT_EQ(static_cast<size_t>(Message::started_anyway) + 1, messages().size());
}

TEST(Messages, have_an_id_and_a_name_of_their_own) {
  std::set<std::string_view> ids, names;
  for (const MessageRow& row : messages()) {
    EXPECT_EQ(row.id.size(), 32U);
    EXPECT_EQ(row.id.find_first_not_of("0123456789abcdef"), row.id.npos) << row.id;
    EXPECT_TRUE(ids.insert(row.id).second) << row.id;
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
  }
}

std::set<std::string> catalog_ids(const std::string& catalog) {
  std::set<std::string> ids;
  for (const std::string_view line : split(catalog, '\n'))
    if (line.starts_with("-- ")) {
      EXPECT_TRUE(ids.insert(std::string(line.substr(3))).second) << line;
    }
  return ids;
}

TEST(Messages, each_has_a_text_in_the_catalog_and_the_catalog_has_no_other) {
  const auto catalog = read_file(in_source_tree("systemd/gpuward.catalog"));
  ASSERT_TRUE(catalog);
  std::set<std::string> ids;
  for (const MessageRow& row : messages()) ids.emplace(row.id);
  EXPECT_EQ(catalog_ids(*catalog), ids);
}

}  // namespace
}  // namespace gpuward::log
