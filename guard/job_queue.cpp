// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/job_queue.hpp"

#include <utility>

namespace gpuward {

JobQueue::JobQueue(unsigned threads) : working_(threads) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

void JobQueue::post(Task task) {
  {
    const std::scoped_lock lock(mutex_);
    ready_.push_back(std::move(task));
  }
  changed_.notify_one();
}

void JobQueue::post_at(Clock::time_point when, Task task) {
  {
    const std::scoped_lock lock(mutex_);
    later_.emplace(when, std::move(task));
  }
  changed_.notify_one();
}

/// The next task that is due; none when the threads are to end.
JobQueue::Task JobQueue::next(std::unique_lock<std::mutex>& lock) {
  for (;;) {
    if (stopping_) return {};
    if (!ready_.empty()) {
      Task task = std::move(ready_.front());
      ready_.pop_front();
      return task;
    }
    if (later_.empty()) {
      changed_.wait(lock);
    } else if (later_.begin()->first <= Clock::now()) {
      return std::move(later_.extract(later_.begin()).mapped());
    } else {
      const auto when = later_.begin()->first;
      changed_.wait_until(lock, when);
    }
  }
}

void JobQueue::work() {
  std::unique_lock lock(mutex_);
  while (Task task = next(lock)) {
    lock.unlock();
    task();
    task = {};  // what it holds may take a lock to release it
    lock.lock();
  }
  --working_;
  changed_.notify_all();
}

bool JobQueue::stop(std::chrono::milliseconds deadline) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  if (!changed_.wait_for(lock, deadline, [this] { return working_ == 0; })) return false;
  lock.unlock();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  return true;
}

}  // namespace gpuward
