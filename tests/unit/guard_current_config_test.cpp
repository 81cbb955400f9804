// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/current_config.hpp"

#include <sys/stat.h>

#include "config_files.hpp"

namespace gpuward {
namespace {

struct CurrentConfigTest : ConfigFiles {
  Root root() const { return Root{directory_}; }
};

TEST_F(CurrentConfigTest, blocks_all_without_files) {
  const Root root = this->root();
  CurrentConfig config(root);
  EXPECT_EQ(config.get()->guard.pause, Policy::block);
}

TEST_F(CurrentConfigTest, follows_its_files) {
  const Root root = this->root();
  CurrentConfig config(root);
  write(main_file(), "[guard]\npause = allow\n");
  EXPECT_EQ(config.get()->guard.pause, Policy::allow);
  write(drop_in("10-a.conf"), "[guard]\npause = warn\n");
  EXPECT_EQ(config.get()->guard.pause, Policy::warn);
  std::filesystem::remove(drop_in("10-a.conf"));
  EXPECT_EQ(config.get()->guard.pause, Policy::allow);
}

TEST_F(CurrentConfigTest, reads_nothing_again_that_has_not_changed) {
  const Root root = this->root();
  write(main_file(), "[guard]\npause = allow\n");
  CurrentConfig config(root);
  EXPECT_EQ(config.get(), config.get());
}

TEST_F(CurrentConfigTest, keeps_the_last_good_one_when_a_file_breaks) {
  const Root root = this->root();
  write(main_file(), "[guard]\npause = allow\n");
  CurrentConfig config(root);
  write(main_file(), "[guard]\npause = never\n");
  EXPECT_EQ(config.get()->guard.pause, Policy::allow);
  write(main_file(), "[guard]\npause = warn\n");
  EXPECT_EQ(config.get()->guard.pause, Policy::warn);
}

/// As root no mode keeps a directory from being read; a link to itself does.
TEST_F(CurrentConfigTest, keeps_the_last_good_one_while_a_directory_cannot_be_read) {
  const Root root = this->root();
  write(main_file(), "[guard]\npause = allow\n");
  const std::string directory = directory_ + "/etc/gpuward/conf.d";
  std::filesystem::remove_all(directory);
  CurrentConfig config(root);
  ASSERT_EQ(config.get()->guard.pause, Policy::allow);
  std::filesystem::create_symlink("conf.d", directory);
  EXPECT_EQ(config.get()->guard.pause, Policy::allow);
  EXPECT_EQ(config.get_valid(), nullptr);
  std::filesystem::remove(directory);
  EXPECT_NE(config.get_valid(), nullptr);
}

TEST_F(CurrentConfigTest, blocks_all_where_a_directory_cannot_be_read_from_the_start) {
  const Root root = this->root();
  write(main_file(), "[guard]\npause = allow\n");
  std::filesystem::remove_all(directory_ + "/etc/gpuward/conf.d");
  std::filesystem::create_symlink("conf.d", directory_ + "/etc/gpuward/conf.d");
  CurrentConfig config(root);
  EXPECT_EQ(config.get()->guard.pause, Policy::block);
}

TEST_F(CurrentConfigTest, follows_the_mode_of_the_directories_above_its_files) {
  const Root root = this->root();
  write(main_file(), "[guard]\npause = allow\n");
  ::chmod(main_file().c_str(), 0644);
  for (const char* part : {"/etc", "/etc/gpuward", "/etc/gpuward/conf.d"})
    ::chmod((directory_ + part).c_str(), 0755);
  const std::string directory = directory_ + "/etc/gpuward";
  ::chmod(directory.c_str(), 0777);
  CurrentConfig config(root);
  EXPECT_EQ(config.get_valid(), nullptr);
  EXPECT_EQ(config.get()->guard.pause, Policy::block);
  ::chmod(directory.c_str(), 0755);
  ASSERT_NE(config.get_valid(), nullptr);
  EXPECT_EQ(config.get()->guard.pause, Policy::allow);
  ::chmod(directory.c_str(), 0777);
  EXPECT_EQ(config.get_valid(), nullptr);
}

TEST_F(CurrentConfigTest, blocks_all_when_there_never_was_a_good_one) {
  const Root root = this->root();
  write(main_file(), "[guard]\nmigration = allow\npause = never\n");
  CurrentConfig config(root);
  EXPECT_EQ(config.get()->guard.migration, Policy::block);
}

}  // namespace
}  // namespace gpuward
