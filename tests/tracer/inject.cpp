// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs a program and, at one of its system calls, kills it or makes the call fail. x86-64 only.
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr const char* usage =
    "usage: inject [OPTION…] -- PROGRAM ARGUMENT…\n"
    "\n"
    "  --root DIR          chroot to DIR first\n"
    "  --stdin FILE, --stdout FILE, --stderr FILE\n"
    "  --from TEXT         count calls from the first one whose path contains TEXT\n"
    "  --timeout SECONDS   kill it after that (default 120)\n"
    "  --list FILE         write a line for each call: TASK:CALL NAME ERRNO,… ORIGIN DETAIL, with\n"
    "                      ORIGIN 'loader' where libraries are loaded, else 'program'\n"
    "  --at TASK:CALL:NAME where to act: at that call, or at the next one of that task and name\n"
    "  --action WHAT       kill (the process group), kill-one (the calling process), or an errno\n"
    "\n"
    "Tasks are numbered from 0 as they are created, calls of a task from 1. Prints how the "
    "program\n"
    "ended ('exit N', 'signal N', 'timeout') and 'hit NAME DETAIL' or 'missed'.\n";

struct Options {
  std::string root, in = "/dev/null", out, err, from, list, action;
  int timeout = 120;
  int at_task = -1;
  long at_call = 0;
  std::string at_name;
  std::vector<char*> program;
};

// --- System calls ---

/// Where a call names the object that it works on.
enum class Names { nothing, path, path_at, descriptor };

/// `errors` are those that the kernel may well answer with. A call without any is only a place to
/// be killed at.
struct Call {
  long number;
  const char* name;
  Names names;
  const char* errors;
};

