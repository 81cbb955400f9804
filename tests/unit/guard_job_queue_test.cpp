// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/job_queue.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace gpuward {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(JobQueue, do_what_is_posted) {
  JobQueue workers(2);
  std::promise<int> done;
  workers.post([&] { done.set_value(7); });
  EXPECT_EQ(done.get_future().get(), 7);
  EXPECT_TRUE(workers.stop(seconds(10)));
}

TEST(JobQueue, go_on_while_one_of_them_hangs) {
  JobQueue workers(2);
  std::promise<void> release, done;
  auto released = release.get_future().share();
  workers.post([released] { released.wait(); });
  workers.post([&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_FALSE(workers.stop(milliseconds(1))) << "one still hangs";
  release.set_value();
  EXPECT_TRUE(workers.stop(seconds(10)));
}

TEST(JobQueue, do_what_is_due_and_not_what_is_not) {
  JobQueue workers(1);
  std::atomic<bool> early = false;
  std::promise<void> done;
  workers.post_at(JobQueue::Clock::now() + hours(1), [&] { early = true; });
  workers.post_at(JobQueue::Clock::now() + milliseconds(5), [&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_TRUE(workers.stop(seconds(10)));
  EXPECT_FALSE(early);
}

TEST(JobQueue, keep_the_order) {
  JobQueue workers(1);
  std::string order;
  std::promise<void> done;
  for (const char c : {'a', 'b', 'c'}) workers.post([&order, c] { order += c; });
  workers.post([&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_EQ(order, "abc");
  EXPECT_TRUE(workers.stop(seconds(10)));
}

}  // namespace
}  // namespace gpuward
