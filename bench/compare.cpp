// SPDX-License-Identifier: LGPL-2.1-or-later
// Times two commands as whole processes, in turn (A B A B ...), so that a machine whose speed
// drifts drifts for both; prints the medians and the ratio of the medians.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern char** environ;

struct Side {
  std::vector<char*> command;
  const char* undo = nullptr;  // shell command after each run, not timed
  const char* input = "/dev/null";
  std::vector<double> times;  // milliseconds
};

static double run_once(const Side& side) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, side.input, O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  int status = 0;
  const auto begin = std::chrono::steady_clock::now();
  if (posix_spawn(&pid, side.command[0], &actions, nullptr, side.command.data(), environ) != 0 ||
      waitpid(pid, &status, 0) != pid || status != 0) {
    std::fprintf(stderr, "compare: %s failed with status %d\n", side.command[0], status);
    std::exit(1);
  }
  const auto end = std::chrono::steady_clock::now();
  posix_spawn_file_actions_destroy(&actions);
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

static void undo(const Side& side) {
  if (side.undo && std::system(side.undo) != 0) {
    std::fprintf(stderr, "compare: '%s' failed\n", side.undo);
    std::exit(1);
  }
}

static double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

static void report(const char* name, const Side& side) {
  const auto [least, most] = std::minmax_element(side.times.begin(), side.times.end());
  std::printf("%s  median %8.3f ms  (%.3f to %.3f)  %s\n", name, median(side.times), *least, *most,
              side.command[0]);
}

[[noreturn]] static void usage() {
  std::fputs("usage: compare [-n RUNS] [-i STDIN] [-a UNDO-A] [-b UNDO-B] A... -- B...\n", stderr);
  std::exit(2);
}

int main(int argc, char** argv) {
  Side a, b;
  int runs = 101;
  int option;
  while ((option = getopt(argc, argv, "+n:i:a:b:")) != -1) switch (option) {
      case 'n':
        runs = std::atoi(optarg);
        break;
      case 'i':
        a.input = b.input = optarg;
        break;
      case 'a':
        a.undo = optarg;
        break;
      case 'b':
        b.undo = optarg;
        break;
      default:
        usage();
    }
  Side* side = &a;
  for (int i = optind; i < argc; ++i) {
    if (std::strcmp(argv[i], "--") == 0)
      side = &b;
    else
      side->command.push_back(argv[i]);
  }
  if (a.command.empty() || b.command.empty() || runs < 1) usage();
  a.command.push_back(nullptr);
  b.command.push_back(nullptr);
  for (int i = -1; i < runs; ++i)  // the first pair warms up
    for (Side* each : {&a, &b}) {
      const double time = run_once(*each);
      undo(*each);
      if (i >= 0) each->times.push_back(time);
    }
  report("A", a);
  report("B", b);
  std::printf("A/B  %.3f\n", median(a.times) / median(b.times));
  return 0;
}
