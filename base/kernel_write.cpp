// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/kernel_write.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/single_threaded.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <mutex>
#include <optional>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/pipe.hpp"

namespace gpuward {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

std::string blocked_in_kernel(pid_t process) {
  return "blocked in the kernel (process " + std::to_string(process) + ")";
}

/// One open, one write, one close: sysfs takes a value only whole and once per open. A write that a
/// signal interrupted was not begun.
static int write_value(const KernelWrite& write) {
  int fd = ::open(write.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  while (fd < 0 && errno == EINTR)
    fd = ::open(write.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return errno;
  ssize_t n = ::write(fd, write.value.data(), write.value.size());
  while (n < 0 && errno == EINTR) n = ::write(fd, write.value.data(), write.value.size());
  const int error = n < 0 ? errno : 0;
  ::close(fd);
  return error;
}

namespace {

/// What the child works with. It shares our memory, so this is its own for as long as it lives.
struct Work {
  std::vector<KernelWrite> writes;
  int report;
  int go;  ///< what it waits for before the first write; -1: for nothing
  alignas(16) char stack[64 << 10];

  Work(std::span<const KernelWrite> wanted, int report_to, int go_from)
      : writes(wanted.begin(), wanted.end()), report(report_to), go(go_from) {}
};

}  // namespace

static bool move_fd(int from, int to) {
  int moved = ::dup2(from, to);
  while (moved < 0 && (errno == EINTR || errno == EBUSY)) moved = ::dup2(from, to);
  return moved == to;
}

/// Keeps the report as 0 and the go as 1, so that all others can be closed with one call. Either
/// may have such a number now.
static bool keep_only(int report, int go) {
  if (go < 0) return move_fd(report, 0) && ::close_range(1, ~0U, 0) == 0;
  const int moved = ::fcntl(go, F_DUPFD, 2);
  return moved >= 0 && move_fd(report, 0) && move_fd(moved, 1) && ::close_range(2, ~0U, 0) == 0;
}

/// While it waits here the parent writes the claim and may check errno, which may be ours, too
/// (start_child): this read fails only where a signal interrupts it.
static bool is_told_to_go() {
  char byte;
  ssize_t n = ::read(1, &byte, 1);
  while (n < 0 && errno == EINTR) n = ::read(1, &byte, 1);
  return n == 1;
}

static int do_writes(void* work_of_child) {
  const Work& work = *static_cast<Work*>(work_of_child);
  // Nothing is written to the kernel without a way to report it.
  if (!keep_only(work.report, work.go)) return 1;
  if (work.go >= 0 && !is_told_to_go()) return 1;
  for (const KernelWrite& write : work.writes) {
    const int error = write_value(write);
    ssize_t n = ::write(0, &error, sizeof error);
    while (n < 0 && errno == EINTR) n = ::write(0, &error, sizeof error);
    if (n != sizeof error || error != 0) break;
  }
  return 0;
}

/// Whether this program has other threads than this one (the guard). The C library knows that it
/// has made none; where it has, they may have ended.
static bool has_threads() {
  if (__libc_single_threaded) return false;
  return ::access("/proc/self/task", F_OK) != 0 || list_directory("/proc/self/task").size() != 1;
}

/// In a program of one thread, a process that shares our memory, as posix_spawn(3) makes it: the
/// page tables that fork(2) copies take longer than all else that a hook does. While it lives it
/// shares errno with us, so nothing here checks errno then. A child that is left to itself would
/// write to the errno of a thread that has gone on, or whose memory is gone: in a program with
/// threads it gets memory of its own.
static pid_t start_child(Work& work) {
  const int memory = has_threads() ? 0 : CLONE_VM;
  const pid_t child = ::clone(do_writes, work.stack + sizeof work.stack, memory | SIGCHLD, &work);
  if (child < 0) throw SystemError("cannot start a process", errno);
  return child;
}

enum class Report { arrived, timed_out, died };

/// The child's next errno; timed_out when the deadline passes first, died when the child did.
static Report next_report(int fd, milliseconds deadline, int& code) {
  const auto end = Clock::now() + deadline;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
    pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready < 0 && left > 0) continue;  // a signal
    if (ready <= 0) return Report::timed_out;
    // The child's errno is ours (start_child), so none is checked: a read that failed, as of
    // EINTR, is tried again until the deadline; at the end of the pipe it returns 0.
    const ssize_t n = ::read(fd, &code, sizeof code);
    if (n < 0 && left > 0) continue;
    return n == sizeof code ? Report::arrived : Report::died;
  }
}

static WriteResult one_result(int fd, milliseconds deadline, pid_t child) {
  int code = 0;
  switch (next_report(fd, deadline, code)) {
    case Report::timed_out:
      return {WriteResult::Outcome::blocked, 0, child};
    case Report::died:
      return {WriteResult::Outcome::unknown, EIO, 0};
    case Report::arrived:
      break;
  }
  if (code != 0) return {WriteResult::Outcome::failed, code, 0};
  return {WriteResult::Outcome::written, 0, 0};
}

/// A child that is blocked works with it whenever the kernel returns, be it while we exit.
static void abandon_child(std::unique_ptr<Work> work) {
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  static auto& left = *new std::vector<std::unique_ptr<Work>>;  // never destroyed, so never lost
  left.push_back(std::move(work));
}

static void reap(pid_t child) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

/// Says whose pid it is, then lets it begin.
static void let_begin(pid_t child, const WriteOptions& options, Pipe& go) {
  try {
    options.on_start(child);
  } catch (...) {
    go.writer.reset();  // it ends without a write
    reap(child);
    throw;
  }
  // Should it have died, its missing report says so; we have the other end, so there is no SIGPIPE.
  while (::write(go.writer.get(), "", 1) < 0 && errno == EINTR) {
  }
}

std::vector<WriteResult> write_in_child(std::span<const KernelWrite> writes,
                                        const WriteOptions& options) {
  std::vector<WriteResult> results(writes.size());
  if (writes.empty()) return results;
  Pipe report;
  std::optional<Pipe> go;
  if (options.on_start) go.emplace();
  auto work = std::make_unique<Work>(writes, report.writer.get(), go ? go->reader.get() : -1);
  const pid_t child = start_child(*work);
  report.writer.reset();
  if (go) let_begin(child, options, *go);
  for (WriteResult& result : results) {
    result = one_result(report.reader.get(), options.end.at_most(options.deadline), child);
    // Waiting for a blocked child would block as well; init reaps it when its write returns.
    if (result.outcome == WriteResult::Outcome::blocked) {
      abandon_child(std::move(work));
      return results;
    }
    if (result.outcome != WriteResult::Outcome::written) break;
  }
  reap(child);
  return results;
}

}  // namespace gpuward
