// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using Names = std::vector<std::string>;

class FileTest : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) {
    write_file_atomically(dir_ / name, text);
    return dir_ / name;
  }
  std::string link(const std::string& name, const std::string& target) {
    EXPECT_EQ(::symlink(target.c_str(), (dir_ / name).c_str()), 0);
    return dir_ / name;
  }
  unsigned mode(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 0777;
  }
  TempDir dir_;
};

int code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const SystemError& error) {
    return error.code;
  }
  return 0;
}

TEST(FdTest, closes_its_descriptor_once) {
  int number;
  {
    Fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = fd.get();
    Fd moved(std::move(fd));
    EXPECT_EQ(moved.get(), number);
    EXPECT_NE(::fcntl(number, F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST(FdTest, assignment_closes_what_was_there) {
  Fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = fd.get();
  fd = Fd();
  EXPECT_FALSE(fd);
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST_F(FileTest, reads_back_what_was_written) {
  const std::string text("line\n\0binary\xff", 13);
  EXPECT_EQ(read_file(file("a", text)), text);
}

TEST_F(FileTest, reads_more_than_one_buffer) {
  const std::string text(100'000, 'x');
  EXPECT_EQ(read_file(file("a", text)), text);
}

TEST_F(FileTest, an_absent_file_is_nothing_an_empty_one_is_empty) {
  EXPECT_EQ(read_file(dir_ / "absent"), std::nullopt);
  EXPECT_EQ(read_file(file("a", "") + "/below"), std::nullopt);
  EXPECT_EQ(read_file(dir_ / "a"), "");
}

TEST_F(FileTest, reads_up_to_the_limit_and_not_beyond) {
  file("a", std::string(100, 'x'));
  EXPECT_EQ(read_file(dir_ / "a", 100)->size(), 100u);
  EXPECT_THROW(read_file(dir_ / "a", 99), Error);
}

TEST_F(FileTest, what_is_no_regular_file_is_refused_by_name_and_nobody_waits) {
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  for (const std::string& path : {dir_.path(), dir_ / "pipe", std::string("/dev/zero")}) {
    try {
      read_file(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

TEST_F(FileTest, an_attribute_is_trimmed) {
  EXPECT_EQ(read_attribute(file("a", "  0x10de \n")), "0x10de");
  EXPECT_EQ(read_attribute(file("b", "\n")), "");
}

TEST_F(FileTest, an_attribute_that_cannot_be_read_is_not_absent) {
  EXPECT_EQ(read_attribute(dir_ / "absent"), std::nullopt);
  EXPECT_THROW(read_attribute(dir_.path()), SystemError);
  EXPECT_EQ(read_optional_attribute(dir_.path()), std::nullopt);
}

TEST_F(FileTest, an_attribute_is_never_read_through_a_link) {
  file("a", "secret");
  EXPECT_THROW(read_attribute(link("link", "a")), SystemError);
}

TEST_F(FileTest, writing_replaces_the_whole_file) {
  file("a", "long text of before");
  EXPECT_EQ(read_file(file("a", "new")), "new");
}

TEST_F(FileTest, writing_leaves_no_temporary_file) {
  file("a", "x");
  EXPECT_EQ(list_directory(dir_.path()), Names{"a"});
}

TEST_F(FileTest, failing_to_replace_leaves_no_temporary_file_and_the_old_one) {
  ASSERT_EQ(::mkdir((dir_ / "a").c_str(), 0700), 0);
  EXPECT_EQ(code_of([&] { write_file_atomically(dir_ / "a", "x"); }), EISDIR);
  EXPECT_EQ(list_directory(dir_.path()), Names{"a"});
}

TEST_F(FileTest, writing_where_there_is_no_directory_fails) {
  EXPECT_EQ(code_of([&] { write_file_atomically(dir_ / "absent/a", "x"); }), ENOENT);
}

TEST_F(FileTest, writing_replaces_a_link_instead_of_following_it) {
  const std::string victim = file("victim", "keep");
  link("a", "victim");
  file("a", "new");
  EXPECT_EQ(read_file(victim), "keep");
  EXPECT_EQ(read_link(dir_ / "a"), std::nullopt);
}

TEST_F(FileTest, a_link_set_up_as_temporary_file_is_not_followed) {
  const std::string victim = file("victim", "keep");
  link("a.tmp" + std::to_string(::getpid()), "victim");
  EXPECT_EQ(code_of([&] { write_file_atomically(dir_ / "a", "x"); }), ELOOP);
  EXPECT_EQ(read_file(victim), "keep");
}

TEST_F(FileTest, a_reader_sees_the_old_text_or_the_new_never_half) {
  const std::string old_text(50'000, 'a'), new_text(60'000, 'b');
  const std::string path = file("a", old_text);
  const auto statuses = in_processes(2, [&](int number) {
    for (int i = 0; i < 200; ++i) {
      if (number == 0) {
        write_file_atomically(path, i % 2 ? old_text : new_text);
        continue;
      }
      const auto text = read_file(path);
      if (text != old_text && text != new_text) return 1;
    }
    return 0;
  });
  EXPECT_EQ(statuses, (std::vector<int>{0, 0}));
}

TEST_F(FileTest, files_get_the_mode_asked_for) {
  const auto mask = ::umask(022);
  file("a", "x");
  write_file_atomically(dir_ / "b", "x", 0600);
  EXPECT_EQ(mode(dir_ / "a"), 0644u);
  EXPECT_EQ(mode(dir_ / "b"), 0600u);
  ::umask(mask);
}

TEST_F(FileTest, a_directory_is_listed_sorted_and_without_dots) {
  for (const char* name : {"b", "a", ".hidden", "10", "9"}) file(name, "");
  EXPECT_EQ(list_directory(dir_.path()), (Names{".hidden", "10", "9", "a", "b"}));
}

TEST_F(FileTest, no_directory_lists_nothing) {
  EXPECT_TRUE(list_directory(dir_ / "absent").empty());
  EXPECT_TRUE(list_directory(file("a", "")).empty());
}

TEST_F(FileTest, a_link_is_read_as_written) {
  EXPECT_EQ(read_link(link("link", "../no/where")), "../no/where");
  EXPECT_EQ(read_link(file("a", "")), std::nullopt);
  EXPECT_EQ(read_link(dir_ / "absent"), std::nullopt);
}

TEST_F(FileTest, a_dangling_link_exists) {
  EXPECT_TRUE(exists(link("link", "nowhere")));
  EXPECT_FALSE(exists(dir_ / "nowhere"));
}

TEST_F(FileTest, directories_are_made_all_the_way_and_again) {
  make_directories(dir_ / "a/b/c");
  make_directories(dir_ / "a/b/c/");
  EXPECT_EQ(list_directory(dir_ / "a/b"), Names{"c"});
}

TEST_F(FileTest, a_directory_below_a_file_cannot_be_made) {
  file("a", "");
  EXPECT_EQ(code_of([&] { make_directories(dir_ / "a/b"); }), ENOTDIR);
}

TEST_F(FileTest, removing_twice_is_well) {
  file("a", "");
  remove_file(dir_ / "a");
  remove_file(dir_ / "a");
  EXPECT_FALSE(exists(dir_ / "a"));
}

TEST_F(FileTest, removing_a_directory_as_a_file_fails) {
  EXPECT_NE(code_of([&] { remove_file(dir_.path()); }), 0);
  EXPECT_TRUE(exists(dir_.path()));
}

/// In a mount namespace of its own, which takes root.
TEST_F(FileTest, a_full_filesystem_is_named) {
  const auto statuses = in_processes(1, [&](int) {
    if (::unshare(CLONE_NEWNS) != 0) return 77;
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
    if (::mount("none", dir_.path().c_str(), "tmpfs", 0, "size=8k") != 0) return 77;
    try {
      write_file_durably(dir_ / "a", std::string(100'000, 'x'));
    } catch (const SystemError& error) {
      const std::string text = error.what();
      return text.find("filesystem " + dir_.path() +
                       " is full: No space left on device; run: df -h -i " + dir_.path()) !=
                         std::string::npos &&
                     error.code == ENOSPC && list_directory(dir_.path()).empty()
                 ? 0
                 : 1;
    }
    return 2;
  });
  if (statuses[0] == 77) GTEST_SKIP() << "needs root";
  EXPECT_EQ(statuses[0], 0);
}

TEST_F(FileTest, what_is_written_durably_is_there_and_nothing_beside_it) {
  make_directory_durably(dir_ / "one/two");
  make_directory_durably(dir_ / "one/two");
  write_file_durably(dir_ / "one/two/a", "first");
  write_file_durably(dir_ / "one/two/a", "later");
  EXPECT_EQ(read_file(dir_ / "one/two/a"), "later");
  EXPECT_EQ(list_directory(dir_ / "one/two"), Names{"a"});
  remove_file_durably(dir_ / "one/two/a");
  remove_file_durably(dir_ / "one/two/a");
  EXPECT_TRUE(list_directory(dir_ / "one/two").empty());
}

TEST(BaseNameTest, is_the_part_behind_the_last_slash) {
  EXPECT_EQ(base_name("/sys/class/mtty"), "mtty");
  EXPECT_EQ(base_name("mtty"), "mtty");
  EXPECT_EQ(base_name("a/"), "");
}

}  // namespace
}  // namespace gpuward
