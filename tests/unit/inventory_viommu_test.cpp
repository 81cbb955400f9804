// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/viommu.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_host.hpp"

using testing::AllOf;
using testing::HasSubstr;

namespace gpuward {
namespace {

class ViommuTest : public testing::Test {
 protected:
  ViommuTest() {
    for (const char* address : {"0000:41:00.0", "0000:41:00.1", "0000:42:00.0"})
      host_.pci_gpu(address);
    host_.iommu_group(7, {"0000:41:00.0", "0000:41:00.1"});
    host_.iommu_group(8, {"0000:42:00.0"});
  }
  static std::string hostdev(const std::string& bus, const std::string& function = "0x0") {
    return "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "
           "bus='" +
           bus + "' slot='0x00' function='" + function + "'/></source></hostdev>\n";
  }
  std::string conflict(const std::string& devices) {
    const Document document = parse_document(
        "<domain type='kvm'><name>web01</name><uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>"
        "<devices>\n" +
        devices + "</devices></domain>");
    return viommu_conflict(host_.root(), document, read_domain(document));
  }
  const std::string iommu_ = "<iommu model='intel'/>\n";
  FakeHost host_;
};

TEST_F(ViommuTest, several_functions_of_one_group_are_in_conflict_with_an_iommu) {
  const std::string card = hostdev("0x41") + hostdev("0x41", "0x1");
  EXPECT_THAT(conflict(iommu_ + card),
              AllOf(HasSubstr("domain XML line 2 (<iommu>)"), HasSubstr("0000:41:00.0"),
                    HasSubstr("0000:41:00.1"), HasSubstr("group 7 used in multiple")));
  EXPECT_THAT(conflict(hostdev("0x42") + card + iommu_), HasSubstr("0000:41:00.1"));
}

TEST_F(ViommuTest, without_one_and_with_groups_of_their_own_there_is_none) {
  EXPECT_EQ(conflict(hostdev("0x41") + hostdev("0x41", "0x1")), "");
  EXPECT_EQ(conflict(iommu_ + hostdev("0x41") + hostdev("0x42")), "");
  EXPECT_EQ(conflict(iommu_ + hostdev("0x43") + hostdev("0x43", "0x1")), "") << "no such devices";
  EXPECT_EQ(conflict(iommu_), "");
}

}  // namespace
}  // namespace gpuward
