// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/open_handles.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

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

}  // namespace
}  // namespace gpuward
