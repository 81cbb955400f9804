// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/stdin_xml.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using End = XmlInput::End;
using std::chrono::milliseconds;
constexpr milliseconds patience{60'000};

/// A process that writes `text` into a pipe in parts, `pause` microseconds after each, and then
/// closes it or keeps it open.
class Writer {
 public:
  enum class Then { closes, stays };
  explicit Writer(const std::string& text, Then then = Then::closes, size_t part = 65536,
                  unsigned pause = 0) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    reader_ = Fd(ends[0]);
    child_ = ::fork();
    if (child_ == 0) {
      ::close(ends[0]);
      std::string_view left = text;
      while (!left.empty()) {
        const ssize_t n = ::write(ends[1], left.data(), std::min(left.size(), part));
        if (n <= 0) ::_exit(1);
        if (pause) ::usleep(pause);
        left.remove_prefix(static_cast<size_t>(n));
      }
      while (then == Then::stays) ::pause();
      ::_exit(0);
    }
    ::close(ends[1]);
  }
  ~Writer() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  int fd() const { return reader_.get(); }

 private:
  Fd reader_;
  pid_t child_ = 0;
};

std::string plain(size_t size) {
  std::string text = "<domain><name>x</name>";
  while (text.size() < size) text += "<!-- nothing -->\n";
  text.resize(size);
  return text;
}

/// The text lives as long as the program; held here, so that no leak checker takes it for lost.
XmlInput read_and_keep(int fd, milliseconds deadline) {
  static auto& texts = *new std::vector<const char*>;  // outlives the leak check too
  const XmlInput input = read_xml(fd, deadline);
  texts.push_back(input.text.data());
  return input;
}

XmlInput read_all(const std::string& text, size_t part = 65536) {
  const Writer writer(text, Writer::Then::closes, part);
  return read_and_keep(writer.fd(), patience);
}

TEST(XmlInputTest, nothing_is_a_domain_without_a_gpu) {
  const XmlInput input = read_all("");
  EXPECT_EQ(input.end, End::whole);
  EXPECT_EQ(input.text, "");
  EXPECT_FALSE(input.may_have_gpu);
}

TEST(XmlInputTest, comes_whole_in_every_size) {
  for (const size_t size : {1UL, 64UL, 3UL << 10, 100UL << 10, (512UL << 10) - 1, 512UL << 10,
                            (512UL << 10) + 1, (16UL << 20) - 1, 16UL << 20}) {
    const std::string text = plain(size);
    const XmlInput input = read_all(text);
    EXPECT_EQ(input.end, End::whole) << size;
    EXPECT_TRUE(input.text == text) << size;
    EXPECT_FALSE(input.may_have_gpu) << size;
  }
}

TEST(XmlInputTest, comes_whole_in_small_parts) {
  const std::string text = plain(3000);
  EXPECT_TRUE(read_all(text, 7).text == text);
}

TEST(XmlInputTest, sees_a_hostdev_and_gpuwards_own_marks) {
  EXPECT_TRUE(read_all("<domain><hostdev/></domain>").may_have_gpu);
  EXPECT_FALSE(read_all("<domain><hostdev/></domain>").names_gpuward);
  const XmlInput ours = read_all("<domain xmlns:g='urn:gpuward:domain:1'/>");
  EXPECT_TRUE(ours.may_have_gpu);
  EXPECT_TRUE(ours.names_gpuward);
  EXPECT_TRUE(read_all("<hostdev><alias name='ua-gpuward-0'/></hostdev>").names_gpuward);
}

TEST(XmlInputTest, sees_a_mark_across_the_parts_of_the_first_buffer) {
  std::string text = plain((512 << 10) - 4);
  text += "<hostdev/>";
  EXPECT_TRUE(read_all(text).may_have_gpu);
}

TEST(XmlInputTest, more_than_that_is_drained_and_its_first_part_kept) {
  const std::string text = plain(20 << 20);
  const XmlInput input = read_all(text);
  EXPECT_EQ(input.end, End::too_large);
  EXPECT_EQ(input.text.size(), largest_xml);
  EXPECT_TRUE(input.text == std::string_view(text).substr(0, largest_xml));
  EXPECT_FALSE(input.may_have_gpu);
}

TEST(XmlInputTest, a_mark_at_the_end_of_a_huge_one_is_seen) {
  const XmlInput input = read_all(plain(20 << 20) + "<x xmlns='urn:gpuward:domain:1'/>");
  EXPECT_TRUE(input.may_have_gpu);
  EXPECT_TRUE(input.names_gpuward);
}

TEST(XmlInputTest, a_device_beyond_what_is_kept_is_seen) {
  const std::string hostdev = "<hostdev mode='subsystem' type='mdev'/>";
  EXPECT_FALSE(read_all(hostdev + plain(20 << 20)).may_have_gpu_beyond);
  EXPECT_FALSE(read_all(plain(20 << 20)).may_have_gpu_beyond);
  for (const size_t before : {size_t{0}, size_t{4}, size_t{1} << 20})
    EXPECT_TRUE(read_all(plain(largest_xml - 4 + before) + hostdev + plain(9)).may_have_gpu_beyond)
        << before;
}

