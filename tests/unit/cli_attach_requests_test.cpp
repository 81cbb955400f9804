// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/attach_requests.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "config/gpu_selector.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* empty_domain =
    "<domain type='kvm'>\n  <name>web01</name>\n"
    "  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>\n"
    "  <os><type machine='q35'>hvm</type></os>\n  <devices>\n  </devices>\n</domain>\n";

class AttachRequestsTest : public testing::Test {
 protected:
  AttachRequestsTest() {
    settings_.root = host_.root();
    log::start(log::To::terminal, "gpuward");
  }
  ~AttachRequestsTest() override { log::stop(); }
  void card(const std::string& address, uint16_t device, unsigned group) {
    host_.pci_gpu(address).pci_id(0x10de, device);
    host_.iommu_group(group, {address});
  }
  /// PCI addresses of the GPUs that the domain has then, in order; warnings are in said_.
  std::vector<std::string> attached(const std::vector<std::string>& words) {
    std::vector<std::string> devices;
    testing::internal::CaptureStderr();
    std::string xml;
    try {
      xml = with_gpus(settings_, config_, require_requests(settings_, config_, words), empty_domain,
                      use_);
    } catch (const Error& error) {
      refusal_ = error.what();
    }
    said_ = testing::internal::GetCapturedStderr();
    if (xml.empty()) return devices;
    for (const Hostdev& hostdev : parse_domain(xml).hostdevs)
      devices.push_back(to_string(*hostdev.address));
    return devices;
  }
  FakeHost host_;
  Settings settings_;
  Config config_;
  DeviceUse use_;
  std::string said_, refusal_;
};

TEST_F(AttachRequestsTest, each_request_is_served_whatever_their_order) {
  card("0000:41:00.0", 0x13f2, 7);
  card("0000:42:00.0", 0x26b9, 8);
  EXPECT_THAT(attached({"whole", "10de:13f2"}), ElementsAre("0000:42:00.0", "0000:41:00.0"));
  EXPECT_THAT(attached({"10de:13f2", "whole"}), ElementsAre("0000:41:00.0", "0000:42:00.0"));
  EXPECT_EQ(refusal_, "");
}

TEST_F(AttachRequestsTest, a_device_in_use_by_a_domain_is_shared_until_that_is_off) {
  card("0000:41:00.0", 0x13f2, 7);
  card("0000:42:00.0", 0x26b9, 8);
  use_.taken[at("0000:42:00.0")] = {Uuid{}, "in use by domain 'db02'"};
  EXPECT_THAT(attached({"whole", "10de:13f2"}), ElementsAre("0000:42:00.0", "0000:41:00.0"));
  EXPECT_THAT(attached({"whole:3"}), IsEmpty());
  EXPECT_THAT(refusal_, HasSubstr("0000:41:00.0 is already assigned to this domain"));
}

TEST_F(AttachRequestsTest, a_vf_whose_vgpu_a_domain_has_is_shared_too) {
  host_.sriov("0000:43:00.0", 1);
  host_.set_vfs("0000:43:00.0", 1);
  host_.pci_gpu("0000:43:00.1")
      .attribute("nvidia/current_vgpu_type", "1145")
      .attribute("nvidia/creatable_vgpu_types", "");
  EXPECT_THAT(attached({"1145"}), IsEmpty());
  EXPECT_THAT(refusal_, HasSubstr("0000:43:00.1 has a vGPU that gpuward did not create"));
  use_.taken[at("0000:43:00.1")] = {Uuid{}, "in use by domain 'db02'"};
  EXPECT_THAT(attached({"1145"}), ElementsAre("0000:43:00.1"));
}

TEST_F(AttachRequestsTest, says_which_functions_go_along) {
  host_.pci_gpu("0000:41:00.0");
  host_.pci_gpu("0000:41:00.1").attribute("class", "0x040300");
  host_.pci_gpu("0000:41:00.2").attribute("class", "0x0c0330");
  host_.iommu_group(7, {"0000:41:00.0", "0000:41:00.1", "0000:41:00.2"});
  EXPECT_THAT(attached({"whole"}), testing::SizeIs(3));
  EXPECT_THAT(said_, HasSubstr("0000:41:00.1, 0000:41:00.2 are assigned to the domain with "
                               "0000:41:00.0, in the same slot and IOMMU group"));
}

TEST_F(AttachRequestsTest, warns_where_there_is_no_iommu) {
  host_.pci_gpu("0000:41:00.0");
  EXPECT_THAT(attached({"whole"}), ElementsAre("0000:41:00.0"));
  EXPECT_THAT(said_, HasSubstr("0000:41:00.0 has no IOMMU group, the domain does not start"));
}

}  // namespace
}  // namespace gpuward
