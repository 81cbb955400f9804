// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/open_handles.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/file.hpp"
#include "fake_host.hpp"
#include "inventory/device_nodes.hpp"

namespace gpuward {
namespace {

const Uuid one = *parse_uuid("00000000-0000-4000-8000-000000000001");
const Uuid two = *parse_uuid("00000000-0000-4000-8000-000000000002");

class HoldersTest : public testing::Test {
 protected:
  HoldersTest() {
    host_.parent("mtty").type("mtty-2", 12);
    host_.instance("mtty", "mtty-2", one);
    host_.instance("mtty", "mtty-2", two);
  }
  std::string holder(const Uuid& instance) {
    const auto found = OpenHandles(host_.root()).of(instance_numbers(host_.root(), instance));
    return found ? to_string(*found) : "nobody";
  }
  std::string group(const Uuid& instance) {
    const auto link =
        read_link(host_.root().sys("bus/mdev/devices/") + to_string(instance) + "/iommu_group");
    return "/dev/vfio/" + std::string(base_name(link.value()));
  }
  FakeHost host_;
};

TEST_F(HoldersTest, nobody_has_it_open) {
  EXPECT_EQ(holder(one), "nobody");
}

TEST_F(HoldersTest, the_process_with_its_group_open_has_it) {
  host_.opens(4711, "qemu-system-x86", one);
  EXPECT_EQ(holder(one), "process 4711 (qemu-system-x86)");
  EXPECT_EQ(holder(two), "nobody");
}

TEST_F(HoldersTest, a_signal_hides_no_holder) {
  host_.process(4711, "qemu-system-x86", {group(one)});
  host_.interruptions = 1;
  EXPECT_EQ(holder(one), "process 4711 (qemu-system-x86)");
}

TEST_F(HoldersTest, the_process_with_its_own_node_open_has_it) {
  host_.file("/sys/bus/mdev/devices/" + to_string(two) + "/vfio-dev/vfio3/dev", "511:3\n");
  host_.process(12, "qemu", {"/dev/vfio/devices/vfio3"});
  EXPECT_EQ(holder(two), "process 12 (qemu)");
  EXPECT_EQ(holder(one), "nobody");
}

TEST_F(HoldersTest, the_container_belongs_to_no_device) {
  host_.process(12, "qemu", {"/dev/vfio/vfio"});
  EXPECT_EQ(holder(one), "nobody");
}

TEST_F(HoldersTest, a_group_number_that_only_begins_alike_is_another) {
  host_.process(12, "qemu", {group(one) + "0", "/dev/vfio/", "/tmp" + group(one)});
  EXPECT_EQ(holder(one), "nobody");
}

TEST_F(HoldersTest, it_may_be_any_of_many_descriptors_and_processes) {
  host_.process(1, "systemd", {"/dev/null", "socket:[1]"});
  host_.process(77, "qemu", {"/dev/kvm", "anon_inode:[eventfd]", group(one)});
  EXPECT_EQ(holder(one), "process 77 (qemu)");
}

TEST_F(HoldersTest, a_descriptor_that_only_names_the_node_holds_nothing) {
  host_.process(90, "systemd-udevd", {group(one)});
  host_.file("/proc/90/fdinfo/3", "pos:\t0\nflags:\t012000000\nmnt_id:\t27\n");
  EXPECT_EQ(holder(one), "nobody");
  host_.file("/proc/90/fdinfo/3", "pos:\t0\nflags:\t02100002\nmnt_id:\t27\n");
  EXPECT_EQ(holder(one), "process 90 (systemd-udevd)");
}

TEST_F(HoldersTest, a_process_that_ends_while_looking_is_no_trouble) {
  host_.process(77, "qemu", {group(one)});
  std::filesystem::remove(host_.root().proc("77/comm"));
  EXPECT_EQ(holder(one), "process 77 (?)");
  std::filesystem::remove_all(host_.root().proc("77/fd"));
  EXPECT_EQ(holder(one), "nobody");
}

TEST_F(HoldersTest, what_is_no_process_in_proc_is_passed_over) {
  make_directories(host_.root().proc("self/fd"));
  ASSERT_EQ(::symlink(group(one).c_str(), host_.root().proc("self/fd/3").c_str()), 0);
  EXPECT_EQ(holder(one), "nobody");
}

TEST_F(HoldersTest, an_instance_that_is_not_there_is_held_by_nobody) {
  host_.opens(4711, "qemu", one);
  host_.instance_goes(one);
  EXPECT_EQ(holder(one), "nobody");
}

TEST_F(HoldersTest, an_instance_without_a_group_is_held_by_nobody) {
  const Uuid young = *parse_uuid("00000000-0000-4000-8000-000000000003");
  host_.instance_without_type("mtty", young);
  host_.process(4711, "qemu", {"/dev/vfio/1"});
  EXPECT_EQ(holder(young), "nobody");
}

// ---- what any user can have open, in the real /proc: this process is the user

/// Why the open files of this process are not known; "" when they are.
std::string unknown_of_this_process() {
  const Root root;
  const OpenHandles open(root);
  for (const UnreadableProcess& unreadable : open.unknown())
    if (unreadable.process.pid == ::getpid()) return unreadable.reason;
  return {};
}

TEST(OpenFilesTest, a_path_longer_than_a_link_can_be_read_hides_nothing) {
  const TempDir directory;
  Fd deepest(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string name(250, 'd');
  for (int level = 0; level < 20; ++level) {  // 5000 bytes
    ASSERT_EQ(::mkdirat(deepest.get(), name.c_str(), 0755), 0);
    deepest = Fd(::openat(deepest.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(deepest);
  }
  char target[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(deepest.get());
  ASSERT_EQ(::readlink(link.c_str(), target, sizeof target), -1);
  ASSERT_EQ(errno, ENAMETOOLONG);
  EXPECT_EQ(unknown_of_this_process(), "");
}

/// Of one open file, statx of which fails so; `code_of_nothing` where it asks for no attribute.
std::string unknown_by_statx(int code, int code_of_nothing) {
  FakeHost host;
  const Fd file(::open(host.root().prefix.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string link =
      "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file.get());
  host.statx_fails = [&](const std::string& path, unsigned mask) {
    return path != link ? 0 : mask == 0 ? code_of_nothing : code;
  };
  return unknown_of_this_process();
}

TEST(OpenFilesTest, a_filesystem_that_answers_only_its_own_user_hides_nothing) {
  EXPECT_EQ(unknown_by_statx(EACCES, 0), "");
}

TEST(OpenFilesTest, a_file_whose_filesystem_has_lost_it_hides_nothing) {
  EXPECT_EQ(unknown_by_statx(EIO, EIO), "");
  EXPECT_EQ(unknown_by_statx(ESTALE, ESTALE), "");
}

TEST(OpenFilesTest, what_the_host_itself_refuses_is_unknown) {
  for (const int code : {EACCES, EPERM, ENOMEM}) EXPECT_NE(unknown_by_statx(code, code), "");
}

}  // namespace
}  // namespace gpuward