TEST(XmlInputTest, a_mark_anywhere_around_the_end_of_what_is_kept_is_seen) {
  const std::string mark = "urn:gpuward:domain:1";
  for (size_t before = 0; before <= mark.size(); before += 5) {
    const XmlInput input = read_all(plain(largest_xml - before) + mark + plain(100));
    EXPECT_TRUE(input.names_gpuward) << before;
  }
}

TEST(XmlInputTest, a_mark_anywhere_around_the_end_of_a_drained_part_is_seen) {
  const std::string mark = "urn:gpuward:domain:1";
  for (size_t before = 0; before <= mark.size(); before += 5) {
    const XmlInput input = read_all(plain(largest_xml + 2 * 65536 - before) + mark + plain(100));
    EXPECT_TRUE(input.names_gpuward) << before;
  }
}

TEST(XmlInputTest, small_parts_of_a_huge_one_hide_no_mark) {
  const std::string mark = "urn:gpuward:domain:1";
  const Writer writer(plain(largest_xml) + plain(50) + mark, Writer::Then::closes, 4096 + 3);
  EXPECT_TRUE(read_and_keep(writer.fd(), patience).names_gpuward);
}

/// <hostdev in one part and its alias in the next belong together.
TEST(XmlInputTest, a_hostdev_of_a_huge_one_may_be_far_from_its_alias) {
  const XmlInput input = read_all(plain(1000) + "<hostdev>" + plain(20 << 20) +
                                  "<alias name='ua-gpuward-0'/></hostdev>");
  EXPECT_TRUE(input.may_have_gpu);
  EXPECT_TRUE(input.names_gpuward);
}

TEST(XmlInputTest, a_writer_that_never_closes_is_late_and_what_came_is_kept) {
  const Writer writer("<domain><hostdev", Writer::Then::stays);
  pollfd wait{writer.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, static_cast<int>(patience.count())), 1);
  const XmlInput input = read_and_keep(writer.fd(), milliseconds(100));
  EXPECT_EQ(input.end, End::late);
  EXPECT_EQ(input.text, "<domain><hostdev");
  EXPECT_TRUE(input.may_have_gpu);
}

/// One that always writes a little before the time is over would hold libvirt for ever.
TEST(XmlInputTest, a_writer_of_single_bytes_is_late_too) {
  const Writer writer(plain(10'000), Writer::Then::stays, 1, 1000);
  const XmlInput input = read_and_keep(writer.fd(), milliseconds(100));
  EXPECT_EQ(input.end, End::late);
  EXPECT_LT(input.text.size(), 10'000u);
}

TEST(XmlInputTest, a_writer_that_never_writes_is_late) {
  const Writer writer("", Writer::Then::stays);
  const XmlInput input = read_and_keep(writer.fd(), milliseconds(50));
  EXPECT_EQ(input.end, End::late);
  EXPECT_EQ(input.text, "");
}

TEST(XmlInputTest, a_huge_one_that_never_ends_comes_back_too) {
  // All of the time that is given is waited. A busy machine needs more of it until 17 MiB have
  // come.
  End end = End::whole;
  for (int limit = 1'000; limit < 100'000 && end != End::too_large; limit *= 4) {
    const Writer writer(plain(17 << 20), Writer::Then::stays);
    end = read_and_keep(writer.fd(), milliseconds(limit)).end;
  }
  EXPECT_EQ(end, End::too_large);
}

TEST(XmlInputTest, whether_the_domain_came_to_its_end_is_known) {
  for (const size_t size : {100UL, 512UL << 10, (512UL << 10) + 5, largest_xml - 3, 17UL << 20}) {
    EXPECT_TRUE(read_all(plain(size) + "</domain>\n").has_end) << size;
    EXPECT_FALSE(read_all(plain(size)).has_end) << size;
    EXPECT_FALSE(read_all(plain(100) + "</domain>" + plain(size)).has_end) << size;
  }
  EXPECT_FALSE(read_all("").has_end);
  const Writer writer(plain(17 << 20), Writer::Then::stays);
  EXPECT_FALSE(read_and_keep(writer.fd(), milliseconds(100)).has_end);
}

TEST(XmlInputTest, what_cannot_be_read_may_have_a_gpu) {
  EXPECT_TRUE(read_and_keep(-1, milliseconds(50)).may_have_gpu);
  const Fd directory(::open("/", O_RDONLY | O_CLOEXEC));
  const XmlInput input = read_and_keep(directory.get(), milliseconds(60000));
  EXPECT_TRUE(input.may_have_gpu);
  EXPECT_TRUE(input.names_gpuward);
  EXPECT_EQ(input.end, End::failed);
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(read_and_keep(null.get(), milliseconds(50)).end, End::whole);
}

TEST(XmlInputTest, nul_bytes_are_kept) {
  const std::string text("<domain>\0<hostdev", 17);
  const XmlInput input = read_all(text);
  EXPECT_EQ(input.text, text);
  EXPECT_TRUE(input.may_have_gpu);
}

}  // namespace
}  // namespace gpuward
