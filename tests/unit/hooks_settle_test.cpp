// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/settle.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/file.hpp"
#include "base/lock.hpp"
#include "domain/claim.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

const Uuid web = *parse_uuid("d0000000-0000-4000-8000-000000000001");

struct SettleTest : testing::Test {
  SettleTest() { Claims(root_).make_ready(); }
  std::optional<Lock> guard() {
    return Lock::acquire(root_.run("lock"), pool_lock, milliseconds(0));
  }
  FakeHost host_;
  const Root& root_ = host_.root();
  const std::string file_ = root_.run("claims/.settle-") + to_string(web);
};

TEST_F(SettleTest, asks_nobody_when_there_is_no_guard) {
  const std::string claims = root_.run("claims");
  const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  std::filesystem::last_write_time(claims, long_ago);
  const auto before = host_.tree("/run");
  let_pools_settle(root_, web, milliseconds(60'000));
  EXPECT_EQ(host_.tree("/run"), before);
  EXPECT_EQ(std::filesystem::last_write_time(claims), long_ago) << "nothing was ever there";
}

TEST_F(SettleTest, returns_when_the_guard_has_looked) {
  const auto lock = guard();
  const auto start = Clock::now();
  std::thread answer([&] {
    while (!exists(file_)) std::this_thread::yield();
    std::this_thread::sleep_for(milliseconds(30));
    remove_file(file_);
  });
  let_pools_settle(root_, web, milliseconds(60'000));
  const auto waited = Clock::now() - start;
  answer.join();
  EXPECT_GE(waited, milliseconds(30));
  EXPECT_LT(waited, milliseconds(30'000));
}

TEST_F(SettleTest, waits_no_longer_than_it_may_and_leaves_nothing) {
  const auto lock = guard();
  let_pools_settle(root_, web, milliseconds(20));
  EXPECT_FALSE(exists(file_));
}

TEST_F(SettleTest, does_not_wait_for_a_guard_that_went) {
  auto lock = guard();
  std::thread end([&] {
    while (!exists(file_)) std::this_thread::yield();
    lock.reset();
  });
  const auto start = Clock::now();
  let_pools_settle(root_, web, milliseconds(60'000));
  end.join();
  EXPECT_LT(Clock::now() - start, milliseconds(30'000));
  EXPECT_FALSE(exists(file_));
}

TEST_F(SettleTest, asking_is_no_claim) {
  write_file_atomically(file_, "");
  std::vector<Claims::Broken> broken;
  EXPECT_TRUE(Claims(root_).all(&broken).empty());
  EXPECT_TRUE(broken.empty());
}

}  // namespace
}  // namespace gpuward
