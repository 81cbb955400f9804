// SPDX-License-Identifier: LGPL-2.1-or-later
#include "polkit/permission.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.hpp"
#include "fake_host.hpp"
#include "state/gpu_domain_marker.hpp"

namespace gpuward {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid plain = *parse_uuid("00000000-1d52-d8f3-2516-782e98ab3fa0");

class PermissionTest : public testing::Test {
 protected:
  void claimed(const Uuid& domain) {
    make_directories(host_.root().run("claims"));
    write_file_atomically(host_.root().run("claims/") + to_string(domain), "gpuward-claim 1\n");
  }
  std::string answer(std::string_view permission, const Uuid& domain,
                     std::string_view name = "web01") {
    return to_string(permission_answer(host_.root(), permission, domain, name));
  }
  FakeHost host_;
};

TEST_F(PermissionTest, a_domain_without_a_gpu_may_do_everything) {
  claimed(web01);
  for (const GuardedPermission& guarded : guarded_permissions())
    EXPECT_EQ(answer(guarded.permission, plain), "allow") << guarded.permission;
}

TEST_F(PermissionTest, a_domain_without_a_gpu_does_not_mind_a_broken_configuration) {
  host_.config("[guard\n");
  EXPECT_EQ(answer("suspend", plain), "allow");
}

/// As root no mode keeps a directory from being read; a link to itself does.
TEST_F(PermissionTest, a_directory_of_the_configuration_that_cannot_be_read_denies) {
  claimed(web01);
  make_directories(host_.root().etc("gpuward"));
  ASSERT_EQ(::symlink("conf.d", host_.root().etc("gpuward/conf.d").c_str()), 0);
  EXPECT_THAT(answer("suspend", web01), StartsWith("deny domain 'web01' has a GPU and the "
                                                   "configuration is invalid: /etc/gpuward"));
  EXPECT_EQ(answer("suspend", plain), "allow");
}

TEST_F(PermissionTest, without_a_configuration_everything_guarded_is_denied) {
  claimed(web01);
  for (const char* permission : {"suspend", "pm-control", "migrate", "hibernate", "core-dump"})
    EXPECT_THAT(answer(permission, web01), StartsWith("deny domain 'web01' has a GPU and "))
        << permission;
}

TEST_F(PermissionTest, what_also_does_no_harm_is_allowed) {
  claimed(web01);
  for (const char* permission : {"write", "snapshot", "save", "start", "stop", "reset", "read", ""})
    EXPECT_EQ(answer(permission, web01), "allow") << permission;
}

TEST_F(PermissionTest, a_hand_written_gpu_domain_has_a_mark_while_it_runs) {
  mark_gpu_domain(host_.root(), web01, "web01");
  EXPECT_THAT(answer("suspend", web01), StartsWith("deny "));
  unmark_gpu_domain(host_.root(), web01);
  EXPECT_EQ(answer("suspend", web01), "allow");
}

TEST_F(PermissionTest, what_cannot_be_determined_is_denied) {
  // As for a user without the right to look into /run/gpuward, which root always has.
  make_directories(host_.root().at("/run"));
  ASSERT_EQ(::symlink("gpuward", host_.root().at("/run/gpuward").c_str()), 0);  // ELOOP
  EXPECT_THAT(answer("suspend", plain),
              StartsWith("deny cannot determine whether domain 'web01' has a GPU: "));
  EXPECT_EQ(answer("start", plain), "allow") << "it is not guarded";
}

TEST_F(PermissionTest, each_permission_follows_its_own_guard) {
  claimed(web01);
  host_.config("[guard]\npause = allow\n");
  EXPECT_EQ(answer("suspend", web01), "allow");
  EXPECT_EQ(answer("pm-control", web01), "allow");
  EXPECT_THAT(answer("migrate", web01), HasSubstr("migration = block"));
  host_.config("[guard]\nmigration = allow\n");
  EXPECT_EQ(answer("migrate", web01), "allow");
  EXPECT_EQ(answer("hibernate", web01), "allow");
  EXPECT_EQ(answer("core-dump", web01), "allow");
  EXPECT_THAT(answer("suspend", web01), HasSubstr("pause = block"));
}

TEST_F(PermissionTest, warn_is_told_and_lets_it_through) {
  claimed(web01);
  host_.config("[guard]\npause = warn\n");
  EXPECT_EQ(answer("suspend", web01), "warn domain 'web01' has a GPU and [guard] has pause = warn");
}

TEST_F(PermissionTest, a_configuration_with_a_mistake_allows_nothing) {
  claimed(web01);
  host_.config("[guard]\npause = allow\n[typo]\n");
  EXPECT_THAT(answer("suspend", web01), StartsWith("deny "));
  EXPECT_THAT(answer("suspend", web01), HasSubstr("gpuward.conf:3: "));
}

TEST_F(PermissionTest, a_name_cannot_forge_a_line) {
  claimed(web01);
  const std::string line = answer("suspend", web01, "x\nallow\n");
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  EXPECT_THAT(line, StartsWith("deny "));
}

}  // namespace
}  // namespace gpuward
