// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/trusted_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class TrustedFileTest : public testing::Test {
 protected:
  TrustedFileTest() {
    make_directories(root_.etc("gpuward/conf.d"));
    write_file_atomically(file_, "");
  }
  std::vector<std::string> told(const std::string& path) {
    std::vector<std::string> lines;
    for (const Untrusted& untrusted : find_untrusted(root_, path))
      lines.push_back(to_string(untrusted));
    return lines;
  }
  TempDir directory_;
  Root root_{directory_.path()};
  const std::string file_ = root_.etc("gpuward/conf.d/10.conf");
};

TEST_F(TrustedFileTest, what_root_alone_can_write_is_trusted) {
  EXPECT_THAT(told(file_), IsEmpty());
  EXPECT_THAT(told(root_.etc("no-such-file")), IsEmpty());
  EXPECT_THAT(told("/bin/sh"), IsEmpty());
}

TEST_F(TrustedFileTest, a_mode_that_lets_others_write_is_not) {
  for (const unsigned mode : {0664U, 0646U, 0666U}) {
    ::chmod(file_.c_str(), mode);
    EXPECT_THAT(told(file_), ElementsAre("/etc/gpuward/conf.d/10.conf: others than root may write "
                                         "it; run: chmod go-w /etc/gpuward/conf.d/10.conf"));
  }
}

TEST_F(TrustedFileTest, each_directory_above_counts) {
  for (const char* const part : {"/etc/gpuward/conf.d", "/etc/gpuward", "/etc"}) {
    ::chmod(root_.at(part).c_str(), 0777);
    EXPECT_THAT(told(file_),
                ElementsAre(std::string(part) +
                            ": others than root may write it; run: chmod go-w " + part));
    ::chmod(root_.at(part).c_str(), 0755);
  }
}

TEST_F(TrustedFileTest, in_a_sticky_directory_nobody_replaces_a_file_of_root) {
  ::chmod(root_.at("/etc").c_str(), 01777);
  EXPECT_THAT(told(file_), IsEmpty());
}

TEST_F(TrustedFileTest, another_owner_is_not_trusted) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  ASSERT_EQ(::chown(file_.c_str(), 4711, 0), 0);
  EXPECT_THAT(told(file_),
              ElementsAre("/etc/gpuward/conf.d/10.conf: belongs to user 4711, not to root; run: "
                          "chown root:root /etc/gpuward/conf.d/10.conf"));
}

TEST_F(TrustedFileTest, a_link_and_what_it_leads_to_both_count) {
  make_directories(root_.at("/srv"), 0755);
  write_file_atomically(root_.at("/srv/real.conf"), "");
  const std::string link = root_.etc("gpuward/conf.d/link.conf");
  ASSERT_EQ(::symlink(root_.at("/srv/real.conf").c_str(), link.c_str()), 0);
  EXPECT_THAT(told(link), IsEmpty());
  ::chmod(root_.at("/srv").c_str(), 0777);
  EXPECT_THAT(told(link), ElementsAre("/srv: others than root may write it; run: chmod go-w /srv"));
}

}  // namespace
}  // namespace gpuward
