// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/lock.hpp"

#include <fcntl.h>

#include <cerrno>
#include <thread>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/retried.hpp"

namespace gpuward {

using Clock = std::chrono::steady_clock;

static struct flock range(uint64_t number) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(number & 0x3fffffffffffffff);
  lock.l_len = 1;
  return lock;
}

/// fcntl(2) has no timeout. Waiting twice as long each time, a lone waiter comes at most as late
/// again as it had to wait anyway, and eighty of them do not keep the holder from its processor.
static bool lock_within(const Fd& fd, struct flock lock, std::chrono::milliseconds deadline) {
  std::optional<Clock::time_point> end;  // a free lock, which is the rule, asks no clock
  auto pause = std::chrono::microseconds(200);
  while (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EACCES) throw SystemError("cannot lock", errno);
    if (!end) end = Clock::now() + deadline;
    if (Clock::now() >= *end) return false;
    std::this_thread::sleep_for(pause);
    if (pause < std::chrono::milliseconds(50)) pause *= 2;
  }
  return true;
}

std::optional<Lock> Lock::acquire(const std::string& file, uint64_t number,
                                  std::chrono::milliseconds deadline) {
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
  Fd fd(retried([&] { return ::open(file.c_str(), flags, 0600); }));
  if (!fd) throw SystemError("cannot open lock " + file, errno);
  if (!lock_within(fd, range(number), deadline)) return {};
  return Lock(std::move(fd));
}

bool Lock::is_held(const std::string& file, uint64_t number) {
  const Fd fd(retried([&] { return ::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW); }));
  if (!fd && is_absence(errno)) return false;
  if (!fd) throw SystemError("cannot open lock " + file, errno);
  struct flock lock = range(number);
  if (retried([&] { return ::fcntl(fd.get(), F_OFD_GETLK, &lock); }) != 0)
    throw SystemError("cannot read lock " + file, errno);
  return lock.l_type != F_UNLCK;
}

}  // namespace gpuward
