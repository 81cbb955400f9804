// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/device_nodes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_host.hpp"

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
  FakeHost host_;
  const std::vector<std::string> of_vfio_{"/dev/vfio/20", "/dev/vfio/devices/vfio3"};
  const std::vector<std::string> of_the_host_{"/dev/dri/card1", "/dev/dri/renderD129", "/dev/fb2",
                                              "/dev/nvidia4"};
};

TEST_F(DeviceNodesTest, who_has_any_of_them_open_holds_the_card) {
  auto nodes = of_vfio_;
  nodes.insert(nodes.end(), of_the_host_.begin(), of_the_host_.end());
  EXPECT_THAT(device_nodes(host_.root(), gpu), testing::UnorderedElementsAreArray(nodes));
  for (const std::string& node : nodes) {
    host_.process(77, "Xorg", {node});
    const auto holder = holder_of(host_.root(), DeviceHolders(host_.root()), gpu);
    ASSERT_TRUE(holder) << node;
    EXPECT_EQ(to_string(*holder), "pid 77 (Xorg)");
    host_.ends(77);
  }
  host_.process(78, "qemu", {"/dev/vfio/vfio", "/dev/vfio/21", "/dev/dri/card0", "/dev/nvidia"});
  EXPECT_FALSE(holder_of(host_.root(), DeviceHolders(host_.root()), gpu)) << "nodes of others";
}

TEST_F(DeviceNodesTest, only_vfio_gives_it_to_a_guest) {
  host_.process(77, "Xorg", of_the_host_);
  EXPECT_FALSE(vfio_holder_of(host_.root(), DeviceHolders(host_.root()), gpu));
  for (const std::string& node : of_vfio_) {
    host_.process(78, "qemu", {node});
    EXPECT_TRUE(vfio_holder_of(host_.root(), DeviceHolders(host_.root()), gpu)) << node;
    host_.ends(78);
  }
}

}  // namespace
}  // namespace gpuward
