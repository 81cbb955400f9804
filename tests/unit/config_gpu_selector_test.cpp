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
  EXPECT_THAT(selector_advice("GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0"), HasSubstr("pci.bus_id"));
  EXPECT_THAT(selector_advice("8086"), HasSubstr("lspci -nn"));
  EXPECT_TRUE(selector_advice("a/b").starts_with("expected a PCI address (0000:41:00.0)"));
}

}  // namespace gpuward
