// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <mutex>

#include "base/error.hpp"
#include "base/file.hpp"

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
  alignas(16) char stack[64 << 10];

  Work(std::span<const KernelWrite> wanted, int report_to)
      : writes(wanted.begin(), wanted.end()), report(report_to) {}
};

}  // namespace

static int do_writes(void* work_of_child) {
  const Work& work = *static_cast<Work*>(work_of_child);
  // fd 0 takes the report so that all others can be closed with one call. Nothing is written to the
  // kernel without a way to report it.
  int report = ::dup2(work.report, 0);
  while (report < 0 && (errno == EINTR || errno == EBUSY)) report = ::dup2(work.report, 0);
  if (report < 0 || ::close_range(1, ~0U, 0) != 0) return 1;
  for (const KernelWrite& write : work.writes) {
    const int error = write_value(write);
    ssize_t n = ::write(0, &error, sizeof error);
    while (n < 0 && errno == EINTR) n = ::write(0, &error, sizeof error);
    if (n != sizeof error || error != 0) break;
  }
  return 0;
}

/// Whether this program has other threads than this one (the guard).
static bool has_threads() {
  return ::access("/proc/self/task", F_OK) != 0 || list_directory("/proc/self/task").size() != 1;
}

/// In a program of one thread, a process that shares our memory, as posix_spawn(3) makes it: the
/// page tables that fork(2) copies take longer than all else that a hook does. While it lives it
/// shares errno with us, so nothing here looks at errno then. A child that is left to itself would
/// write to the errno of a thread that has gone on, or whose memory is gone: in a program with
/// threads it gets memory of its own.
static pid_t start_child(Work& work) {
  const int memory = has_threads() ? 0 : CLONE_VM;
  const pid_t child = ::clone(do_writes, work.stack + sizeof work.stack, memory | SIGCHLD, &work);
  if (child < 0) throw SystemError("cannot start a process", errno);
  return child;
}

enum class Report { arrived, late, ended };

/// The child's next errno; late when the deadline passes first, ended when the child died.
static Report next_report(int fd, milliseconds deadline, int& code) {
  const auto end = Clock::now() + deadline;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
    pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready < 0 && left > 0) continue;  // a signal
    if (ready <= 0) return Report::late;
    // The child's errno is ours (start_child), so none is looked at: a read that failed is tried
    // again until the deadline; at the end of the pipe it returns 0.
    const ssize_t n = ::read(fd, &code, sizeof code);
    if (n < 0 && left > 0) continue;
    return n == sizeof code ? Report::arrived : Report::ended;
  }
}

static WriteResult one_result(int fd, milliseconds deadline, pid_t child) {
  int code = 0;
  switch (next_report(fd, deadline, code)) {
    case Report::late:
      return {WriteResult::Outcome::stuck, 0, child};
    case Report::ended:
      return {WriteResult::Outcome::unknown, EIO, 0};
    case Report::arrived:
      break;
  }
  if (code != 0) return {WriteResult::Outcome::failed, code, 0};
  return {WriteResult::Outcome::written, 0, 0};
}

/// A child that hangs works with it whenever the kernel lets go, be it while we exit.
static void leave_to_child(std::unique_ptr<Work> work) {
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  static auto& left = *new std::vector<std::unique_ptr<Work>>;  // never destroyed, so never lost
  left.push_back(std::move(work));
}

std::vector<WriteResult> write_in_child(std::span<const KernelWrite> writes,
                                        milliseconds deadline) {
  std::vector<WriteResult> results(writes.size());
  if (writes.empty()) return results;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw SystemError("cannot create a pipe", errno);
  Fd reader(ends[0]), writer(ends[1]);
  auto work = std::make_unique<Work>(writes, writer.get());
  const pid_t child = start_child(*work);
  writer.reset();
  for (WriteResult& result : results) {
    result = one_result(reader.get(), deadline, child);
    // Waiting for a stuck child would be to hang with it; init reaps it when the kernel lets go.
    if (result.outcome == WriteResult::Outcome::stuck) {
      leave_to_child(std::move(work));
      return results;
    }
    if (result.outcome != WriteResult::Outcome::written) break;
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return results;
}

}  // namespace gpuward
