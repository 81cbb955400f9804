// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/replace_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"

/// Directories alone: the disk has what is in the file, and not its name.
static bool directories_do_not_sync = false;

// Comes before the C library's.
extern "C" int fsync(int fd) {
  struct stat info;
  if (directories_do_not_sync && ::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace gpuward {
namespace {

class ReplaceFileTest : public testing::Test {
 protected:
  ReplaceFileTest() { make_directories(top()); }
  std::string top() const { return host_.root().prefix + "/home/user"; }
  std::string path(const std::string& name) const { return top() + '/' + name; }
  FakeHost host_;
};

TEST_F(ReplaceFileTest, keeps_owner_and_mode) {
  write_file_atomically(path("a.xml"), "before");
  ASSERT_EQ(::chmod(path("a.xml").c_str(), 04640), 0);
  const bool is_root = ::geteuid() == 0;
  if (is_root) {
    ASSERT_EQ(::chown(path("a.xml").c_str(), 1000, 1001), 0);
    ASSERT_EQ(::chmod(path("a.xml").c_str(), 04640), 0);
  }
  replace_file(path("a.xml"), "after");
  EXPECT_EQ(read_file(path("a.xml")), "after");
  struct stat info;
  ASSERT_EQ(::stat(path("a.xml").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 04640u);
  if (is_root) {
    EXPECT_EQ(info.st_uid, 1000u);
    EXPECT_EQ(info.st_gid, 1001u);
  }
  EXPECT_EQ(list_directory(top()), std::vector<std::string>{"a.xml"}) << "nothing is left over";
}

TEST_F(ReplaceFileTest, leaves_a_link_as_it_is) {
  write_file_atomically(path("real.xml"), "before");
  ASSERT_EQ(::symlink("real.xml", path("link.xml").c_str()), 0);
  replace_file(path("link.xml"), "after");
  EXPECT_EQ(read_link(path("link.xml")), "real.xml");
  EXPECT_EQ(read_file(path("real.xml")), "after");
}

TEST_F(ReplaceFileTest, does_not_write_through_a_link_at_the_old_temporary_name) {
  write_file_atomically(path("a.xml"), "before");
  write_file_atomically(path("victim"), "untouched");
  const std::string temporary = path("a.xml") + ".tmp" + std::to_string(::getpid());
  ASSERT_EQ(::link(path("victim").c_str(), temporary.c_str()), 0);
  replace_file(path("a.xml"), "after");
  EXPECT_EQ(read_file(path("victim")), "untouched");
}

TEST_F(ReplaceFileTest, refuses_what_is_no_file) {
  EXPECT_THROW(replace_file(path("none.xml"), ""), Error);
  EXPECT_THROW(replace_file(top(), ""), Error);
}

TEST_F(ReplaceFileTest, installs_a_file_where_there_is_none_and_replaces_one_that_is_known) {
  const mode_t before = ::umask(077);
  install_file(path("a.conf"), "one", Present::no);
  ::umask(before);
  EXPECT_EQ(read_file(path("a.conf")), "one");
  struct stat info;
  ASSERT_EQ(::stat(path("a.conf").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0644u);
  EXPECT_EQ(info.st_nlink, 1u);
  EXPECT_THROW(install_file(path("a.conf"), "two", Present::no), Error);
  EXPECT_EQ(read_file(path("a.conf")), "one") << "another may have written it meanwhile";
  install_file(path("a.conf"), "three", Present::yes);
  EXPECT_EQ(read_file(path("a.conf")), "three");
  EXPECT_EQ(list_directory(top()), std::vector<std::string>{"a.conf"}) << "nothing is left over";
}

TEST_F(ReplaceFileTest, says_that_the_file_is_there_where_the_directory_does_not_sync) {
  std::string why;
  directories_do_not_sync = true;
  try {
    install_file(path("a.conf"), "one", Present::no);
  } catch (const Error& error) {
    why = error.what();
  }
  directories_do_not_sync = false;
  EXPECT_EQ(why, path("a.conf") +
                     ": the file is in place, but its directory cannot be synced: Input/output "
                     "error; after a power failure it may be as before; run: sync");
  EXPECT_EQ(read_file(path("a.conf")), "one");
}

}  // namespace
}  // namespace gpuward
