// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/signals.hpp"

namespace gpuward {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// 65534 on every Linux: the kernel's own overflow id.
static constexpr uid_t nobody = 65534;

static bool become_nobody() {
  if (::geteuid() != 0) return true;
  // The system calls themselves: the C library would wait for the parent's other threads
  // (fork_with).
  return ::syscall(SYS_setgroups, 0, nullptr) == 0 &&
         ::syscall(SYS_setresgid, nobody, nobody, nobody) == 0 &&
         ::syscall(SYS_setresuid, nobody, nobody, nobody) == 0;
}

/// fork(2) with flags of clone(2), past the C library: the child may only make system calls.
static pid_t fork_with(int flags) {
  return static_cast<pid_t>(
      ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

static void keep_only_output(int output) {
  // Whoever started us without stdin or stdout has given us these numbers for other things.
  output = ::fcntl(output, F_DUPFD, 3);
  const int nothing = ::fcntl(::open("/dev/null", O_RDWR), F_DUPFD, 3);
  ::dup2(nothing, 0);
  ::dup2(output, 1);
  ::dup2(nothing, 2);
  ::close_range(3, ~0U, 0);
}

/// From now on it ends when its parent does.
static void end_with_parent() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A parent that ended before reads no more. In a PID namespace getppid(2) does not tell.
  pollfd output{1, 0, 0};
  if (::poll(&output, 1, 0) != 0) ::_exit(127);
}

[[noreturn]] static void run(char* const* arguments, RunAs as) {
  reset_signals_of_child();
  if (as == RunAs::nobody && !become_nobody()) ::_exit(127);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  end_with_parent();
  char locale[] = "LC_ALL=C", path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* const environment[] = {locale, path, nullptr};
  ::execve(arguments[0], arguments, environment);
  ::_exit(127);
}

/// The first process of a PID namespace: with it the kernel ends all others of the namespace,
/// whatever sessions they made (pid_namespaces(7)). It is not the program itself, which would not
/// get its own signals as the first.
[[noreturn]] static void run_as_second(char* const* arguments, RunAs as) {
  end_with_parent();
  const pid_t program = fork_with(0);
  if (program == 0) run(arguments, as);
  int status = 0;
  for (pid_t ended = 0; ended != program;) {
    ended = ::waitpid(-1, &status, 0);
    if (ended < 0 && errno != EINTR) ::_exit(127);
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 127);
}

/// Root may make a PID namespace; where the kernel has none, or a container forbids it, and for
/// others, a process group has to do.
static pid_t start(char* const* arguments, int output, RunAs as) {
  if (::geteuid() == 0) {
    const pid_t first = fork_with(CLONE_NEWPID);
    if (first > 0) return first;
    if (first == 0) {
      keep_only_output(output);
      ::setpgid(0, 0);
      run_as_second(arguments, as);
    }
  }
  const pid_t child = fork_with(0);
  if (child < 0) throw SystemError("cannot fork", errno);
  if (child > 0) return child;
  keep_only_output(output);
  ::setpgid(0, 0);
  run(arguments, as);
}

/// Whether `fd` has something before `end`.
static bool wait_for(int fd, Clock::time_point end) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
    pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready < 0 && errno == EINTR) continue;
    return ready > 0;
  }
}

static std::optional<std::string> read_all(int fd, Clock::time_point end, size_t limit) {
  std::string text;
  char part[4096];
  while (wait_for(fd, end)) {
    const ssize_t n = ::read(fd, part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) return text;
    if (n < 0 || text.size() + static_cast<size_t>(n) > limit) return {};
    text.append(part, static_cast<size_t>(n));
  }
  return {};
}

namespace {

/// A child that is not yet waited for: only as long as it is not, its number is nobody else's.
class Child {
 public:
  explicit Child(pid_t pid)
      : pid_(pid), process_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}

  /// Whether it has ended, be it not waited for.
  bool ends_before(Clock::time_point end) const {
    return process_ && wait_for(process_.get(), end);
  }

  /// Whether it has ended with status 0. It is still not waited for.
  bool ended_well() const {
    siginfo_t info{};
    const auto look = [&] {
      return ::waitid(P_PID, id_t(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    };
    while (look() < 0 && errno == EINTR) {
    }
    return info.si_pid == pid_ && info.si_code == CLD_EXITED && info.si_status == 0;
  }

  /// Its status as wait(2) gives it; nothing when it has not ended.
  std::optional<int> reap() const {
    int status = 0;
    pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    while (ended < 0 && errno == EINTR) ended = ::waitpid(pid_, &status, WNOHANG);
    return ended == pid_ ? std::optional(status) : std::nullopt;
  }

  /// With all that it started, and before it is waited for. Not waited for longer than a moment: a
  /// program on a dead network disk cannot even be killed.
  void kill_with_children() const {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    ends_before(Clock::now() + milliseconds(1000));
    reap();
  }

 private:
  pid_t pid_;
  Fd process_;
};

}  // namespace

std::optional<std::string> output_of(const std::string& program,
                                     const std::vector<std::string>& arguments,
                                     milliseconds deadline, size_t limit, RunAs as) {
  std::vector<char*> words{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);

  const auto end = Clock::now() + deadline;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw SystemError("cannot create a pipe", errno);
  Fd reader(ends[0]), writer(ends[1]);
  const Child child(start(words.data(), writer.get(), as));
  writer.reset();
  auto text = read_all(reader.get(), end, limit);
  const bool is_whole = text && child.ends_before(end) && child.ended_well();
  child.kill_with_children();  // however the program has ended
  if (!is_whole) text.reset();
  return text;
}

[[noreturn]] static void run_quietly(char* const* arguments, char* const* environment) {
  const int nothing = ::fcntl(::open("/dev/null", O_RDWR), F_DUPFD, 3);
  for (int fd = 0; fd < 3; ++fd) ::dup2(nothing, fd);
  ::close_range(3, ~0U, 0);
  ::setpgid(0, 0);
  reset_signals_of_child();
  ::execve(arguments[0], arguments, environment);
  ::_exit(127);
}

static std::string end_text(const std::string& program, int status) {
  if (WIFSIGNALED(status)) {
    const char* const name = ::sigabbrev_np(WTERMSIG(status));
    return "was killed by signal " + std::to_string(WTERMSIG(status)) +
           (name ? " (" + std::string(name) + ")" : "");
  }
  if (WEXITSTATUS(status) == 127)
    return ::access(program.c_str(), X_OK) == 0 ? "cannot be run"
                                                : "cannot be run: " + errno_text(errno);
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

std::string run_program(const std::string& program, const std::vector<std::string>& environment,
                        milliseconds deadline) {
  char* const words[] = {const_cast<char*>(program.c_str()), nullptr};
  std::vector<char*> variables;
  variables.reserve(environment.size() + 1);
  for (const std::string& variable : environment)
    variables.push_back(const_cast<char*>(variable.c_str()));
  variables.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw SystemError("cannot fork", errno);
  if (pid == 0) run_quietly(words, variables.data());
  const Child child(pid);
  const bool has_ended = child.ends_before(Clock::now() + deadline);
  const auto status = has_ended ? child.reap() : std::nullopt;
  if (status == 0) return {};
  if (status) return end_text(program, *status);
  child.kill_with_children();
  return "timed out after " + std::to_string(deadline.count() / 1000) + " s and was killed";
}

}  // namespace gpuward
