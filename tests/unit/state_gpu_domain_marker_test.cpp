// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/gpu_domain_marker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
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
  EXPECT_NO_THROW(unmark_gpu_domain(root_, web01));
}

TEST_F(GuardedMarkTest, is_of_one_domain_until_it_is_taken_away) {
  mark_gpu_domain(root_, web01, "web01");
  mark_gpu_domain(root_, web01, "web01");
  EXPECT_TRUE(has_gpu_now(root_, web01));
  EXPECT_FALSE(has_gpu_now(root_, web02));
  EXPECT_THAT(guarded_domains(root_), testing::ElementsAre(web01));
  unmark_gpu_domain(root_, web01);
  unmark_gpu_domain(root_, web01);
  EXPECT_FALSE(has_gpu_now(root_, web01));
}

TEST_F(GuardedMarkTest, others_than_root_can_see_it) {
  const mode_t before = ::umask(022);
  mark_gpu_domain(root_, web01, "web01");
  ::umask(before);
  struct stat info {};
  ASSERT_EQ(::stat(root_.run("gpu-domains").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0755U);
  EXPECT_EQ(read_file(root_.run("gpu-domains/") + to_string(web01)), "web01\n");
}

TEST_F(GuardedMarkTest, keeps_the_devices_that_the_domain_started_with) {
  StartedDevices devices;
  devices.memory = {{"dimm", 524288, 524288}, {"virtio-mem", 1048576, 4096}};
  devices.hostdevs = {"0000:41:00.0", to_string(web02)};
  mark_gpu_domain(root_, web01, "web 01", &devices);
  const auto found = started_devices(root_, web01);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->memory.size(), 2U);
  EXPECT_EQ(found->memory[1].model, "virtio-mem");
  EXPECT_EQ(found->memory[1].size, 1048576U);
  EXPECT_EQ(found->memory[1].kib, 4096U);
  EXPECT_EQ(found->hostdevs, devices.hostdevs);
}

TEST_F(GuardedMarkTest, a_domain_may_start_with_nothing) {
  const StartedDevices nothing;
  mark_gpu_domain(root_, web01, "web01", &nothing);
  ASSERT_TRUE(started_devices(root_, web01));
  EXPECT_TRUE(started_devices(root_, web01)->memory.empty());
}

TEST_F(GuardedMarkTest, devices_that_were_not_recorded_or_cannot_be_read_are_unknown) {
  EXPECT_FALSE(started_devices(root_, web01));
  mark_gpu_domain(root_, web01, "web01");
  EXPECT_FALSE(started_devices(root_, web01)) << "by 0.1.0, or at reconnect";
  for (const char* text : {"web01\ndevices 2\n", "web01\ndevices 1\nmemory dimm 1\n",
                           "web01\ndevices 1\nmemory dimm x 1\n", "web01\ndevices 1\nnet 1\n",
                           "web01\ndevices 1\nhostdev a", "", "\n"}) {
    write_file_atomically(root_.run("gpu-domains/") + to_string(web01), text);
    EXPECT_FALSE(started_devices(root_, web01)) << text;
  }
}

TEST_F(GuardedMarkTest, what_cannot_be_looked_up_is_no_absence) {
  make_directories(root_.at("/run"));
  ASSERT_EQ(::symlink("gpuward", root_.at("/run/gpuward").c_str()), 0);  // ELOOP
  EXPECT_THROW(has_gpu_now(root_, web01), SystemError);
  EXPECT_TRUE(may_have_gpu_now(root_, web01)) << "for the guard it has one";
}

TEST_F(GuardedMarkTest, one_of_the_first_release_counts_until_release) {
  make_directories(root_.run("guarded"));
  write_file_atomically(root_.run("guarded/") + to_string(web01), "web01\n");
  EXPECT_TRUE(has_gpu_now(root_, web01));
  EXPECT_THAT(guarded_domains(root_), testing::ElementsAre(web01));
  unmark_gpu_domain(root_, web01);
  EXPECT_FALSE(has_gpu_now(root_, web01));
  EXPECT_THAT(guarded_domains(root_), testing::IsEmpty());
}

TEST_F(GuardedMarkTest, a_claim_says_the_same) {
  make_directories(root_.run("claims"));
  write_file_atomically(root_.run("claims/") + to_string(web02), "");
  EXPECT_TRUE(has_gpu_now(root_, web02));
  EXPECT_FALSE(has_gpu_now(root_, web01));
}

}  // namespace
}  // namespace gpuward
