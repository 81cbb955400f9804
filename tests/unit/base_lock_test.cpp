// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/lock.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds patience{60'000};
constexpr milliseconds none{0};

class LockTest : public testing::Test {
 protected:
  /// Whether another process gets the lock at once: 1, or 0.
  int another_gets(uint64_t number) {
    return in_processes(1, [&](int) { return Lock::acquire(file_, number, none).has_value(); })
        .front();
  }
  TempDir dir_;
  std::string file_ = dir_ / "lock";
};

/// Another process that holds a lock until it is killed.
class OtherHolder {
 public:
  OtherHolder(const std::string& file, uint64_t number) {
    int ready[2];
    if (::pipe(ready) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      const auto lock = Lock::acquire(file, number, patience);
      if (::write(ready[1], "", 1) == 1)
        for (;;) ::pause();
      ::_exit(1);
    }
    char byte;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~OtherHolder() { kill(); }
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }

 private:
  pid_t child_ = 0;
};

TEST_F(LockTest, one_process_excludes_another) {
  const auto lock = Lock::acquire(file_, 1, patience);
  ASSERT_TRUE(lock);
  EXPECT_EQ(another_gets(1), 0);
}

TEST_F(LockTest, two_holders_in_one_process_exclude_each_other_too) {
  const auto lock = Lock::acquire(file_, 1, patience);
  EXPECT_FALSE(Lock::acquire(file_, 1, none));
}

TEST_F(LockTest, different_numbers_do_not_meet) {
  const auto lock = Lock::acquire(file_, 1, patience);
  EXPECT_EQ(another_gets(2), 1);
  EXPECT_EQ(another_gets(0), 1);
}

TEST_F(LockTest, numbers_of_64_bits_are_locked_too) {
  const auto lock = Lock::acquire(file_, ~0ULL, patience);
  ASSERT_TRUE(lock);
  EXPECT_EQ(another_gets(~0ULL), 0);
  EXPECT_EQ(another_gets(~0ULL - 1), 1);
}

TEST_F(LockTest, is_given_up_with_its_object) {
  { const auto lock = Lock::acquire(file_, 1, patience); }
  EXPECT_EQ(another_gets(1), 1);
}

TEST_F(LockTest, moves_with_its_object) {
  auto lock = Lock::acquire(file_, 1, patience);
  const Lock moved = std::move(*lock);
  lock.reset();
  EXPECT_EQ(another_gets(1), 0);
}

TEST_F(LockTest, ends_with_a_holder_that_is_killed) {
  OtherHolder other(file_, 1);
  EXPECT_FALSE(Lock::acquire(file_, 1, none));
  other.kill();
  EXPECT_TRUE(Lock::acquire(file_, 1, none));
}

TEST_F(LockTest, waits_for_the_holder_to_end) {
  OtherHolder other(file_, 1);
  const auto statuses = in_processes(2, [&](int number) {
    if (number == 1) return Lock::acquire(file_, 1, patience) ? 0 : 1;
    ::usleep(20'000);
    other.kill();
    return 0;
  });
  EXPECT_EQ(statuses[1], 0);
}

TEST_F(LockTest, is_held_sees_other_processes_and_this_one) {
  EXPECT_FALSE(Lock::is_held(file_, 1)) << "there is no lock file yet";
  OtherHolder other(file_, 1);
  EXPECT_TRUE(Lock::is_held(file_, 1));
  EXPECT_FALSE(Lock::is_held(file_, 2));
  other.kill();
  EXPECT_FALSE(Lock::is_held(file_, 1));
  const auto lock = Lock::acquire(file_, 1, patience);
  EXPECT_TRUE(Lock::is_held(file_, 1));
}

TEST_F(LockTest, of_a_file_that_cannot_be_opened_is_not_free) {
  make_directories(file_);
  EXPECT_THROW(Lock::is_held(file_, 1), SystemError);
}

TEST_F(LockTest, is_held_takes_nothing) {
  { const auto lock = Lock::acquire(file_, 1, patience); }
  EXPECT_FALSE(Lock::is_held(file_, 1));
  EXPECT_TRUE(Lock::acquire(file_, 1, none));
}

TEST_F(LockTest, a_link_in_place_of_the_file_is_refused) {
  ASSERT_EQ(::symlink("elsewhere", file_.c_str()), 0);
  EXPECT_THROW(Lock::acquire(file_, 1, none), SystemError);
}

TEST_F(LockTest, only_one_of_many_is_inside_at_a_time) {
  const std::string inside = dir_ / "inside";
  const auto statuses = in_processes(8, [&](int) {
    for (int i = 0; i < 20; ++i) {
      const auto lock = Lock::acquire(file_, 7, patience);
      if (!lock) return 2;
      if (::mkdir(inside.c_str(), 0700) != 0) return 1;  // fails when there is another
      ::rmdir(inside.c_str());
    }
    return 0;
  });
  EXPECT_EQ(statuses, std::vector<int>(8, 0));
}

}  // namespace
}  // namespace gpuward