constexpr Call calls[] = {
    {SYS_open, "open", Names::path, "EIO,ENOMEM,EMFILE,EINTR"},
    {SYS_openat, "openat", Names::path_at, "EIO,ENOMEM,EMFILE,EINTR"},
    {SYS_openat2, "openat2", Names::path_at, "EIO,ENOMEM,EMFILE,EINTR"},
    {SYS_read, "read", Names::descriptor, "EIO,ENOMEM,EINTR"},
    {SYS_pread64, "pread64", Names::descriptor, "EIO,ENOMEM,EINTR"},
    {SYS_write, "write", Names::descriptor, "EIO,ENOMEM,EINTR"},
    {SYS_pwrite64, "pwrite64", Names::descriptor, "EIO,ENOMEM,EINTR"},
    {SYS_close, "close", Names::descriptor, "EIO,EINTR"},
    {SYS_close_range, "close_range", Names::nothing, "ENOMEM"},
    {SYS_getdents64, "getdents64", Names::descriptor, "EIO,ENOMEM"},
    {SYS_stat, "stat", Names::path, "EIO,ENOMEM"},
    {SYS_lstat, "lstat", Names::path, "EIO,ENOMEM"},
    {SYS_fstat, "fstat", Names::descriptor, "EIO,ENOMEM"},
    {SYS_newfstatat, "newfstatat", Names::path_at, "EIO,ENOMEM"},
    {SYS_statx, "statx", Names::path_at, "EIO,ENOMEM"},
    {SYS_access, "access", Names::path, "EIO,ENOMEM"},
    {SYS_faccessat, "faccessat", Names::path_at, "EIO,ENOMEM"},
    {SYS_faccessat2, "faccessat2", Names::path_at, "EIO,ENOMEM"},
    {SYS_readlink, "readlink", Names::path, "EIO,ENOMEM"},
    {SYS_readlinkat, "readlinkat", Names::path_at, "EIO,ENOMEM"},
    {SYS_mkdir, "mkdir", Names::path, "EIO,ENOMEM"},
    {SYS_mkdirat, "mkdirat", Names::path_at, "EIO,ENOMEM"},
    {SYS_rename, "rename", Names::path, "EIO,ENOMEM"},
    {SYS_renameat, "renameat", Names::path_at, "EIO,ENOMEM"},
    {SYS_renameat2, "renameat2", Names::path_at, "EIO,ENOMEM"},
    {SYS_unlink, "unlink", Names::path, "EIO,ENOMEM"},
    {SYS_unlinkat, "unlinkat", Names::path_at, "EIO,ENOMEM"},
    {SYS_rmdir, "rmdir", Names::path, "EIO,ENOMEM"},
    {SYS_fsync, "fsync", Names::descriptor, "EIO,EINTR"},
    {SYS_fdatasync, "fdatasync", Names::descriptor, "EIO,EINTR"},
    {SYS_fchmod, "fchmod", Names::descriptor, "EIO"},
    {SYS_fchown, "fchown", Names::descriptor, "EIO"},
    {SYS_ftruncate, "ftruncate", Names::descriptor, "EIO,EINTR"},
    {SYS_fcntl, "fcntl", Names::descriptor, ""},  // errors: see errors_of
    {SYS_pipe, "pipe", Names::nothing, "EMFILE,ENOMEM"},
    {SYS_pipe2, "pipe2", Names::nothing, "EMFILE,ENOMEM"},
    {SYS_dup, "dup", Names::descriptor, "EMFILE"},
    {SYS_dup2, "dup2", Names::descriptor, "EINTR,EMFILE"},
    {SYS_dup3, "dup3", Names::descriptor, "EINTR,EMFILE"},
    {SYS_clone, "clone", Names::nothing, "ENOMEM"},
    {SYS_clone3, "clone3", Names::nothing, "ENOMEM"},
    {SYS_fork, "fork", Names::nothing, "ENOMEM"},
    {SYS_vfork, "vfork", Names::nothing, "ENOMEM"},
    {SYS_execve, "execve", Names::path, "EIO,ENOMEM,EMFILE"},
    {SYS_wait4, "wait4", Names::nothing, "EINTR"},
    {SYS_waitid, "waitid", Names::nothing, "EINTR"},
    {SYS_pidfd_open, "pidfd_open", Names::nothing, "EMFILE,ENOMEM"},
    {SYS_poll, "poll", Names::nothing, "EINTR,ENOMEM"},
    {SYS_ppoll, "ppoll", Names::nothing, "EINTR,ENOMEM"},
    {SYS_mmap, "mmap", Names::nothing, "ENOMEM"},
    {SYS_mremap, "mremap", Names::nothing, "ENOMEM"},
    {SYS_nanosleep, "nanosleep", Names::nothing, "EINTR"},
    {SYS_clock_nanosleep, "clock_nanosleep", Names::nothing, "EINTR"},
    {SYS_socket, "socket", Names::nothing, "EMFILE,ENOMEM"},
    {SYS_connect, "connect", Names::descriptor, "EINTR,ENOMEM"},
    {SYS_sendto, "sendto", Names::descriptor, "EINTR,ENOMEM"},
    {SYS_sendmsg, "sendmsg", Names::descriptor, "EINTR,ENOMEM"},
    {SYS_flock, "flock", Names::descriptor, "EINTR,ENOMEM"},
    {SYS_lseek, "lseek", Names::descriptor, "EIO"},
    {SYS_brk, "brk", Names::nothing, ""},  // fails by another way than with an errno
    {SYS_munmap, "munmap", Names::nothing, ""},
    {SYS_mprotect, "mprotect", Names::nothing, "ENOMEM"},
    {SYS_futex, "futex", Names::nothing, ""},
    {SYS_exit_group, "exit_group", Names::nothing, ""},
    {SYS_exit, "exit", Names::nothing, ""},
    {SYS_rt_sigaction, "rt_sigaction", Names::nothing, ""},
    {SYS_rt_sigprocmask, "rt_sigprocmask", Names::nothing, ""},
    {SYS_geteuid, "geteuid", Names::nothing, ""},
    {SYS_getpid, "getpid", Names::nothing, ""},
    {SYS_gettid, "gettid", Names::nothing, ""},
    {SYS_umask, "umask", Names::nothing, ""},
    {SYS_setsid, "setsid", Names::nothing, ""},
    {SYS_prctl, "prctl", Names::nothing, ""},
    {SYS_arch_prctl, "arch_prctl", Names::nothing, ""},
    {SYS_prlimit64, "prlimit64", Names::nothing, ""},
    {SYS_getrandom, "getrandom", Names::nothing, ""},
    {SYS_kill, "kill", Names::nothing, ""},
    {SYS_ioctl, "ioctl", Names::descriptor, ""},
};

