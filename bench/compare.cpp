// SPDX-License-Identifier: LGPL-2.1-or-later
// Times two commands as whole processes, in turn (A B A B ...), so that a machine whose speed
// drifts drifts for both; prints the medians, the ratio of the medians, and the middle half of the
// ratios of the pairs.
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

[[noreturn]] static void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

static int open_file(const char* path, int flags) {
  const int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) fail(path);
  return fd;
}

/// What is started then has `root` for /; returns what leave() needs.
static int enter(const char* root) {
  const int ours = open_file("/", O_PATH | O_DIRECTORY);
  if (chroot(root) != 0 || chdir("/") != 0) fail(root);
  return ours;
}

static void leave(int ours) {
  if (fchdir(ours) != 0 || chroot(".") != 0) fail("chroot");
  close(ours);
}

static double run_once(const Side& side, const char* root) {
  const int in = open_file(side.input, O_RDONLY), out = open_file("/dev/null", O_WRONLY);
  const int ours = root ? enter(root) : -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
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
  if (root) leave(ours);
  close(in);
  close(out);
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

static void undo(const Side& side) {
  if (side.undo && std::system(side.undo) != 0) {
    std::fprintf(stderr, "compare: '%s' failed\n", side.undo);
    std::exit(1);
  }
}

/// The value that `share` of the others are below: 0.5 for the median.
static double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size()))];
}

static double median(const std::vector<double>& values) {
  return quantile(values, 0.5);
}

static void report(const char* name, const Side& side) {
  const auto [least, most] = std::minmax_element(side.times.begin(), side.times.end());
  std::printf("%s  median %8.3f ms  (half of them %.3f to %.3f, all %.3f to %.3f)  %s\n", name,
              median(side.times), quantile(side.times, 0.25), quantile(side.times, 0.75), *least,
              *most, side.command[0]);
}

static void report_ratio(const Side& a, const Side& b) {
  std::vector<double> ratios(a.times.size());
  for (size_t i = 0; i < ratios.size(); ++i) ratios[i] = a.times[i] / b.times[i];
  std::printf("A/B  %.3f  (of the pairs: median %.3f, half of them %.3f to %.3f)\n",
              median(a.times) / median(b.times), median(ratios), quantile(ratios, 0.25),
              quantile(ratios, 0.75));
}

[[noreturn]] static void usage() {
  std::fputs("usage: compare [-n RUNS] [-i STDIN] [-r ROOT] [-a UNDO-A] [-b UNDO-B] A... -- B...\n",
             stderr);
  std::exit(2);
}

int main(int argc, char** argv) {
  Side a, b;
  const char* root = nullptr;  // for A and B; the undo commands have ours, and run in /
  int runs = 101;
  int option;
  while ((option = getopt(argc, argv, "+n:i:r:a:b:")) != -1) switch (option) {
      case 'n':
        runs = std::atoi(optarg);
        break;
      case 'i':
        a.input = b.input = optarg;
        break;
      case 'r':
        root = optarg;
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
      const double time = run_once(*each, root);
      undo(*each);
      if (i >= 0) each->times.push_back(time);
    }
  report("A", a);
  report("B", b);
  report_ratio(a, b);
  return 0;
}
