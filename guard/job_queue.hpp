// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace gpuward {

/// A few threads that do what is posted, in order, now or at a time. A call to libvirt may last as
/// long as a QEMU is blocked; the other domains' turn comes all the same. Without work they sleep.
class JobQueue {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = std::function<void()>;  ///< must not throw

  explicit JobQueue(unsigned threads);
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  void post(Task task);
  void post_at(Clock::time_point when, Task task);

  /// Ends the threads; false when one is still running after `deadline`. Then the process has to
  /// end without it (std::_Exit), and before that nothing of what tasks use may go.
  bool stop(std::chrono::milliseconds deadline);

 private:
  void work();
  Task next(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> ready_;
  std::multimap<Clock::time_point, Task> later_;
  bool stopping_ = false;
  unsigned working_ = 0;  ///< threads that have not ended
  std::vector<std::thread> threads_;
};

}  // namespace gpuward
