// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/gpu_domain_marker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid web02 = *parse_uuid("00000000-1d52-d8f3-2516-782e98ab3fa0");

class GuardedMarkTest : public testing::Test {
 protected:
  TempDir directory_;
  Root root_{directory_.path()};
};

TEST_F(GuardedMarkTest, there_is_none_before_the_first) {
  EXPECT_FALSE(has_gpu_now(root_, web01));
  EXPECT_THAT(guarded_domains(root_), testing::IsEmpty());
  EXPECT_NO_THROW(unmark_guarded(root_, web01));
}

TEST_F(GuardedMarkTest, is_of_one_domain_until_it_is_taken_away) {
  mark_guarded(root_, web01, "web01");
  mark_guarded(root_, web01, "web01");
  EXPECT_TRUE(has_gpu_now(root_, web01));
  EXPECT_FALSE(has_gpu_now(root_, web02));
  EXPECT_THAT(guarded_domains(root_), testing::ElementsAre(web01));
  unmark_guarded(root_, web01);
  unmark_guarded(root_, web01);
  EXPECT_FALSE(has_gpu_now(root_, web01));
}

TEST_F(GuardedMarkTest, others_than_root_can_see_it) {
  const mode_t before = ::umask(022);
  mark_guarded(root_, web01, "web01");
  ::umask(before);
  struct stat info {};
  ASSERT_EQ(::stat(root_.run("guarded").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0755U);
  EXPECT_EQ(read_file(root_.run("guarded/") + to_string(web01)), "web01\n");
}

TEST_F(GuardedMarkTest, a_claim_says_the_same) {
  make_directories(root_.run("claims"));
  write_file_atomically(root_.run("claims/") + to_string(web02), "");
  EXPECT_TRUE(has_gpu_now(root_, web02));
  EXPECT_FALSE(has_gpu_now(root_, web01));
}

}  // namespace
}  // namespace gpuward
