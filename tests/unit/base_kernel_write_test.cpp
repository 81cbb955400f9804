// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/kernel_write.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <set>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/lock.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using Outcome = WriteResult::Outcome;
using std::chrono::milliseconds;

constexpr milliseconds patience{20'000};  // for what is expected to come
constexpr milliseconds hurry{500};        // for what is expected to hang

/// Control files of every temper, all real ones of this machine's kernel.
class WriteInChild : public testing::Test {
 protected:
  ~WriteInChild() override {
    for (const pid_t child : stuck_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
  }
  std::vector<WriteResult> do_writes(std::span<const KernelWrite> writes, milliseconds deadline) {
    auto results = write_in_child(writes, deadline);
    for (const WriteResult& result : results)
      if (result.outcome == Outcome::blocked) stuck_.insert(result.child);
    return results;
  }
  std::string file(const std::string& name) {
    write_file_atomically(dir_ / name, "");
    return dir_ / name;
  }
  /// Opening it for writing blocks until someone reads it.
  std::string hanging_file() {
    EXPECT_EQ(::mkfifo((dir_ / "hangs").c_str(), 0600), 0);
    return dir_ / "hangs";
  }
  /// Lets go of a child that hangs in open(); it is gone when this returns.
  void let_go(pid_t child) {
    const Fd reader(::open((dir_ / "hangs").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    stuck_.erase(child);
  }
  std::string text_of(const std::string& path) { return read_file(path).value_or("(none)"); }
  TempDir dir_;
  std::set<pid_t> stuck_;
};

TEST_F(WriteInChild, nothing_to_write_gives_no_result) {
  EXPECT_TRUE(do_writes({}, patience).empty());
}

TEST_F(WriteInChild, each_file_gets_its_value_whole) {
  const KernelWrite writes[] = {{file("a"), "1"}, {file("b"), "two\n"}};
  const auto results = do_writes(writes, patience);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].outcome, Outcome::written);
  EXPECT_EQ(results[1].outcome, Outcome::written);
  EXPECT_EQ(text_of(dir_ / "a"), "1");
  EXPECT_EQ(text_of(dir_ / "b"), "two\n");
}

TEST_F(WriteInChild, writes_are_done_in_order) {
  const std::string path = file("a");
  const KernelWrite writes[] = {{path, "first"}, {path, "later"}};
  do_writes(writes, patience);
  EXPECT_EQ(text_of(path), "later");
}

TEST_F(WriteInChild, stops_at_the_first_failure_and_tells_its_errno) {
  const KernelWrite writes[] = {{file("a"), "1"}, {dir_ / "absent", "1"}, {file("c"), "1"}};
  const auto results = do_writes(writes, patience);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].outcome, Outcome::written);
  EXPECT_EQ(results[1].outcome, Outcome::failed);
  EXPECT_EQ(results[1].code, ENOENT);
  EXPECT_EQ(results[2].outcome, Outcome::untried);
  EXPECT_EQ(text_of(dir_ / "c"), "");
}

TEST_F(WriteInChild, an_absent_file_is_not_made) {
  const KernelWrite write{dir_ / "absent", "1"};
  do_writes({&write, 1}, patience);
  EXPECT_FALSE(exists(dir_ / "absent"));
}

TEST_F(WriteInChild, a_refused_write_gives_the_errno_of_write) {
  const KernelWrite write{"/dev/full", "1"};
  const auto result = do_writes({&write, 1}, patience).front();
  EXPECT_EQ(result.outcome, Outcome::failed);
  EXPECT_EQ(result.code, ENOSPC);
}

TEST_F(WriteInChild, a_directory_is_refused) {
  const KernelWrite write{dir_.path(), "1"};
  EXPECT_EQ(do_writes({&write, 1}, patience).front().code, EISDIR);
}

TEST_F(WriteInChild, a_symbolic_link_is_not_followed) {
  ASSERT_EQ(::symlink(file("a").c_str(), (dir_ / "link").c_str()), 0);
  const KernelWrite write{dir_ / "link", "1"};
  EXPECT_EQ(do_writes({&write, 1}, patience).front().code, ELOOP);
  EXPECT_EQ(text_of(dir_ / "a"), "");
}

TEST_F(WriteInChild, its_process_is_named_before_it_writes) {
  const std::string path = file("a");
  pid_t named = 0;
  std::string before;
  const KernelWrite write{path, "1"};
  const auto results = write_in_child({&write, 1}, {patience, {}, [&](pid_t child) {
                                                      ::usleep(50'000);  // it could write by now
                                                      named = child;
                                                      before = text_of(path);
                                                    }});
  EXPECT_GT(named, 0);
  EXPECT_EQ(before, "");
  EXPECT_EQ(results[0].outcome, Outcome::written);
  EXPECT_EQ(text_of(path), "1");
}

TEST_F(WriteInChild, nothing_is_written_when_it_cannot_be_named) {
  const std::string path = file("a");
  pid_t child = 0;
  const KernelWrite write{path, "1"};
  EXPECT_THROW(write_in_child({&write, 1}, {patience,
                                            {},
                                            [&](pid_t started) {
                                              child = started;
                                              throw Error("claim", "no room");
                                            }}),
               Error);
  EXPECT_EQ(text_of(path), "");
  EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), -1) << "it is waited for";
}

