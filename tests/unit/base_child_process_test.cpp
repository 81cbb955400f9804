// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/child_process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/error.hpp"
#include "base/file.hpp"

namespace gpuward {
namespace {

constexpr std::chrono::seconds long_enough{60};

std::optional<std::string> shell(const std::string& script,
                                 std::chrono::milliseconds deadline = long_enough) {
  return output_of("/bin/sh", {"-c", script}, deadline);
}

int killed_others = 0;

}  // namespace
}  // namespace gpuward

/// In place of the C library's: only a child that is not waited for yet is ours to kill.
extern "C" int kill(pid_t process, int signal) noexcept {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(std::abs(process)), &info, WEXITED | WNOHANG | WNOWAIT) !=
      0)
    ++gpuward::killed_others;
  return static_cast<int>(::syscall(SYS_kill, process, signal));
}

namespace gpuward {
namespace {

TEST(ProgramTest, kills_nobody_who_is_waited_for_already) {
  killed_others = 0;
  EXPECT_EQ(shell("exit 1"), std::nullopt);
  EXPECT_EQ(shell("exec sleep 1000", std::chrono::milliseconds(50)), std::nullopt);
  EXPECT_NE(run_program("/bin/false", {}, long_enough), "");
  EXPECT_EQ(killed_others, 0);
}

TEST(ProgramTest, root_runs_it_as_nobody_unless_told_otherwise) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root";
  EXPECT_EQ(output_of("/usr/bin/id", {"-u"}, long_enough), "65534\n");
  EXPECT_EQ(output_of("/usr/bin/id", {"-u"}, long_enough, 4096, RunAs::ourselves), "0\n");
}

TEST(ProgramTest, gives_its_output) {
  EXPECT_EQ(shell("echo one; echo two >&2"), "one\n");
  EXPECT_EQ(shell(""), "");
  EXPECT_EQ(output_of("/bin/echo", {"a b", "$HOME;"}, long_enough), "a b $HOME;\n") << "no shell";
}

TEST(ProgramTest, gives_nothing_when_it_fails) {
  EXPECT_EQ(shell("echo one; exit 1"), std::nullopt);
  EXPECT_EQ(shell("echo one; kill -9 $$"), std::nullopt);
  EXPECT_EQ(output_of("/no/such/program", {}, long_enough), std::nullopt);
  EXPECT_EQ(output_of("/etc/passwd", {}, long_enough), std::nullopt);
}

TEST(ProgramTest, gives_nothing_when_it_says_too_much) {
  EXPECT_EQ(output_of("/bin/echo", {std::string(99, 'a')}, long_enough, 100)->size(), 100U);
  EXPECT_EQ(output_of("/bin/echo", {std::string(100, 'a')}, long_enough, 100), std::nullopt);
}

ProgramEnd read_shell(const std::string& script, std::chrono::milliseconds deadline = long_enough) {
  return read_program("/bin/sh", {"-c", script}, deadline, 100, RunAs::nobody);
}

TEST(ProgramTest, tells_why_it_failed) {
  EXPECT_EQ(read_shell("echo one").failure, "");
  EXPECT_EQ(read_shell("echo one").status, 0);
  const ProgramEnd refused = read_shell("echo one; exit 3");
  EXPECT_EQ(refused.failure, "ended with status 3");
  EXPECT_EQ(refused.status, 3);
  EXPECT_EQ(refused.output, "one\n");
  EXPECT_EQ(read_shell("kill -SEGV $$").failure, "was killed by signal 11 (SEGV)");
  EXPECT_EQ(read_shell("exec sleep 1000", std::chrono::milliseconds(50)).failure,
            "timed out after 0 s and was killed");
  EXPECT_EQ(read_shell("yes").failure, "printed more than 100 bytes and was killed");
  EXPECT_EQ(read_program("/no/such/program", {}, long_enough, 100, RunAs::nobody).failure,
            "cannot be run: No such file or directory");
  EXPECT_EQ(read_shell("echo one").blocked, 0);
}

TEST(ProgramTest, begins_once_its_process_was_told) {
  pid_t told = 0;
  const auto read = [&](const std::function<void(pid_t)>& on_start) {
    return read_program("/bin/sh", {"-c", "echo run; cat"}, long_enough, 100, RunAs::nobody,
                        on_start);
  };
  EXPECT_EQ(read([&](pid_t process) { told = process; }).output, "run\n") << "stdin is empty";
  EXPECT_GT(told, 0);
  EXPECT_THROW(read([](pid_t) { throw Error("claim", "not written"); }), Error);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
}

TEST(ProgramTest, is_ended_when_it_takes_too_long) {
  EXPECT_EQ(shell("exec sleep 1000", std::chrono::milliseconds(50)), std::nullopt);
  EXPECT_EQ(shell("exec 1>&-; exec sleep 1000", std::chrono::milliseconds(50)), std::nullopt);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
}

/// Whether a process has this in its command line.
bool runs(const std::string& text) {
  for (const std::string& process : list_directory("/proc")) {
    const auto command = process.find_first_not_of("0123456789") == process.npos
                             ? read_attribute("/proc/" + process + "/cmdline")
                             : std::nullopt;
    if (command && command->find(text) != command->npos) return true;
  }
  return false;
}

// With the output open, and without; in its session, and in one of its own.
TEST(ProgramTest, leaves_nothing_behind) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can end processes of other sessions";
  const std::string seconds = "98" + std::to_string(::getpid());
  for (const std::string start : {"", "setsid "})
    for (const std::string output : {"", " >/dev/null"}) {
      EXPECT_EQ(shell(start + "sleep " + seconds + output + " & echo one"), "one\n");
      EXPECT_FALSE(runs(seconds)) << start << output;
      EXPECT_EQ(shell(start + "sleep " + seconds + output + " & exec sleep 1000",
                      std::chrono::milliseconds(300)),
                std::nullopt);
      EXPECT_FALSE(runs(seconds)) << start << output;
    }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
}

