// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/journal.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward::log {
namespace {

TEST(Journal, writes_a_field_a_line) {
  const Field fields[] = {{"MESSAGE", "web01: resumed"}, {"GPUWARD_DOMAIN", "web01"}};
  EXPECT_EQ(journal_entry(fields), "MESSAGE=web01: resumed\nGPUWARD_DOMAIN=web01\n");
}

TEST(Journal, writes_a_value_with_line_ends_with_its_length) {
  const Field fields[] = {{"MESSAGE", "a\nPRIORITY=0"}};
  const std::string length("\x0c\0\0\0\0\0\0\0", 8);
  EXPECT_EQ(journal_entry(fields), "MESSAGE\n" + length + "a\nPRIORITY=0\n");
}

TEST(Journal, hands_the_entry_over_in_one_datagram) {
  const TempDir directory;
  const std::string path = directory / "socket";
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_TRUE(send_to_journal(path, "A=1\nB=2\n"));
  char text[100];
  const ssize_t size = ::recv(fd.get(), text, sizeof text, MSG_DONTWAIT);
  ASSERT_GT(size, 0);
  EXPECT_EQ(std::string(text, static_cast<size_t>(size)), "A=1\nB=2\n");
}

TEST(Journal, says_when_nobody_takes_it) {
  EXPECT_FALSE(send_to_journal("/nonexistent/socket", "A=1\n"));
  EXPECT_FALSE(send_to_journal("/" + std::string(200, 'x'), "A=1\n"));
}

}  // namespace
}  // namespace gpuward::log
