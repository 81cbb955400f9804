// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/instance.hpp"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using Outcome = WriteResult::Outcome;
using std::chrono::milliseconds;
constexpr milliseconds patience{20'000};

const Uuid one = *parse_uuid("00000000-0000-4000-8000-000000000001");
const Uuid two = *parse_uuid("00000000-0000-4000-8000-000000000002");

WriteResult written(const KernelWrite& write) {
  return write_in_child({&write, 1}, patience).front();
}

TEST(InstanceTest, a_host_without_mdev_has_none) {
  const TempDir empty;
  EXPECT_TRUE(list_instances(Root{empty.path()}).empty());
  EXPECT_FALSE(find_instance(Root{empty.path()}, one));
}

TEST(InstanceTest, is_found_with_parent_and_type) {
  FakeHost host;
  host.parent("mtty").type("mtty-2", 12);
  host.parent("0000:41:00.0").type("nvidia-745", 4);
  host.instance("mtty", "mtty-2", one);
  host.instance("0000:41:00.0", "nvidia-745", two);
  const auto found = find_instance(host.root(), two);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->uuid, two);
  EXPECT_EQ(found->parent, "0000:41:00.0");
  EXPECT_EQ(found->type, "nvidia-745");
  EXPECT_EQ(find_instance(host.root(), one)->parent, "mtty");
  EXPECT_EQ(list_instances(host.root()).size(), 2u);
}

TEST(InstanceTest, has_no_type_while_the_driver_still_makes_it) {
  FakeHost host;
  host.parent("mtty").type("mtty-2", 12);
  host.instance_without_type("mtty", one);
  const auto found = find_instance(host.root(), one);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->parent, "mtty");
  EXPECT_EQ(found->type, "");
}

TEST(InstanceTest, what_is_no_uuid_on_the_bus_is_passed_over) {
  FakeHost host;
  write_file_atomically(host.root().sys("bus/mdev/devices/matrix"), "");
  write_file_atomically(host.root().sys("bus/mdev/devices/") + to_string(one), "no link");
  EXPECT_TRUE(list_instances(host.root()).empty());
}

TEST(InstanceTest, writing_its_creation_makes_it_and_its_removal_ends_it) {
  FakeHost host;
  host.parent("mtty").type("mtty-2", 12);
  EXPECT_EQ(written(creation(host.root(), {one, "mtty", "mtty-2"})).outcome, Outcome::written);
  EXPECT_EQ(find_instance(host.root(), one)->type, "mtty-2");
  EXPECT_EQ(written(removal(host.root(), one)).outcome, Outcome::written);
  EXPECT_FALSE(find_instance(host.root(), one));
}

TEST(InstanceTest, creating_where_there_is_no_room_no_type_or_no_parent_tells_the_errno) {
  FakeHost host;
  host.parent("mtty").type("mtty-2", 1);
  host.instance("mtty", "mtty-2", one);
  const auto code = [&](const Instance& i) { return written(creation(host.root(), i)).code; };
  EXPECT_EQ(code({two, "mtty", "mtty-2"}), ENOSPC);
  EXPECT_EQ(code({one, "mtty", "mtty-2"}), EEXIST);
  EXPECT_EQ(code({two, "mtty", "mtty-9"}), ENOENT);
  EXPECT_EQ(code({two, "gone", "mtty-2"}), ENOENT);
}

TEST(CreateFailureTest, drivers_disagree_on_the_errno_for_no_room) {
  for (const int code : {ENOSPC, EUSERS, ENOMEM})
    EXPECT_EQ(create_failure(code), CreateFailure::no_capacity) << code;
}

TEST(CreateFailureTest, others_have_classes_of_their_own) {
  EXPECT_EQ(create_failure(ENODEV), CreateFailure::gone);
  EXPECT_EQ(create_failure(ENOENT), CreateFailure::gone);
  EXPECT_EQ(create_failure(EEXIST), CreateFailure::taken);
  for (const int code : {EIO, EPERM, EACCES, EINVAL, ELOOP, EISDIR, 0})
    EXPECT_EQ(create_failure(code), CreateFailure::other) << code;
}

TEST(WaitUntilGoneTest, what_was_never_there_is_gone) {
  FakeHost host;
  EXPECT_TRUE(wait_until_gone(host.root(), one, milliseconds(0)));
}

TEST(WaitUntilGoneTest, what_stays_is_not) {
  FakeHost host;
  host.parent("mtty").type("mtty-2", 1);
  host.instance("mtty", "mtty-2", one);
  EXPECT_FALSE(wait_until_gone(host.root(), one, milliseconds(30)));
}

TEST(WaitUntilGoneTest, find_removal_meanwhile_is) {
  FakeHost host;
  host.parent("mtty").type("mtty-2", 1);
  host.instance("mtty", "mtty-2", one);
  const auto statuses = in_processes(2, [&](int number) {
    if (number == 0) return wait_until_gone(host.root(), one, patience) ? 0 : 1;
    return written(removal(host.root(), one)).outcome == Outcome::written ? 0 : 2;
  });
  EXPECT_EQ(statuses, (std::vector<int>{0, 0}));
}

/// It leaves the bus at once, its directory stays until it is closed.
TEST(WaitUntilGoneTest, what_has_left_the_bus_and_waits_for_its_user_is_not_gone) {
  FakeHost host;
  host.parent("mtty").type("mtty-2", 1);
  host.instance("mtty", "mtty-2", one);
  host.remove_hangs(one);
  const KernelWrite write = removal(host.root(), one);
  ASSERT_EQ(write_in_child({&write, 1}, milliseconds(1000)).front().outcome, Outcome::blocked);
  EXPECT_FALSE(find_instance(host.root(), one));
  EXPECT_TRUE(instance_directory(host.root(), one));
  EXPECT_EQ(parent_of_uuid(host.root(), one), "mtty");
  EXPECT_EQ(parent_of_uuid(host.root(), two), std::nullopt);
  EXPECT_FALSE(wait_until_gone(host.root(), one, milliseconds(0)));
  host.lets_go();
  EXPECT_TRUE(wait_until_gone(host.root(), one, patience));
}

TEST(MdevctlTest, defines_a_uuid_for_a_parent) {
  FakeHost host;
  host.mdevctl_definition("mtty", one);
  EXPECT_TRUE(mdevctl_defines(host.root(), "mtty", one));
  EXPECT_FALSE(mdevctl_defines(host.root(), "mtty", two));
  EXPECT_FALSE(mdevctl_defines(host.root(), "mbochs", one));
}

}  // namespace
}  // namespace gpuward
