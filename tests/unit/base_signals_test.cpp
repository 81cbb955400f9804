// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/signals.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "base/child_process.hpp"
#include "base/file.hpp"

namespace gpuward {
namespace {

/// Status of a child that does `work`, as wait(2) reports it.
int status_of_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

int write_to_closed_pipe() {
  int ends[2];
  if (::pipe(ends) != 0) return 2;
  ::close(ends[0]);
  return ::write(ends[1], "x", 1) < 0 && errno == EPIPE ? 0 : 3;
}

TEST(Signals, a_write_to_a_reader_that_ended_is_an_error_and_not_the_end) {
  EXPECT_EQ(status_of_child([] {
              std::signal(SIGPIPE, SIG_DFL);
              set_up_signals();
              return write_to_closed_pipe();
            }),
            0);
}

TEST(Signals, nothing_that_the_parent_blocked_or_ignored_stays) {
  EXPECT_EQ(status_of_child([] {
              sigset_t all;
              sigfillset(&all);
              ::sigprocmask(SIG_SETMASK, &all, nullptr);
              std::signal(SIGCHLD, SIG_IGN);
              set_up_signals();
              const pid_t child = ::fork();
              if (child == 0) ::_exit(7);
              int status = 0;  // with SIGCHLD ignored there would be none
              if (::waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7) return 1;
              ::raise(SIGTERM);
              return 0;
            }),
            SIGTERM);
}

/// Signals that a program started by us finds ignored and blocked.
TEST(Signals, programs_that_are_started_have_none_of_ours) {
  EXPECT_EQ(status_of_child([] {
              set_up_signals();
              sigset_t some;
              sigemptyset(&some);
              sigaddset(&some, SIGTERM);
              sigaddset(&some, SIGHUP);
              ::sigprocmask(SIG_BLOCK, &some, nullptr);
              const auto text =
                  output_of("/bin/grep", {"-E", "^Sig(Blk|Ign):", "/proc/self/status"},
                            std::chrono::seconds(60));
              return text == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" ? 0 : 1;
            }),
            0);
}

TEST(Signals, scrub_programs_have_none_of_ours) {
  char file[] = "/tmp/gpuward-signals-XXXXXX";
  const int fd = ::mkstemp(file);
  ASSERT_GE(fd, 0);
  const std::string script =
      "#!/bin/sh\n[ \"$(grep -E '^Sig(Blk|Ign):' /proc/self/status | tr -d '\\n\\t')\" = "
      "SigBlk:0000000000000000SigIgn:0000000000000000 ]\n";
  ASSERT_EQ(::write(fd, script.data(), script.size()), static_cast<ssize_t>(script.size()));
  ::fchmod(fd, 0700);
  ::close(fd);
  EXPECT_EQ(status_of_child([&] {
              set_up_signals();
              return run_program(file, {"PATH=/usr/bin:/bin"}, std::chrono::seconds(60)) == "" ? 0
                                                                                               : 1;
            }),
            0);
  ::unlink(file);
}

}  // namespace
}  // namespace gpuward
