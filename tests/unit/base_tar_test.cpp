// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/tar.hpp"

#include <gtest/gtest.h>

#include "base/child_process.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

/// What GNU tar makes of it.
class TarTest : public testing::Test {
 protected:
  std::string tar(const std::vector<std::string>& arguments) {
    write_file_atomically(directory_ / "x.tar", tar_.text());
    std::vector<std::string> all{"-f", directory_ / "x.tar"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return output_of("/usr/bin/tar", all, std::chrono::seconds(60), 1 << 16, RunAs::ourselves)
        .value_or("tar failed");
  }
  std::string extracted(const std::string& path) {
    EXPECT_EQ(tar({"-x", "-C", directory_.path()}), "");
    return read_file(directory_ / path).value_or("none");
  }
  TempDir directory_;
  Tar tar_{1'000'000'000};
};

TEST_F(TarTest, holds_files_links_and_directories) {
  tar_.add_directory("top/empty");
  tar_.add_file("top/a", "one\n");
  tar_.add_file("top/b", std::string("\0\x01\xff", 3));
  tar_.add_link("top/c", "../a");
  EXPECT_EQ(tar({"-t"}), "top/empty/\ntop/a\ntop/b\ntop/c\n");
  EXPECT_EQ(extracted("top/a"), "one\n");
  EXPECT_EQ(extracted("top/b"), std::string("\0\x01\xff", 3));
  EXPECT_EQ(read_link(directory_ / "top/c"), "../a");
  EXPECT_TRUE(exists(directory_ / "top/empty"));
}

TEST_F(TarTest, files_end_where_a_block_does) {
  for (const size_t size : {0U, 1U, 511U, 512U, 513U, 1024U})
    tar_.add_file("f" + std::to_string(size), std::string(size, 'x'));
  for (const size_t size : {0U, 1U, 511U, 512U, 513U, 1024U})
    EXPECT_EQ(extracted("f" + std::to_string(size)).size(), size);
}

TEST_F(TarTest, names_may_be_longer_than_a_header_has_room_for) {
  const std::string part(60, 'd'), name = part + '/' + part + '/' + part;
  for (const size_t size : {99U, 100U, 101U, 150U}) {
    const std::string path(size, static_cast<char>('a' + size % 26));
    tar_.add_file(path, path);
    tar_.add_link("to" + std::to_string(size), path);
  }
  tar_.add_file(name, "deep");
  EXPECT_EQ(extracted(name), "deep");
  for (const size_t size : {99U, 100U, 101U, 150U}) {
    const std::string path(size, static_cast<char>('a' + size % 26));
    EXPECT_EQ(extracted(path), path);
    EXPECT_EQ(read_link(directory_ / ("to" + std::to_string(size))), path);
  }
}

TEST_F(TarTest, an_empty_archive_is_one) {
  EXPECT_EQ(tar({"-t"}), "");
}

}  // namespace
}  // namespace gpuward
