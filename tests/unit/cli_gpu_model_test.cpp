// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/gpu_model.hpp"

#include <gtest/gtest.h>

#include "cli/gpu_json.hpp"
#include "fake_host.hpp"
#include "inventory/usage.hpp"

namespace gpuward {
namespace {

Gpu card(uint16_t vendor, uint16_t device, uint32_t pci_class) {
  Gpu gpu;
  gpu.parent.name = "0000:41:00.0";
  gpu.parent.address = parse_pci_address(gpu.parent.name);
  gpu.parent.vendor = vendor;
  gpu.parent.device = device;
  gpu.pci_class = pci_class;
  return gpu;
}

constexpr uint32_t vga = 0x030000, controller_3d = 0x030200;

TEST(ComputeModeTest, of_a_model_that_has_both_modes_the_class_tells) {
  EXPECT_TRUE(is_in_compute_mode(card(0x10de, 0x13f2, controller_3d), {}));
  EXPECT_FALSE(is_in_compute_mode(card(0x10de, 0x13f2, vga), {}));
}

TEST(ComputeModeTest, a_model_that_is_always_a_3d_controller_has_no_mode) {
  EXPECT_FALSE(is_in_compute_mode(card(0x10de, 0x20b0, controller_3d), {}));
  EXPECT_FALSE(is_in_compute_mode(card(0x1002, 0x13f2, controller_3d), {}));
}

TEST(ComputeModeTest, a_sister_in_graphics_mode_tells_of_a_model_that_we_do_not_know) {
  const Gpu gpu = card(0x10de, 0x2fff, controller_3d);
  EXPECT_FALSE(is_in_compute_mode(gpu, {gpu}));
  EXPECT_FALSE(is_in_compute_mode(gpu, {gpu, card(0x10de, 0x2ffe, vga)}));
  EXPECT_TRUE(is_in_compute_mode(gpu, {gpu, card(0x10de, 0x2fff, vga)}));
}

TEST(ModelNameTest, ends_in_the_mode) {
  HardwareNames names;
  const std::string compute = model_name(names, card(0x10de, 0x13f2, controller_3d), {}).full;
  EXPECT_EQ(compute, model_name(names, card(0x10de, 0x13f2, vga), {}).full + ".compute");
}

TEST(ModelNameTest, is_the_id_of_what_the_database_does_not_know) {
  HardwareNames names;
  EXPECT_EQ(model_name(names, card(0xfffe, 0xabcd, vga), {}).full, "fffe:abcd");
  EXPECT_EQ(model_name(names, card(0xfffe, 0xabcd, vga), {}).brief, "fffe:abcd");
  EXPECT_EQ(model_name(names, Gpu(), {}).full, "");
}

TEST(HardwareNameTest, is_brief_by_what_stands_in_brackets) {
  const std::string vendor = "NVIDIA Corporation";
  EXPECT_EQ((HardwareName{vendor, "GA102GL [A40]"}.brief()), "A40");
  EXPECT_EQ((HardwareName{vendor, "GA102GL [A40]"}.full()), "NVIDIA Corporation GA102GL [A40]");
  EXPECT_EQ((HardwareName{vendor, "Thing"}.brief()), "Thing");
  EXPECT_EQ((HardwareName{vendor, ""}.brief()), vendor);
  for (const char* odd : {"]x[", "x []", "x [", "]"})
    EXPECT_EQ((HardwareName{vendor, odd}.brief()), odd);
  EXPECT_EQ((HardwareName{vendor, "Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]"}.brief()),
            "Radeon RX 7900 XT/7900..");
}

TEST(GpuJsonTest, has_null_for_what_is_not_known) {
  FakeHost host;
  host.pci_gpu("0000:41:00.0");
  const OpenDevices holders(host.root());
  const auto gpu = gpu_json(host.root(), read_gpus(host.root(), {})[0], {}, holders);
  EXPECT_EQ(gpu["class"], "030000");
  for (const char* key : {"sriov", "iommu_group", "used_by", "numa_node"})
    EXPECT_TRUE(gpu[key].is_null()) << key;
  EXPECT_TRUE(gpu["health"]["errors"]["fatal"].is_null());
  EXPECT_TRUE(gpu["health"]["link_width"].is_null());
  EXPECT_EQ(gpu["identity"]["serials"], nlohmann::json::array());
  EXPECT_EQ(gpu["kinds"], nlohmann::json({"whole"}));
}

TEST(GpuJsonTest, has_holder_health_and_vfs) {
  FakeHost host;
  host.pci_gpu("0000:41:00.0")
      .attribute("sriov_totalvfs", "4")
      .attribute("power_state", "D0")
      .attribute("current_link_width", "16")
      .attribute("reset_method", "flr bus")
      .attribute("drm/card0/dev", "226:0");
  host.process(812, "Xorg", {"/dev/dri/card0"});
  const OpenDevices holders(host.root());
  const auto gpu = gpu_json(host.root(), read_gpus(host.root(), {})[0], {}, holders);
  EXPECT_EQ(gpu["used_by"]["pid"], 812);
  EXPECT_EQ(gpu["used_by"]["command"], "Xorg");
  EXPECT_EQ(gpu["health"]["link_width"], 16);
  EXPECT_EQ(gpu["health"]["reset_methods"], nlohmann::json({"flr", "bus"}));
  EXPECT_EQ(gpu["sriov"]["total"], 4);
  EXPECT_EQ(gpu["sriov"]["enabled"], 0);
}

}  // namespace
}  // namespace gpuward