TEST(ProgramTest, has_nothing_of_ours) {
  const Fd open(::open("/etc/passwd", O_RDONLY));  // without O_CLOEXEC
  ASSERT_GE(open.get(), 3);
  ::setenv("GPUWARD_TEST", "x", 1);
  EXPECT_EQ(shell("exec ls /proc/self/fd"), "0\n1\n2\n3\n") << "3 is what ls reads";
  EXPECT_EQ(shell("echo \"$GPUWARD_TEST\"; cat"), "\n");
  if (::geteuid() != 0) return;
  EXPECT_EQ(shell("id -u; id -g; id -G"), "65534\n65534\n65534\n");
}

TEST(ProgramTest, a_program_that_root_runs_has_the_given_environment_and_nothing_else_of_ours) {
  const std::string text =
      "#!/bin/sh\n[ \"$(ls /proc/self/fd | tr '\\n' ' ')\" = '0 1 2 3 ' ] || exit 2\n"
      "[ -z \"$GPUWARD_TEST\" ] || exit 3\n[ \"$GPUWARD_DEVICE\" = 0000:41:00.0 ] || exit 4\n"
      "[ -z \"$(cat)\" ] || exit 5\n";
  const std::string copy = "/tmp/gpuward-program-test." + std::to_string(::getpid());
  write_file_atomically(copy, text, 0700);
  const Fd open(::open("/etc/passwd", O_RDONLY));  // without O_CLOEXEC
  ::setenv("GPUWARD_TEST", "x", 1);
  EXPECT_EQ(run_program(copy, {"PATH=/usr/bin:/bin", "GPUWARD_DEVICE=0000:41:00.0"}, long_enough),
            "");
  ::unlink(copy.c_str());
}

TEST(ProgramTest, runs_for_one_who_has_no_stdin_or_stdout) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int fd : {0, 1, 2}) ::close(fd);
    const auto text = shell("echo one; cat");
    ::_exit(text == "one\n" ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace gpuward
