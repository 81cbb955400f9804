// SPDX-License-Identifier: LGPL-2.1-or-later
// What a command costs in counts that neither load nor clock changes: instructions in user mode,
// system calls and page faults, those of its children too. It runs twice. The second time it is
// stepped through one instruction after the other, so no counter of the processor is needed, which
// few virtual machines have; of an instruction that is repeated (rep movsb) each round counts. Page
// faults are those after execve, and of the first run: who steps reads each instruction, which maps
// its page. The environment is empty and addresses are not random: a program's start goes through
// all of the environment.
#include <fcntl.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

[[noreturn]] static void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

[[noreturn]] static void exec(const char* input, char** command) {
  static char* no_environment[] = {nullptr};
  const int in = open(input, O_RDONLY), out = open("/dev/null", O_WRONLY);
  if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0) fail(input);
  close(in);
  close(out);
  if (personality(ADDR_NO_RANDOMIZE) < 0) fail("personality");
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) fail("ptrace");
  execve(command[0], command, no_environment);
  fail(command[0]);
}

static long faults(const rusage& usage) {
  return usage.ru_minflt + usage.ru_majflt;
}

/// Stopped right behind execve.
struct Started {
  pid_t pid = 0;
  long page_faults = 0;  // until then
};

static Started start(const char* input, char** command) {
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) exec(input, command);
  int status = 0;
  rusage usage;
  if (wait4(pid, &status, 0, &usage) != pid || !WIFSTOPPED(status)) std::exit(1);
  return {pid, faults(usage)};
}

static void require_success(int status, const char* command) {
  if (status == 0) return;
  std::fprintf(stderr, "counts: %s failed with status %d\n", command, status);
  std::exit(1);
}

static long count_page_faults(const char* input, char** command) {
  const Started started = start(input, command);
  int status = 0;
  rusage usage;
  if (ptrace(PTRACE_DETACH, started.pid, nullptr, 0) != 0) fail("ptrace");
  if (wait4(started.pid, &status, 0, &usage) != started.pid) fail("wait4");
  require_success(status, command[0]);
  return faults(usage) - started.page_faults;
}

struct Steps {
  long instructions = 0;
  long system_calls = 0;
};

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

static Steps count_steps(const char* input, char** command) {
  const pid_t first = start(input, command).pid;
  constexpr long options =
      PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
  if (ptrace(PTRACE_SETOPTIONS, first, nullptr, options) != 0) fail("ptrace");
  Steps steps;
  pid_t pid = first;
  int status = 0;
  for (;;) {
    ptrace(PTRACE_SINGLESTEP, pid, nullptr, signal_for(status));
    do
      if ((pid = waitpid(-1, &status, __WALL)) < 0) fail("waitpid");
    while (!WIFSTOPPED(status) && pid != first);
    if (!WIFSTOPPED(status)) {
      require_success(status, command[0]);
      return steps;
    }
    if (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0) note_step(pid, steps);
  }
}

int main(int argc, char** argv) {
  const char* input = "/dev/null";
  int option;
  while ((option = getopt(argc, argv, "+i:")) == 'i') input = optarg;
  if (option != -1 || optind == argc) {
    std::fputs("usage: counts [-i STDIN] COMMAND...\n", stderr);
    return 2;
  }
  const long page_faults = count_page_faults(input, argv + optind);
  const Steps steps = count_steps(input, argv + optind);
  std::printf("%ld instructions  %ld system calls  %ld page faults\n", steps.instructions,
              steps.system_calls, page_faults);
  return 0;
}
