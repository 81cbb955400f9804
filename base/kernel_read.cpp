// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/kernel_read.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <mutex>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/pipe.hpp"

namespace gpuward {

using std::chrono::milliseconds;

static constexpr size_t most_bytes = 64;

// ---- the child

/// It keeps none of our descriptors, before it may block: libvirt waits for the end of a hook's
/// stdout and stderr, and other processes for our locks.
static bool keep_only(int report) {
  int moved = ::dup2(report, 0);
  while (moved < 0 && (errno == EINTR || errno == EBUSY)) moved = ::dup2(report, 0);
  return moved == 0 && ::close_range(1, ~0U, 0) == 0;
}

static int open_file(const char* path) {
  int file = ::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  while (file < 0 && errno == EINTR) file = ::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  return file;
}

/// One byte first, so that an empty answer is not taken for the end of a child without one.
[[noreturn]] static void read_and_report(const char* path, ReadBytes read, int report) {
  if (!keep_only(report)) ::_exit(1);
  std::array<char, 1 + most_bytes> answer{'='};
  const int file = open_file(path);
  const size_t size = 1 + (file < 0 ? 0 : read(file, &answer[1], most_bytes));
  ssize_t n = ::write(0, answer.data(), size);
  while (n < 0 && errno == EINTR) n = ::write(0, answer.data(), size);
  ::_exit(0);
}

// ---- children that were blocked when they were last waited for

namespace {

struct BlockedReaders {
  std::mutex mutex;
  std::map<std::string, pid_t> of;  ///< by the file that each reads
  Deadline end{};                   ///< of ReadLimit
};

}  // namespace

static BlockedReaders& blocked_readers() {
  static auto& readers = *new BlockedReaders;  // never destroyed: threads may use it until the end
  return readers;
}

/// Whether an earlier child still reads the file: a second would be blocked beside it.
static bool is_still_read(const std::string& path) {
  BlockedReaders& readers = blocked_readers();
  const std::scoped_lock lock(readers.mutex);
  const auto found = readers.of.find(path);
  if (found == readers.of.end()) return false;
  if (::waitpid(found->second, nullptr, WNOHANG) == 0) return true;
  readers.of.erase(found);
  return false;
}

/// Waiting for it would block as well; init reaps it when this program has ended before.
static void abandon(const std::string& path, pid_t child) {
  BlockedReaders& readers = blocked_readers();
  const std::scoped_lock lock(readers.mutex);
  readers.of[path] = child;
}

static void set_end(const Deadline& end) {
  BlockedReaders& readers = blocked_readers();
  const std::scoped_lock lock(readers.mutex);
  readers.end = end;
}

ReadLimit::ReadLimit(const Deadline& end) {
  set_end(end);
}
ReadLimit::~ReadLimit() {
  set_end({});
}

static milliseconds at_most(milliseconds wait) {
  BlockedReaders& readers = blocked_readers();
  const std::scoped_lock lock(readers.mutex);
  return readers.end.at_most(wait);
}

// ---- the parent

static bool has_answer(int report, const Deadline& end, milliseconds most) {
  for (;;) {
    const auto left = end.at_most(most);
    pollfd wait{report, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready == 0 || left.count() == 0) return false;  // otherwise a signal
  }
}

/// Nothing when the child ended without one.
static std::optional<std::string> read_answer(int report) {
  std::array<char, 1 + most_bytes> answer{};
  ssize_t n = ::read(report, answer.data(), answer.size());
  while (n < 0 && errno == EINTR) n = ::read(report, answer.data(), answer.size());
  if (n < 1) return {};
  return std::string(&answer[1], static_cast<size_t>(n) - 1);
}

std::optional<std::string> read_in_child(const std::string& path, ReadBytes read,
                                         milliseconds deadline) {
  deadline = at_most(deadline);
  if (deadline.count() == 0 || is_still_read(path)) return {};
  Pipe pipe;
  const pid_t child = ::fork();
  if (child < 0) throw SystemError("cannot start a process", errno);
  if (child == 0) read_and_report(path.c_str(), read, pipe.writer.get());
  pipe.writer.reset();
  if (!has_answer(pipe.reader.get(), Deadline::in(deadline), deadline)) {
    abandon(path, child);
    return {};
  }
  auto answer = read_answer(pipe.reader.get());
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return answer;
}

}  // namespace gpuward
