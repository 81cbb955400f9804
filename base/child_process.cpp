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
#include "base/pipe.hpp"
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

namespace {

/// What the child has of ours.
struct Ends {
  int output;
  int go;  ///< what it waits for before the program starts; -1: for nothing
};

}  // namespace

/// As stdout and, while it is waited for, stdin.
static void keep_only(Ends ends) {
  // Whoever started us without stdin or stdout has given us these numbers for other things.
  ends.output = ::fcntl(ends.output, F_DUPFD, 3);
  if (ends.go >= 0) ends.go = ::fcntl(ends.go, F_DUPFD, 3);
  const int nothing = ::fcntl(::open("/dev/null", O_RDWR), F_DUPFD, 3);
  ::dup2(ends.go >= 0 ? ends.go : nothing, 0);
  ::dup2(ends.output, 1);
  ::dup2(nothing, 2);
  ::close_range(3, ~0U, 0);
}

/// From now on it ends when its parent does.
static void end_with_parent() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A parent that ended before reads no more. In a PID namespace getppid(2) does not show it.
  pollfd output{1, 0, 0};
  if (::poll(&output, 1, 0) != 0) ::_exit(127);
}

/// Its end of the pipe becomes /dev/null, as if there were none.
static void wait_for_go() {
  char byte;
  ssize_t n = ::read(0, &byte, 1);
  while (n < 0 && errno == EINTR) n = ::read(0, &byte, 1);
  if (n != 1) ::_exit(127);
  ::close(0);
  ::open("/dev/null", O_RDWR);
}

namespace {

/// What is to be run, and how.
struct Start {
  char* const* arguments;
  RunAs as;
  Ends ends;
};

}  // namespace

[[noreturn]] static void run(const Start& start) {
  reset_signals_of_child();
  if (start.as == RunAs::nobody && !become_nobody()) ::_exit(127);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  end_with_parent();
  if (start.ends.go >= 0) wait_for_go();
  char locale[] = "LC_ALL=C", path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* const environment[] = {locale, path, nullptr};
  ::execve(start.arguments[0], start.arguments, environment);
  ::_exit(127);
}

/// Status of the first process where a signal ended the program, as a shell's.
static constexpr int by_signal = 128;

/// The first process of a PID namespace: with it the kernel ends all others of the namespace,
/// whatever sessions they made (pid_namespaces(7)). It is not the program itself, which would not
/// get its own signals as the first.
[[noreturn]] static void run_as_second(const Start& start) {
  end_with_parent();
  const pid_t program = fork_with(0);
  if (program == 0) run(start);
  int status = 0;
  for (pid_t ended = 0; ended != program;) {
    ended = ::waitpid(-1, &status, 0);
    if (ended < 0 && errno != EINTR) ::_exit(127);
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : by_signal + WTERMSIG(status));
}

/// Root may make a PID namespace; where the kernel has none, or a container forbids it, and for
/// others, a process group has to do.
static pid_t start_process(const Start& start) {
  if (::geteuid() == 0) {
    const pid_t first = fork_with(CLONE_NEWPID);
    if (first > 0) return first;
    if (first == 0) {
      keep_only(start.ends);
      ::setpgid(0, 0);
      run_as_second(start);
    }
  }
  const pid_t child = fork_with(0);
  if (child < 0) throw SystemError("cannot fork", errno);
  if (child > 0) return child;
  keep_only(start.ends);
  ::setpgid(0, 0);
  run(start);
}

/// In place of a failure's text, which has the time in it.
static constexpr const char* timed_out = "timed out";

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

/// Why not all of it came; "" when it did.
static std::string read_all(int fd, Clock::time_point end, size_t limit, std::string& text) {
  char part[4096];
  while (wait_for(fd, end)) {
    const ssize_t n = ::read(fd, part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) return {};
    if (n < 0) return "cannot be read: " + errno_text(errno);
    if (text.size() + static_cast<size_t>(n) > limit)
      return "printed more than " + std::to_string(limit) + " bytes and was killed";
    text.append(part, static_cast<size_t>(n));
  }
  return timed_out;
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

  /// Its status as wait(2) gives it; nothing when it has not ended.
  std::optional<int> reap() const {
    int status = 0;
    pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    while (ended < 0 && errno == EINTR) ended = ::waitpid(pid_, &status, WNOHANG);
    return ended == pid_ ? std::optional(status) : std::nullopt;
  }

  /// With all that it started, and before it is waited for. Not waited for longer than a moment: a
  /// program on a dead network disk cannot even be killed. Its status; nothing when it goes on.
  std::optional<int> kill_with_children() const {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    ends_before(Clock::now() + milliseconds(1000));
    return reap();
  }

  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
  Fd process_;
};

}  // namespace

static std::string signal_text(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return "was killed by signal " + std::to_string(signal) +
         (name ? " (" + std::string(name) + ")" : "");
}

static std::string end_text(const std::string& program, int status) {
  if (WIFSIGNALED(status)) return signal_text(WTERMSIG(status));
  if (WEXITSTATUS(status) == 127)
    return ::access(program.c_str(), X_OK) == 0 ? "cannot be run"
                                                : "cannot be run: " + errno_text(errno);
  if (WEXITSTATUS(status) > by_signal) return signal_text(WEXITSTATUS(status) - by_signal);
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

static std::string time_text(milliseconds deadline) {
  return "timed out after " + std::to_string(deadline.count() / 1000) + " s and was killed";
}

/// Says whose pid it is, then lets it begin.
static void let_begin(const Child& child, const std::function<void(pid_t)>& on_start, Fd& go) {
  try {
    on_start(child.pid());
  } catch (...) {
    go.reset();  // it ends without a program
    child.kill_with_children();
    throw;
  }
  // Should it have died, it prints nothing; the other end is open, so there is no SIGPIPE.
  while (::write(go.get(), "", 1) < 0 && errno == EINTR) {
  }
}

ProgramEnd read_program(const std::string& program, const std::vector<std::string>& arguments,
                        milliseconds deadline, size_t limit, RunAs as,
                        const std::function<void(pid_t)>& on_start) {
  std::vector<char*> words{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);

  const auto end = Clock::now() + deadline;
  Pipe output;
  std::optional<Pipe> go;
  if (on_start) go.emplace();
  const Child child(
      start_process({words.data(), as, {output.writer.get(), go ? go->reader.get() : -1}}));
  output.writer.reset();
  if (go) let_begin(child, on_start, go->writer);
  ProgramEnd ended;
  ended.failure = read_all(output.reader.get(), end, limit, ended.output);
  if (ended.failure.empty() && !child.ends_before(end)) ended.failure = timed_out;
  const auto status = child.kill_with_children();  // however the program has ended
  if (!status) ended.blocked = child.pid();
  if (ended.failure == timed_out) ended.failure = time_text(deadline);
  if (!ended.failure.empty() || !status) return ended;
  if (WIFEXITED(*status)) ended.status = WEXITSTATUS(*status);
  if (*status != 0) ended.failure = end_text(program, *status);
  return ended;
}

std::optional<std::string> output_of(const std::string& program,
                                     const std::vector<std::string>& arguments,
                                     milliseconds deadline, size_t limit, RunAs as) {
  ProgramEnd end = read_program(program, arguments, deadline, limit, as);
  return end.failure.empty() && end.status == 0 ? std::optional(std::move(end.output))
                                                : std::nullopt;
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
  return time_text(deadline);
}

}  // namespace gpuward