struct Errno {
  const char* name;
  int number;
};
constexpr Errno errnos[] = {{"EIO", EIO},     {"ENOMEM", ENOMEM}, {"EMFILE", EMFILE},
                            {"EINTR", EINTR}, {"ENOSPC", ENOSPC}, {"EACCES", EACCES}};

const Call* find_call(long number) {
  for (const Call& call : calls)
    if (call.number == number) return &call;
  return nullptr;
}

std::string name_of(long number) {
  const Call* call = find_call(number);
  return call ? call->name : "call-" + std::to_string(number);
}

// --- What a call is about ---

struct Entry {
  long number;
  unsigned long args[6];
  unsigned long from;  ///< the instruction
};

std::string text_at(pid_t pid, unsigned long address) {
  std::ifstream memory("/proc/" + std::to_string(pid) + "/mem", std::ios::binary);
  memory.seekg(static_cast<std::streamoff>(address));
  std::string text;
  for (char c; text.size() < 4096 && memory.get(c) && c != '\0';) text += c;
  return text;
}

std::string link_text(const std::string& path) {
  char target[4096];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  return n < 0 ? "?" : std::string(target, static_cast<size_t>(n));
}

std::string file_of(pid_t pid, unsigned long fd) {
  return link_text("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(static_cast<int>(fd)));
}

std::string detail_of(pid_t pid, const Entry& entry) {
  const Call* call = find_call(entry.number);
  switch (call ? call->names : Names::nothing) {
    case Names::path:
      return text_at(pid, entry.args[0]);
    case Names::path_at: {
      std::string path = text_at(pid, entry.args[1]);
      if (path.empty()) return file_of(pid, entry.args[0]);
      if (path[0] == '/' || static_cast<int>(entry.args[0]) == AT_FDCWD) return path;
      return file_of(pid, entry.args[0]) + '/' + path;
    }
    case Names::descriptor:
      return file_of(pid, entry.args[0]);
    case Names::nothing:
      break;
  }
  return {};
}

/// Whether the dynamic loader makes the call.
bool is_loader(pid_t pid, const Entry& entry) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long start = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &start, &end) == 2 && entry.from >= start &&
        entry.from < end)
      return line.find("/ld-linux") != std::string::npos;
  }
  return false;
}

std::string errors_of(const Entry& entry) {
  const Call* call = find_call(entry.number);
  if (entry.number == SYS_fcntl) {
    const bool locks = entry.args[1] == F_OFD_SETLK || entry.args[1] == F_OFD_SETLKW ||
                       entry.args[1] == F_SETLK || entry.args[1] == F_SETLKW;
    return locks ? "EIO,ENOMEM,EINTR" : "";
  }
  return call ? call->errors : "";
}

// --- The run ---

struct Task {
  int number = 0;
  long calls = 0;
  bool is_new = true;            ///< the stop that a new task begins with is still to come
  std::optional<long> answer{};  ///< what the call that it is in shall return
};

volatile sig_atomic_t is_late = 0;

class Run {
 public:
  explicit Run(const Options& options) : options_(options) {}
  void start();
  void follow();
  void report() const;

 private:
  Task& task_of(pid_t pid);
  void stopped(pid_t pid, int status);
  void at_call(pid_t pid, Task& task);
  void enter(pid_t pid, Task& task, const Entry& entry);
  void act(pid_t pid, Task& task, const Entry& entry);
  void ended(pid_t pid, int status);
  void kill_all() const;
  void let_go();

  const Options& options_;
  pid_t main_ = 0;
  std::map<pid_t, Task> tasks_;
  int next_number_ = 0;
  bool is_counting_ = false, has_started_ = false, was_hit_ = false, was_late_ = false;
  bool lets_go_ = false;  ///< what has left the group that was killed goes on without us
  int end_ = 0;
  std::string hit_;
  FILE* list_ = nullptr;
};

