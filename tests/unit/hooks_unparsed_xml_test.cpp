// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/unparsed_xml.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"
#include "fake_host.hpp"

using testing::HasSubstr;

namespace gpuward {
namespace {

class UnparsedXmlTest : public testing::Test {
 protected:
  UnparsedXmlTest() {
    GpuSection section;
    section.selector = *parse_gpu_selector("0000:01:00.0");
    config_.gpus.push_back(section);
  }
  std::string gpu_in(const std::string& xml) { return gpu_in_text(host_.root(), config_, xml); }
  static std::string pci(const std::string& bus, const std::string& function = "0x0") {
    return "<hostdev mode='subsystem' type='pci' managed='yes'>\n<source>\n<address "
           "domain='0x0000' bus='" +
           bus + "' slot='0x00' function='" + function + "'/></source></hostdev>";
  }
  FakeHost host_;
  Config config_;
};

TEST_F(UnparsedXmlTest, an_mdev_may_be_a_gpu) {
  EXPECT_THAT(gpu_in("<x <hostdev mode='subsystem' type='mdev' model='vfio-pci'>"),
              HasSubstr("mdev"));
  EXPECT_THAT(gpu_in("<hostdev type = \"mdev\">"), HasSubstr("mdev"));
}

TEST_F(UnparsedXmlTest, a_pci_device_is_one_where_its_address_is_of_one) {
  EXPECT_THAT(gpu_in("<" + pci("0x01")), HasSubstr("0000:01:00.0"));
  EXPECT_THAT(gpu_in(pci("1", "1")), HasSubstr("0000:01:00.1")) << "of the same card";
  EXPECT_EQ(gpu_in(pci("0x02")), "");
  EXPECT_THAT(gpu_in(pci("0x02") + pci("0x01")), HasSubstr("0000:01:00.0"));
}

TEST_F(UnparsedXmlTest, what_cannot_be_read_may_be_one) {
  for (const char* cut : {"<hostdev", "<hostdev mode='subsys", "<hostdev mode='subsystem' type='m",
                          "<hostdev mode='subsystem' type=", "<hostdev mode='subsystem'><source>",
                          "<hostdev ><source type='usb'"})
    EXPECT_THAT(gpu_in(cut), HasSubstr("cannot be read")) << cut;
  EXPECT_EQ(gpu_in("<hostdev mode='subsystem' type='usb'"), "") << "it is cut behind its type";
  EXPECT_THAT(gpu_in("<hostdev mode='subsystem' type='mdev'"), HasSubstr("mdev"));
  EXPECT_THAT(gpu_in(pci("0x1").substr(0, 70)), HasSubstr("cannot be read"));
  EXPECT_THAT(gpu_in(pci("one")), HasSubstr("cannot be read"));
}

TEST_F(UnparsedXmlTest, a_type_that_is_not_what_it_looks_like_cannot_be_read) {
  for (const char* tag : {"<hostdev type='&#112;ci'>", "<hostdev mode='x' type=\"mde&#118;\">",
                          "<hostdev a=' type=\"usb\"' type='&#112;ci'>"})
    EXPECT_THAT(gpu_in(tag), HasSubstr("type cannot be read")) << tag;
  EXPECT_THAT(gpu_in("<hostdev a=' type=\"usb\"' type='mdev'>"), HasSubstr("mdev"));
  EXPECT_THAT(gpu_in("<hostdev a='>' type='mdev'>"), HasSubstr("cannot be read"));
  EXPECT_FALSE(hostdevs_in_text("<hostdev type='&#112;ci'>").has_value());
  const std::string hidden = pci("0x02").insert(
      pci("0x02").find("<source>"), "<!--<source><address domain='0' bus='9' slot='0'/>-->");
  EXPECT_THAT(gpu_in(hidden), HasSubstr("address cannot be read"));
}

TEST_F(UnparsedXmlTest, other_devices_are_none) {
  EXPECT_EQ(gpu_in("<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/>"), "");
  EXPECT_EQ(gpu_in("<hostdev mode='subsystem' type='scsi'/><a"), "");
  EXPECT_EQ(gpu_in("no element at all"), "");
}

}  // namespace
}  // namespace gpuward
