// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/parent.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "fake_host.hpp"

namespace gpuward {
namespace {

using Names = std::vector<std::string>;

TEST(DeviceNameTest, names_of_the_kernel_are_taken) {
  for (const std::string_view name :
       {"mtty", "0000:41:00.0", "i915-GVTg_V5_4", "nvidia-745", "a+b", ".hidden", "..."})
    EXPECT_TRUE(is_device_name(name)) << name;
}

TEST(DeviceNameTest, names_that_may_not_stand_in_a_path_are_not) {
  for (const std::string_view name :
       {"", ".", "..", "a/b", "/", "a b", "a\nb", "a\tb", "\xc3\xbc", "a*", "$(id)", "'"})
    EXPECT_FALSE(is_device_name(name)) << name;
  EXPECT_FALSE(is_device_name(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_device_name(std::string(256, 'a')));
  EXPECT_TRUE(is_device_name(std::string(255, 'a')));
}

TEST(ParentTest, a_host_without_mdev_has_none) {
  const TempDir empty;
  EXPECT_TRUE(parent_names(Root{empty.path()}).empty());
  FakeHost host;
  EXPECT_TRUE(parent_names(host.root()).empty());
}

TEST(ParentTest, are_listed_by_name) {
  FakeHost host;
  host.parent("mtty");
  host.parent("0000:41:00.0");
  host.parent("mbochs");
  host.pci_gpu("0000:03:00.0");
  EXPECT_EQ(parent_names(host.root()), (Names{"0000:41:00.0", "mbochs", "mtty"}));
}

TEST(ParentTest, with_hostile_names_are_passed_over) {
  FakeHost host;
  host.parent("mtty");
  for (const char* name : {"a b", "x\ny", "'; rm"})
    ASSERT_EQ(::symlink("..", host.root().sys(std::string("class/mdev_bus/") + name).c_str()), 0);
  EXPECT_EQ(parent_names(host.root()), Names{"mtty"});
}

TEST(ParentTest, that_are_no_pci_devices_have_no_address) {
  FakeHost host;
  host.parent("mtty").attribute("vendor", "0x10de").attribute("numa_node", "1");
  const auto parent = find_parent(host.root(), "mtty");
  ASSERT_TRUE(parent);
  EXPECT_EQ(parent->name, "mtty");
  EXPECT_FALSE(parent->address);
  EXPECT_EQ(parent->vendor, 0);
  EXPECT_FALSE(parent->numa_node);
}

TEST(ParentTest, that_are_pci_devices_have_address_ids_and_node) {
  FakeHost host;
  host.parent("0000:41:00.0").pci_id(0x10de, 0x2236).numa_node(1);
  const auto parent = find_parent(host.root(), "0000:41:00.0");
  ASSERT_TRUE(parent);
  EXPECT_EQ(parent->address, (PciAddress{0, 0x41, 0, 0}));
  EXPECT_EQ(parent->vendor, 0x10de);
  EXPECT_EQ(parent->device, 0x2236);
  EXPECT_EQ(parent->numa_node, 1);
}

TEST(ParentTest, node_minus_1_says_nothing) {
  FakeHost host;
  host.parent("0000:41:00.0").numa_node(-1);
  EXPECT_FALSE(find_parent(host.root(), "0000:41:00.0")->numa_node);
}

TEST(ParentTest, missing_or_broken_attributes_are_not_told) {
  FakeHost host;
  host.parent("0000:41:00.0").without("numa_node").without("vendor").attribute("device", "2236");
  const auto parent = find_parent(host.root(), "0000:41:00.0");
  ASSERT_TRUE(parent);
  EXPECT_EQ(parent->vendor, 0);
  EXPECT_EQ(parent->device, 0) << "without 0x it is no id";
  EXPECT_FALSE(parent->numa_node);
}

TEST(ParentTest, absent_gone_or_hostile_ones_are_not_found) {
  FakeHost host;
  host.parent("mtty");
  EXPECT_FALSE(find_parent(host.root(), "mbochs"));
  EXPECT_FALSE(find_parent(host.root(), ".."));
  EXPECT_FALSE(find_parent(host.root(), "../mdev_bus/mtty"));
  EXPECT_FALSE(find_parent(host.root(), ""));
  host.parent_goes("mtty");
  EXPECT_FALSE(find_parent(host.root(), "mtty"));
}

TEST(MdevTypeTest, are_listed_with_all_they_say) {
  FakeHost host;
  host.parent("mbochs").type("mbochs-small", 64).type("mbochs-large", 4);
  EXPECT_EQ(type_ids(host.root(), "mbochs"),
            (std::vector<std::string>{"mbochs-large", "mbochs-small"}));
  EXPECT_EQ(type_name(host.root(), "mbochs", "mbochs-small"), "mbochs-small by name");
  EXPECT_EQ(device_api(host.root(), "mbochs", "mbochs-small"), "vfio-pci");
  EXPECT_EQ(type_description(host.root(), "mbochs", "mbochs-small"), "made up");
}

TEST(MdevTypeTest, optional_attributes_may_be_missing) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 24);
  for (const char* attribute : {"name", "description", "device_api", "available_instances"})
    host.parent("mtty").without(std::string("mdev_supported_types/mtty-1/") + attribute);
  EXPECT_EQ(type_ids(host.root(), "mtty").size(), 1u);
  EXPECT_EQ(type_name(host.root(), "mtty", "mtty-1"), "");
  EXPECT_EQ(device_api(host.root(), "mtty", "mtty-1"), "");
  EXPECT_EQ(type_description(host.root(), "mtty", "mtty-1"), "");
  EXPECT_FALSE(available_instances(host.root(), "mtty", "mtty-1"));
}

TEST(MdevTypeTest, descriptions_of_many_lines_stay_whole) {
  FakeHost host;
  host.parent("gvt").type("i915-GVTg_V5_4", 2);
  host.parent("gvt").attribute("mdev_supported_types/i915-GVTg_V5_4/description",
                               "low_gm_size: 128MB\nweight: 4");
  EXPECT_EQ(type_description(host.root(), "gvt", "i915-GVTg_V5_4"),
            "low_gm_size: 128MB\nweight: 4");
}

TEST(MdevTypeTest, with_hostile_names_are_passed_over) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 1).type("a b", 1).type("x\ny", 1);
  EXPECT_EQ(type_ids(host.root(), "mtty"), std::vector<std::string>{"mtty-1"});
}