void put_file(const std::string& path, int fd, int flags) {
  if (path.empty()) return;
  const int file = ::open(path.c_str(), flags, 0644);
  if (file < 0 || ::dup2(file, fd) < 0) ::_exit(125);
  ::close(file);
}

[[noreturn]] void become_program(const Options& options) {
  ::setpgid(0, 0);
  put_file(options.in, 0, O_RDONLY);
  put_file(options.out, 1, O_WRONLY | O_CREAT | O_TRUNC);
  put_file(options.err, 2, O_WRONLY | O_CREAT | O_TRUNC);
  ::close_range(3, ~0U, 0);
  if (!options.root.empty() && (::chroot(options.root.c_str()) != 0 || ::chdir("/") != 0))
    ::_exit(125);
  ::ptrace(PTRACE_TRACEME, 0, 0, 0);
  ::raise(SIGSTOP);
  ::execv(options.program[0], options.program.data());
  ::_exit(127);
}

void Run::start() {
  // Open in any case: who looks through /proc sees as many descriptors with a list as without.
  list_ = std::fopen(options_.list.empty() ? "/dev/null" : options_.list.c_str(), "we");
  main_ = ::fork();
  if (main_ == 0) become_program(options_);
  int status;
  ::waitpid(main_, &status, __WALL);
  ::ptrace(PTRACE_SETOPTIONS, main_, 0,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
               PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
  task_of(main_).is_new = false;
  ::ptrace(PTRACE_SYSCALL, main_, 0, 0);
}

Task& Run::task_of(pid_t pid) {
  const auto [found, is_new] = tasks_.try_emplace(pid);
  if (is_new) found->second.number = next_number_++;
  return found->second;
}

void Run::kill_all() const {
  for (const auto& [pid, task] : tasks_) ::kill(pid, SIGKILL);
}

void Run::follow() {
  while (!tasks_.empty()) {
    int status;
    const pid_t pid = ::waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR && is_late) {
      was_late_ = true;
      kill_all();
    }
    if (pid < 0 && errno != EINTR) return;
    if (pid < 0) continue;
    if (WIFSTOPPED(status))
      stopped(pid, status);
    else
      ended(pid, status);
  }
}

void Run::ended(pid_t pid, int status) {
  if (pid == main_) end_ = status;
  tasks_.erase(pid);
  if (pid == main_ && was_hit_ && WIFSIGNALED(status)) let_go();
}

/// A task is let go where it stops; SIGSTOP makes those stop that wait for something.
void Run::let_go() {
  lets_go_ = true;
  for (const auto& [pid, task] : tasks_) ::kill(pid, SIGSTOP);
}

void Run::stopped(pid_t pid, int status) {
  if (lets_go_) {
    ::ptrace(PTRACE_DETACH, pid, 0, 0);
    ::kill(pid, SIGCONT);
    tasks_.erase(pid);
    return;
  }
  Task& task = task_of(pid);
  const int signal = WSTOPSIG(status);
  const int event = status >> 16;
  int deliver = 0;
  if (signal == (SIGTRAP | 0x80)) {
    at_call(pid, task);
  } else if (event == PTRACE_EVENT_EXEC) {
    if (!has_started_ && options_.from.empty()) is_counting_ = true;
    has_started_ = true;
  } else if (event != 0) {
    unsigned long child = 0;
    ::ptrace(PTRACE_GETEVENTMSG, pid, 0, &child);
    task_of(static_cast<pid_t>(child));
  } else if (signal == SIGSTOP && task.is_new) {
    task.is_new = false;
  } else {
    deliver = signal;
  }
  ::ptrace(PTRACE_SYSCALL, pid, 0, deliver);
}

void Run::at_call(pid_t pid, Task& task) {
  __ptrace_syscall_info info{};
  if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return;
  if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
    Entry entry{static_cast<long>(info.entry.nr), {}, info.instruction_pointer};
    for (int i = 0; i < 6; ++i) entry.args[i] = info.entry.args[i];
    enter(pid, task, entry);
  } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && task.answer) {
    user_regs_struct regs;
    ::ptrace(PTRACE_GETREGS, pid, 0, &regs);
    regs.rax = static_cast<unsigned long long>(*task.answer);
    ::ptrace(PTRACE_SETREGS, pid, 0, &regs);
    task.answer.reset();
  }
}

