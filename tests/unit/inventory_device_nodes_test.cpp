// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/device_nodes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.hpp"
#include "fake_host.hpp"
#include "inventory/usage.hpp"

namespace gpuward {
namespace {

const PciAddress gpu = *parse_pci_address("0000:41:00.0");

/// A card on which every driver that there is has its node.
class DeviceNodesTest : public testing::Test {
 protected:
  DeviceNodesTest() {
    host_.pci_gpu(to_string(gpu))
        .attribute("drm/card1/dev", "226:1")
        .attribute("drm/renderD129/dev", "226:129")
        .attribute("graphics/fb2/dev", "29:2")
        .attribute("vfio-dev/vfio3/dev", "511:3");
    host_.iommu_group(20, {to_string(gpu)});
    host_.file("/proc/driver/nvidia/gpus/0000:41:00.0/information", "Device Minor: \t 4\n");
  }
  std::string holder(const PciAddress& device = gpu) {
    const auto found = OpenDevices(host_.root()).holder_of(device);
    return found ? to_string(*found) : "nobody";
  }
  FakeHost host_;
  const std::vector<std::string> of_vfio_{"/dev/vfio/20", "/dev/vfio/devices/vfio3"};
  const std::vector<std::string> of_the_host_{"/dev/dri/card1", "/dev/dri/renderD129", "/dev/fb2",
                                              "/dev/nvidia4"};
};

TEST_F(DeviceNodesTest, who_has_any_of_them_open_holds_the_card) {
  auto nodes = of_vfio_;
  nodes.insert(nodes.end(), of_the_host_.begin(), of_the_host_.end());
  EXPECT_THAT(device_numbers(host_.root(), gpu),
              testing::UnorderedElementsAre(makedev(244, 20), makedev(511, 3), makedev(511, 3),
                                            makedev(226, 1), makedev(226, 129), makedev(29, 2),
                                            makedev(195, 4)));
  for (const std::string& node : nodes) {
    host_.process(77, "Xorg", {node});
    EXPECT_EQ(holder(), "process 77 (Xorg)") << node;
    host_.ends(77);
  }
  host_.process(78, "qemu", {"/dev/vfio/vfio", "/dev/vfio/21", "/dev/dri/card0", "/dev/nvidia"});
  EXPECT_EQ(holder(), "nobody") << "nodes of others";
}

TEST_F(DeviceNodesTest, a_node_that_cannot_be_read_is_not_absent) {
  host_.file("/dev/vfio/vfio", "");
  ASSERT_EQ(::symlink("20", host_.root().dev("vfio/20").c_str()), 0);  // ELOOP
  EXPECT_THROW(device_numbers(host_.root(), gpu), SystemError);
}

TEST_F(DeviceNodesTest, only_vfio_gives_it_to_a_guest) {
  host_.process(77, "Xorg", of_the_host_);
  EXPECT_FALSE(OpenDevices(host_.root()).vfio_holder_of(gpu));
  for (const std::string& node : of_vfio_) {
    host_.process(78, "qemu", {node});
    EXPECT_TRUE(OpenDevices(host_.root()).vfio_holder_of(gpu)) << node;
    host_.ends(78);
  }
}

TEST_F(DeviceNodesTest, sound_and_usb_functions_have_nodes_too) {
  const PciAddress audio = *parse_pci_address("0000:41:00.1"), usb{0, 0x41, 0, 2};
  host_.pci_gpu(to_string(audio)).attribute("sound/card1/controlC1/dev", "116:1");
  host_.pci_gpu(to_string(usb)).attribute("usb3/3-1/3-1.2/dev", "189:9");
  host_.process(77, "wireplumber", {"/dev/snd/controlC1"});
  host_.process(78, "adb", {"/dev/bus/usb/9"});
  EXPECT_EQ(holder(audio), "process 77 (wireplumber)");
  EXPECT_EQ(holder(usb), "process 78 (adb)");
  EXPECT_EQ(holder(), "nobody");
}

TEST_F(DeviceNodesTest, what_is_below_and_another_device_is_not_counted) {
  host_.pci_gpu(to_string(gpu))
      .attribute("0000:42:00.0/drm/card7/dev", "226:7")
      .attribute("00000000-0000-4000-8000-000000000001/vfio-dev/vfio9/dev", "511:9")
      .attribute("block/sda/dev", "226:8");
  host_.process(77, "Xorg", {"/dev/dri/card7", "/dev/vfio/devices/vfio9", "/dev/dri/card8"});
  EXPECT_EQ(holder(), "nobody");
}

/// Any user can have a file of any name in a mount namespace of their own.
TEST_F(DeviceNodesTest, a_file_that_only_has_the_name_of_a_node_is_none) {
  host_.file("/dev/dri/card1", "");
  host_.file("/dev/vfio/20", "");
  host_.process(77, "forger", {"/dev/dri/card1", "/dev/vfio/20"});
  EXPECT_EQ(holder(), "nobody");
}

}  // namespace
}  // namespace gpuward