/// Whoever looks at the claim then must find all that may still write.
TEST_F(WriteInChild, nothing_is_written_when_its_parent_is_killed_before_it_is_named) {
  const std::string path = file("a");
  const pid_t parent = ::fork();
  if (parent == 0) {
    const KernelWrite write{path, "1"};
    write_in_child({&write, 1}, {patience, {}, [](pid_t child) {
                                   ::usleep(50'000);
                                   ::kill(::getpid(), SIGKILL);
                                   ::waitpid(child, nullptr, 0);
                                 }});
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(parent, &status, 0), parent);
  EXPECT_TRUE(WIFSIGNALED(status));
  ::usleep(200'000);
  EXPECT_EQ(text_of(path), "");
}

TEST_F(WriteInChild, no_write_is_waited_for_beyond_the_end_of_all) {
  const KernelWrite write{hanging_file(), "1"};
  const auto results =
      write_in_child({&write, 1}, {std::chrono::minutes(10), Deadline::in(milliseconds(200))});
  EXPECT_EQ(results[0].outcome, Outcome::blocked);
  stuck_.insert(results[0].child);
}

TEST_F(WriteInChild, a_hanging_write_is_stuck_and_names_its_child) {
  const KernelWrite writes[] = {{file("a"), "1"}, {hanging_file(), "1"}, {file("c"), "1"}};
  const auto results = do_writes(writes, hurry);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].outcome, Outcome::written);
  EXPECT_EQ(results[1].outcome, Outcome::blocked);
  EXPECT_EQ(results[2].outcome, Outcome::untried);
  ASSERT_GT(results[1].child, 0);
  EXPECT_EQ(::kill(results[1].child, 0), 0);
}

TEST_F(WriteInChild, a_child_that_comes_free_too_late_does_not_go_on) {
  const KernelWrite writes[] = {{hanging_file(), "1"}, {file("b"), "1"}};
  const auto results = do_writes(writes, hurry);
  ASSERT_EQ(results[0].outcome, Outcome::blocked);
  let_go(results[0].child);
  EXPECT_EQ(text_of(dir_ / "b"), "");
}

TEST_F(WriteInChild, nor_when_the_program_ignores_sigpipe_as_the_hook_does) {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  const KernelWrite writes[] = {{hanging_file(), "1"}, {file("b"), "1"}};
  const auto results = do_writes(writes, hurry);
  ASSERT_EQ(results[0].outcome, Outcome::blocked);
  let_go(results[0].child);
  EXPECT_EQ(text_of(dir_ / "b"), "");
  std::signal(SIGPIPE, before);
}

TEST_F(WriteInChild, a_stuck_child_holds_no_pipe_of_ours_open) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);  // without O_CLOEXEC, as a hook's stderr
  const KernelWrite write{hanging_file(), "1"};
  ASSERT_EQ(do_writes({&write, 1}, hurry).front().outcome, Outcome::blocked);
  ::close(ends[1]);
  pollfd wait{ends[0], POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, static_cast<int>(patience.count())), 1) << "no end of file";
  EXPECT_TRUE(wait.revents & POLLHUP);
  ::close(ends[0]);
}

TEST_F(WriteInChild, a_stuck_child_holds_no_lock_of_ours) {
  auto lock = Lock::acquire(dir_ / "lock", 1, patience);
  const KernelWrite write{hanging_file(), "1"};
  const auto result = do_writes({&write, 1}, hurry).front();
  ASSERT_EQ(result.outcome, Outcome::blocked);
  lock.reset();
  EXPECT_FALSE(Lock::is_held(dir_ / "lock", 1));
}

TEST_F(WriteInChild, leaves_no_zombie_and_no_descriptor_behind) {
  const auto open_files = [] { return list_directory("/proc/self/fd").size(); };
  const size_t before = open_files();
  const KernelWrite writes[] = {{file("a"), "1"}, {dir_ / "absent", "1"}};
  do_writes(writes, patience);
  EXPECT_EQ(open_files(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

/// A hook may be started with none of them open; the child then reports on another number.
TEST_F(WriteInChild, works_with_stdin_stdout_and_stderr_closed) {
  const KernelWrite write{file("a"), "1"};
  const auto statuses = in_processes(1, [&](int) {
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    const auto result = do_writes({&write, 1}, patience).front();
    return result.outcome == Outcome::written ? 0 : 1;
  });
  EXPECT_EQ(statuses, std::vector<int>{0});
  EXPECT_EQ(text_of(dir_ / "a"), "1");
}

}  // namespace
}  // namespace gpuward