void Run::enter(pid_t pid, Task& task, const Entry& entry) {
  if (!has_started_) return;
  if (!is_counting_) {
    if (detail_of(pid, entry).find(options_.from) == std::string::npos) return;
    is_counting_ = true;
  }
  ++task.calls;
  if (!options_.list.empty())
    std::fprintf(list_, "%d:%ld\t%s\t%s\t%s\t%s\n", task.number, task.calls,
                 name_of(entry.number).c_str(), errors_of(entry).c_str(),
                 is_loader(pid, entry) ? "loader" : "program", detail_of(pid, entry).c_str());
  if (!was_hit_ && task.number == options_.at_task && task.calls >= options_.at_call &&
      name_of(entry.number) == options_.at_name)
    act(pid, task, entry);
}

void Run::act(pid_t pid, Task& task, const Entry& entry) {
  was_hit_ = true;
  hit_ = name_of(entry.number) + ' ' + detail_of(pid, entry);
  if (options_.action == "kill") {
    ::kill(-::getpgid(pid), SIGKILL);
    return;
  }
  if (options_.action == "kill-one") {
    ::kill(pid, SIGKILL);
    return;
  }
  for (const Errno& error : errnos)
    if (options_.action == error.name) task.answer = -error.number;
  if (entry.number == SYS_close) return;  // closes all the same, whatever it answers
  user_regs_struct regs;
  ::ptrace(PTRACE_GETREGS, pid, 0, &regs);
  regs.orig_rax = static_cast<unsigned long long>(-1);
  ::ptrace(PTRACE_SETREGS, pid, 0, &regs);
}

void Run::report() const {
  std::fclose(list_);
  if (was_late_)
    std::puts("timeout");
  else if (WIFSIGNALED(end_))
    std::printf("signal %d\n", WTERMSIG(end_));
  else
    std::printf("exit %d\n", WEXITSTATUS(end_));
  std::puts(was_hit_ ? ("hit " + hit_).c_str() : "missed");
}

// --- The command line ---

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "inject: %s\n%s", why.c_str(), usage);
  std::exit(2);
}

bool is_action(const std::string& action) {
  return action == "kill" || action == "kill-one" ||
         std::any_of(std::begin(errnos), std::end(errnos),
                     [&](const Errno& error) { return action == error.name; });
}

Options parse(int argc, char** argv) {
  Options options;
  int i = 1;
  for (; i + 1 < argc && std::strcmp(argv[i], "--") != 0; i += 2) {
    const std::string_view name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--root")
      options.root = value;
    else if (name == "--stdin")
      options.in = value;
    else if (name == "--stdout")
      options.out = value;
    else if (name == "--stderr")
      options.err = value;
    else if (name == "--from")
      options.from = value;
    else if (name == "--timeout")
      options.timeout = std::atoi(value.c_str());
    else if (name == "--list")
      options.list = value;
    else if (name == "--action")
      options.action = value;
    else if (name == "--at") {
      char call_name[32] = "";
      if (std::sscanf(value.c_str(), "%d:%ld:%31s", &options.at_task, &options.at_call,
                      call_name) != 3)
        refuse("not TASK:CALL:NAME: " + value);
      options.at_name = call_name;
    } else
      refuse("unknown option " + std::string(name));
  }
  if (i + 1 >= argc || std::strcmp(argv[i], "--") != 0) refuse("no program");
  if (options.at_task >= 0 && !is_action(options.action))
    refuse("unknown action " + options.action);
  options.program.assign(argv + i + 1, argv + argc);
  options.program.push_back(nullptr);
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  struct sigaction action {};
  action.sa_handler = [](int) { is_late = 1; };
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval timer{{1, 0},
                        {options.timeout, 0}};  // again each second, lest one come too early
  ::setitimer(ITIMER_REAL, &timer, nullptr);
  Run run(options);
  run.start();
  run.follow();
  run.report();
  return 0;
}
