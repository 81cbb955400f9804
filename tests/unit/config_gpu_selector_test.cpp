// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"

namespace gpuward {

using ::testing::HasSubstr;

static std::string again(std::string_view text) {
  const auto selector = parse_gpu_selector(text);
  return selector ? to_string(*selector) : "none";
}

TEST(GpuSelector, Kinds) {
  EXPECT_EQ(parse_gpu_selector("*")->by, GpuSelector::By::any);
  EXPECT_EQ(parse_gpu_selector("mtty")->by, GpuSelector::By::name);
  EXPECT_EQ(parse_gpu_selector("mtty")->name, "mtty");
  const auto address = parse_gpu_selector("0001:41:1f.7");
  EXPECT_EQ(address->by, GpuSelector::By::address);
  EXPECT_EQ(address->address, (PciAddress{1, 0x41, 0x1f, 7}));
  const auto id = parse_gpu_selector("10de:2236");
  EXPECT_EQ(id->by, GpuSelector::By::id);
  EXPECT_EQ(id->vendor, 0x10de);
  EXPECT_EQ(id->device, 0x2236);
}

TEST(GpuSelector, WrittenAgain) {
  for (const char* text : {"*", "mtty", "0000:41:00.0", "10000:e1:00.0", "10de:2236", "a.b_c-D9"})
    EXPECT_EQ(again(text), text);
  EXPECT_EQ(again("0000:C1:00.0"), "0000:c1:00.0");
  EXPECT_EQ(again("10DE:2236"), "10de:2236");
}

TEST(GpuSelector, ByMarkOfTheCard) {
  using By = GpuSelector::By;
  const struct {
    const char* text;
    By by;
    const char* name;
  } cases[] = {
      {"serial=1324321000123", By::serial, "1324321000123"},
      {"serial=48-B0-2D-FF-FE-12-34-56", By::serial, "48-b0-2d-ff-fe-12-34-56"},
      {"uuid=GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0", By::uuid,
       "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"},
      {"uuid = 4DEA22B3-1D52-D8F3-2516-782E98AB3FA0", By::uuid,
       "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"},
      {"slot=4-1", By::slot, "4-1"},
      {"subsystem=10DE:145a", By::subsystem, "10de:145a"},
      {"iommu-group=012", By::iommu_group, "12"},
      {"0000:41:*", By::addresses, "0000:41:*"},
      {"*:C1:0?.0", By::addresses, "*:c1:0?.0"},
  };
  for (const auto& each : cases) {
    const auto selector = parse_gpu_selector(each.text);
    ASSERT_TRUE(selector) << each.text;
    EXPECT_EQ(selector->by, each.by) << each.text;
    EXPECT_EQ(selector->name, each.name);
    EXPECT_EQ(parse_gpu_selector(to_string(*selector)), selector) << to_string(*selector);
  }
}

TEST(GpuSelector, MarkThatIsNone) {
  for (const char* text :
       {"serial=", "serial=a,b", "serial=a b", "uuid=GPU-1", "slot=", "subsystem=10de",
        "subsystem=10de:145a:1", "iommu-group=x", "iommu-group=-1", "iommu_group=1", "=1",
        "model=A40", "0000:41", "41:*", "a*", "0000:41:[01].0", "0000:41:*/..", "0000:4g:*"})
    EXPECT_EQ(again(text), "none") << text;
  EXPECT_EQ(selector_advice("serial:1324"), "write serial=1324");
  EXPECT_EQ(selector_advice("subsystem=10de"),
            "expected subsystem=VENDOR:DEVICE in hexadecimal, such as subsystem=10de:145a");
  EXPECT_EQ(selector_advice("seral=1"), "did you mean 'serial'?");
}

TEST(GpuSelector, Refused) {
  for (const char* text : {"",
                           ".",
                           "..",
                           "a/b",
                           "../x",
                           "a b",
                           "a+b",
                           "41:00.0",
                           "0000:41:00",
                           "0000:41:00.8",
                           "0000:41:20.0",
                           "000:41:00.0",
                           "10de:",
                           "10de:22361",
                           "10de:22g6",
                           "0x10de:0x2236",
                           "**",
                           "\xc3\xa4",
                           "a:b",
                           "pci_0000_01_00_0",
                           "pci_10de",
                           "GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
                           "MIG-1",
                           "8086",
                           "10DE",
                           "10de",
                           "0",
                           "00.0",
                           "41_00_0",
                           "0000-41-00.0"})
    EXPECT_EQ(again(text), "none") << text;
  EXPECT_EQ(again(std::string(129, 'x')), "none");
}

TEST(GpuSelector, AdviceForTheShortAddress) {
  EXPECT_EQ(selector_advice("41:00.0"),
            "a PCI address starts with its PCI domain: write 0000:41:00.0");
  EXPECT_EQ(selector_advice("C1:00.0"),
            "a PCI address starts with its PCI domain: write 0000:C1:00.0");
  EXPECT_EQ(selector_advice("pci_0000_C1_00_0"),
            "virsh's name of a node device: write 0000:c1:00.0");
  EXPECT_EQ(selector_advice("GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0"),
            "a UUID is selected so: uuid=GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
  EXPECT_THAT(selector_advice("MIG-4dea22b3-1d52-d8f3-2516-782e98ab3fa0"), HasSubstr("pci.bus_id"));
  EXPECT_THAT(selector_advice("8086"), HasSubstr("lspci -nn"));
  EXPECT_EQ(selector_advice("a/b"),
            "expected a PCI address (0000:41:00.0), a pattern of addresses (0000:41:*), "
            "vendor:device (10de:2236), serial=, uuid=, slot=, subsystem= or iommu-group= with a "
            "value, the name of an mdev parent (mtty) or *");
}

}  // namespace gpuward
