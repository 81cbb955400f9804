// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/journal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/file.hpp"
#include "base/log.hpp"
#include "fake_host.hpp"

namespace gpuward::log {
namespace {

/// A socket that datagrams can be sent to.
Fd listen_at(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  EXPECT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

/// The next datagram; "" when there is none.
std::string received(const Fd& fd) {
  char text[1000];
  const ssize_t size = ::recv(fd.get(), text, sizeof text, MSG_DONTWAIT);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : "";
}

/// Until its receiver, which reads nothing, has no room.
void fill(const std::string& path) {
  while (send_datagram(path, std::string(1000, 'x')) == Sent::yes) {
  }
  EXPECT_EQ(send_datagram(path, "x"), Sent::dropped);
}

TEST(Journal, writes_a_field_a_line) {
  const Field fields[] = {{"MESSAGE", "web01: resumed"}, {"GPUWARD_DOMAIN", "web01"}};
  EXPECT_EQ(journal_entry(fields), "MESSAGE=web01: resumed\nGPUWARD_DOMAIN=web01\n");
}

TEST(Journal, writes_a_value_with_line_ends_with_its_length) {
  const Field fields[] = {{"MESSAGE", "a\nPRIORITY=0"}};
  const std::string length("\x0c\0\0\0\0\0\0\0", 8);
  EXPECT_EQ(journal_entry(fields), "MESSAGE\n" + length + "a\nPRIORITY=0\n");
}

TEST(Journal, exported_entries_are_read_back) {
  const std::string length("\x03\0\0\0\0\0\0\0", 8);
  const std::string text =
      "__CURSOR=s=1;i=2\nMESSAGE\n" + length + "a\nb\nD=1\nD=2\n\n\nMESSAGE=c\n\n";
  const std::vector<Entry> wanted = {
      {{"__CURSOR", "s=1;i=2"}, {"MESSAGE", "a\nb"}, {"D", "1"}, {"D", "2"}}, {{"MESSAGE", "c"}}};
  EXPECT_EQ(exported_entries(text), wanted);
  EXPECT_EQ(exported_entries(""), std::vector<Entry>());
}

TEST(Journal, an_exported_entry_that_is_cut_off_is_none) {
  const std::string length("\x03\0\0\0\0\0\0\0", 8), huge(8, '\xff');
  for (const std::string& rest :
       {std::string(), length.substr(0, 7), length, length + "a\nb", huge})
    EXPECT_EQ(exported_entries("A=1\n\nMESSAGE\n" + rest), std::vector<Entry>({{{"A", "1"}}}))
        << rest.size();
}

TEST(Journal, hands_the_entry_over_in_one_datagram) {
  const TempDir directory;
  const Fd fd = listen_at(directory / "socket");
  EXPECT_EQ(send_datagram(directory / "socket", "A=1\nB=2\n"), Sent::yes);
  EXPECT_EQ(received(fd), "A=1\nB=2\n");
}

TEST(Journal, says_when_nobody_takes_it) {
  EXPECT_EQ(send_datagram("/nonexistent/socket", "A=1\n"), Sent::no);
  EXPECT_EQ(send_datagram("/" + std::string(200, 'x'), "A=1\n"), Sent::no);
}

/// As a hook logs, to a journal and a syslogd of the test's own.
struct LogSocketsTest : testing::Test {
  LogSocketsTest() {
    ::alarm(60);  // ends the program where a line is waited with
    start(To::journal, "hook", {}, {directory_ / "journal", directory_ / "syslog"});
  }
  ~LogSocketsTest() override {
    stop();
    ::alarm(0);
  }
  TempDir directory_;
};

TEST_F(LogSocketsTest, without_a_journal_a_line_goes_to_syslog) {
  const Fd syslog = listen_at(directory_ / "syslog");
  warning("disk full");
  EXPECT_THAT(received(syslog), testing::MatchesRegex("<28>[A-Z][a-z]+ [ 0-9]+:[0-9]+:[0-9]+ hook."
                                                      "[0-9]+.: disk full"));
}

TEST_F(LogSocketsTest, a_journal_that_reads_nothing_is_not_waited_for) {
  const Fd journal = listen_at(directory_ / "journal"), syslog = listen_at(directory_ / "syslog");
  fill(directory_ / "journal");
  error("lost");
  EXPECT_EQ(received(syslog), "") << "it would have to be waited for as well";
}

TEST_F(LogSocketsTest, a_syslogd_that_reads_nothing_is_not_waited_for_either) {
  const Fd syslog = listen_at(directory_ / "syslog");
  fill(directory_ / "syslog");
  error("lost");
  const Fd journal = listen_at(directory_ / "journal");
  fill(directory_ / "journal");
  error("lost");
}

}  // namespace
}  // namespace gpuward::log
