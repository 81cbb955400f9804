// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/settle.hpp"

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/file.hpp"
#include "base/lock.hpp"
#include "fake_host.hpp"
#include "state/claim_store.hpp"
#include "state/paths.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

const Uuid web = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const Uuid mail = *parse_uuid("d0000000-0000-4000-8000-000000000002");

struct SettleTest : testing::Test {
  SettleTest() { Claims(root_).make_ready(); }
  std::optional<Lock> guard() {
    return Lock::acquire(root_.run("lock"), lock_number::reassignment, milliseconds(0));
  }
  std::string file_of(const Uuid& domain) const {
    return root_.run("claims/.reassign-") + to_string(domain);
  }
  FakeHost host_;
  const Root& root_ = host_.root();
  const std::string file_ = file_of(web);
};

TEST_F(SettleTest, asks_nobody_when_there_is_no_guard) {
  const std::string claims = root_.run("claims");
  const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  std::filesystem::last_write_time(claims, long_ago);
  const auto before = host_.tree("/run");
  wait_for_reassignment(root_, web, milliseconds(60'000));
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
  wait_for_reassignment(root_, web, milliseconds(60'000));
  const auto waited = Clock::now() - start;
  answer.join();
  EXPECT_GE(waited, milliseconds(30));
  EXPECT_LT(waited, milliseconds(60'000));
}

TEST_F(SettleTest, waits_no_longer_than_it_may_and_leaves_nothing) {
  const auto lock = guard();
  wait_for_reassignment(root_, web, milliseconds(20));
  EXPECT_FALSE(exists(file_));
}

TEST_F(SettleTest, does_not_wait_for_a_guard_that_went) {
  auto lock = guard();
  std::thread end([&] {
    while (!exists(file_)) std::this_thread::yield();
    lock.reset();
  });
  const auto start = Clock::now();
  wait_for_reassignment(root_, web, milliseconds(60'000));
  end.join();
  EXPECT_LT(Clock::now() - start, milliseconds(60'000));
  EXPECT_FALSE(exists(file_));
}

TEST_F(SettleTest, the_answer_to_one_is_none_to_another) {
  const auto lock = guard();
  std::atomic<bool> mail_waits = true;
  std::thread other([&] {
    wait_for_reassignment(root_, mail, milliseconds(60'000));
    mail_waits = false;
  });
  std::thread answer([&] {
    while (!exists(file_) || !exists(file_of(mail))) std::this_thread::yield();
    remove_file(file_);
  });
  wait_for_reassignment(root_, web, milliseconds(60'000));
  answer.join();
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_TRUE(mail_waits);
  EXPECT_TRUE(exists(file_of(mail)));
  remove_file(file_of(mail));
  other.join();
}

TEST_F(SettleTest, asks_by_a_rename_which_the_guard_is_told_of) {
  const auto lock = guard();
  const Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(watch.get(), root_.run("claims").c_str(), IN_MOVED_TO), 0);
  wait_for_reassignment(root_, web, milliseconds(20));
  alignas(inotify_event) char buffer[4096];
  ASSERT_GT(::read(watch.get(), buffer, sizeof buffer), 0);
  EXPECT_EQ(reinterpret_cast<const inotify_event*>(buffer)->name, base_name(file_));
}

TEST_F(SettleTest, where_it_cannot_ask_it_goes_on) {
  const auto lock = guard();
  std::filesystem::remove_all(root_.run("claims"));
  EXPECT_NO_THROW(wait_for_reassignment(root_, web, milliseconds(60'000)));
}

TEST_F(SettleTest, asking_is_no_claim) {
  write_file_atomically(file_, "");
  const AllClaims claims = Claims(root_).all();
  EXPECT_TRUE(claims.readable.empty());
  EXPECT_TRUE(claims.unreadable.empty());
}

}  // namespace
}  // namespace gpuward