TEST(MdevTypeTest, a_parent_that_went_has_none) {
  FakeHost host;
  EXPECT_TRUE(type_ids(host.root(), "mtty").empty());
}

TEST(AvailableInstancesTest, is_what_the_kernel_says) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 24).type("mtty-2", 12);
  EXPECT_EQ(available_instances(host.root(), "mtty", "mtty-1"), 24u);
  EXPECT_FALSE(available_instances(host.root(), "mtty", "mtty-3"));
  EXPECT_FALSE(available_instances(host.root(), "mbochs", "mtty-1"));
}

TEST(AvailableInstancesTest, text_that_is_no_number_is_nothing) {
  FakeHost host;
  for (const char* text : {"", "many", "-1", "4 of 8", "99999999999"}) {
    host.parent("mtty").type("mtty-1", 24);
    host.parent("mtty").attribute("mdev_supported_types/mtty-1/available_instances", text);
    EXPECT_FALSE(available_instances(host.root(), "mtty", "mtty-1")) << text;
  }
}

TEST(HostdevModelTest, is_the_device_api_of_the_first_type_that_a_parent_has) {
  FakeHost host;
  host.parent("matrix")
      .type("vfio_ap-passthrough", 1)
      .attribute("mdev_supported_types/vfio_ap-passthrough/device_api", "vfio-ap");
  host.parent("0.0.0313")
      .type("vfio_ccw-io", 1)
      .attribute("mdev_supported_types/vfio_ccw-io/device_api", "vfio-ccw");
  host.parent("odd").type("odd-1", 1).attribute("mdev_supported_types/odd-1/device_api", "x' y='");
  host.parent("mtty").type("mtty-1", 1);
  EXPECT_EQ(hostdev_model(host.root(), {"vfio_ap-passthrough"}), "vfio-ap");
  EXPECT_EQ(hostdev_model(host.root(), {"no-1", "vfio_ccw-io"}), "vfio-ccw");
  EXPECT_EQ(hostdev_model(host.root(), {"mtty-1"}), "vfio-pci");
  for (const char* type : {"no-1", "odd-1", "../mtty-1", ""})
    EXPECT_EQ(hostdev_model(host.root(), {type}), "vfio-pci") << type;
  EXPECT_EQ(hostdev_model(host.root(), {}), "vfio-pci");
}

}  // namespace
}  // namespace gpuward
