// SPDX-License-Identifier: LGPL-2.1-or-later
// What a command costs in counts that neither load nor clock changes: instructions in user mode,
// system calls and page faults, those of its children too. It runs twice. The second time it is
// stepped through one instruction after the other, so no counter of the processor is needed, which
// few virtual machines have; of an instruction that is repeated (rep movsb) each round counts. Page
// faults are those after execve, and of the first run: who steps reads each instruction, which maps
// its page. The environment is empty and addresses are not random: a program's start goes through
// all of the environment.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

[[noreturn]] static void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

[[noreturn]] static void usage() {
  std::fputs("usage: counts [-i STDIN] [-r ROOT] [-u UNDO] [-p PART=ADDRESS]... COMMAND...\n",
             stderr);
  std::exit(2);
}

struct Run {
  const char* input = "/dev/null";
  const char* root = nullptr;  // for chroot(2)
  char** command = nullptr;
};

[[noreturn]] static void exec(const Run& run) {
  static char* no_environment[] = {nullptr};
  const int in = open(run.input, O_RDONLY), out = open("/dev/null", O_WRONLY);
  if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0) fail(run.input);
  close(in);
  close(out);
  if (run.root && (chroot(run.root) != 0 || chdir("/") != 0)) fail(run.root);
  if (personality(ADDR_NO_RANDOMIZE) < 0) fail("personality");
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) fail("ptrace");
  execve(run.command[0], run.command, no_environment);
  fail(run.command[0]);
}

static long faults(const rusage& usage) {
  return usage.ru_minflt + usage.ru_majflt;
}

/// Stopped right behind execve.
struct Started {
  pid_t pid = 0;
  long page_faults = 0;  // until then
};

static Started start(const Run& run) {
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) exec(run);
  int status = 0;
  rusage usage;
  if (wait4(pid, &status, 0, &usage) != pid || !WIFSTOPPED(status)) std::exit(1);
  return {pid, faults(usage)};
}

static void require_success(int status, const Run& run) {
  if (status == 0) return;
  std::fprintf(stderr, "counts: %s failed with status %d\n", run.command[0], status);
  std::exit(1);
}

static long count_page_faults(const Run& run) {
  const Started started = start(run);
  int status = 0;
  rusage usage;
  if (ptrace(PTRACE_DETACH, started.pid, nullptr, 0) != 0) fail("ptrace");
  if (wait4(started.pid, &status, 0, &usage) != started.pid) fail("wait4");
  require_success(status, run);
  return faults(usage) - started.page_faults;
}

struct Steps {
  long instructions = 0;
  long system_calls = 0;
};

/// From a call of the function at `entry` to its return, without what parts do that it calls.
struct Part {
  std::string name;
  unsigned long entry = 0;
  Steps steps;
};

/// Part 0 is all that is in no other, part 1 all that processes do that the first one starts.
using Parts = std::vector<Part>;

/// A call that has not returned yet.
struct Call {
  size_t part = 0;
  unsigned long stack = 0;  // at its entry
};

/// The part that the first process is in at its next instruction.
static size_t part_at(pid_t pid, const Parts& parts, std::vector<Call>& calls) {
  user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) return 0;
  while (!calls.empty() && registers.rsp > calls.back().stack) calls.pop_back();
  for (size_t i = 2; i < parts.size(); ++i)
    if (parts[i].entry == registers.rip) calls.push_back({i, registers.rsp});
  return calls.empty() ? 0 : calls.back().part;
}

/// Linux tells the end of a system call from the step over another instruction by si_code.
static void note_step(pid_t pid, Steps& steps) {
  siginfo_t info;
  if (ptrace(PTRACE_GETSIGINFO, pid, nullptr, &info) != 0) return;  // killed meanwhile
  ++steps.instructions;
  if (info.si_code != TRAP_TRACE) ++steps.system_calls;
}

/// The signal that the process has to get when it goes on. Of its own are neither the stops of
/// ptrace nor the SIGSTOP that a child starts with when it is traced.
static int signal_for(int status) {
  const int signal = WSTOPSIG(status);
  return status >> 16 != 0 || signal == SIGTRAP || signal == SIGSTOP ? 0 : signal;
}

static void count_steps(const Run& run, Parts& parts) {
  const pid_t first = start(run).pid;
  constexpr long options =
      PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
  if (ptrace(PTRACE_SETOPTIONS, first, nullptr, options) != 0) fail("ptrace");
  std::vector<Call> calls;
  pid_t pid = first;
  int status = 0;
  size_t part = 0;
  for (;;) {
    ptrace(PTRACE_SINGLESTEP, pid, nullptr, signal_for(status));
    do
      if ((pid = waitpid(-1, &status, __WALL)) < 0) fail("waitpid");
    while (!WIFSTOPPED(status) && pid != first);
    if (!WIFSTOPPED(status)) return require_success(status, run);
    if (WSTOPSIG(status) != SIGTRAP || status >> 16 != 0) continue;
    note_step(pid, parts[pid == first ? part : 1].steps);
    if (pid == first && parts.size() > 2) part = part_at(pid, parts, calls);
  }
}

static void undo(const char* command) {
  if (!command || std::system(command) == 0) return;
  std::fprintf(stderr, "counts: '%s' failed\n", command);
  std::exit(1);
}

/// Each step is two changes of process; what is stepped through has deadlines.
static void stay_on_one_cpu() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(sched_getcpu()), &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) fail("sched_setaffinity");
}

/// NAME=ADDRESS
static Part part_of(const char* text) {
  const char* const equal = std::strchr(text, '=');
  if (!equal) usage();
  return {{text, equal}, std::strtoul(equal + 1, nullptr, 16), {}};
}

static void report(const Parts& parts, long page_faults) {
  Steps all;
  for (const Part& part : parts) {
    all.instructions += part.steps.instructions;
    all.system_calls += part.steps.system_calls;
    if (parts.size() > 2)
      std::printf("%8ld instructions  %4ld system calls  %s\n", part.steps.instructions,
                  part.steps.system_calls, part.name.c_str());
  }
  std::printf("%ld instructions  %ld system calls  %ld page faults\n", all.instructions,
              all.system_calls, page_faults);
}

int main(int argc, char** argv) {
  Run run;
  const char* after = nullptr;
  Parts parts = {{"all else", 0, {}}, {"children", 0, {}}};
  int option;
  while ((option = getopt(argc, argv, "+i:r:u:p:")) != -1) switch (option) {
      case 'i':
        run.input = optarg;
        break;
      case 'r':
        run.root = optarg;
        break;
      case 'u':
        after = optarg;
        break;
      case 'p':
        parts.push_back(part_of(optarg));
        break;
      default:
        usage();
    }
  if (optind == argc) usage();
  run.command = argv + optind;
  stay_on_one_cpu();
  const long page_faults = count_page_faults(run);
  undo(after);
  count_steps(run, parts);
  undo(after);
  report(parts, page_faults);
  return 0;
}
