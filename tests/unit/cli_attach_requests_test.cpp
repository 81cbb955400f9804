// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/attach_requests.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "config/gpu_selector.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "nvml_fixtures.hpp"
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
  EXPECT_THAT(refusal_, HasSubstr("request 'whole': only 2 of 3 GPUs can be assigned"));
  EXPECT_THAT(refusal_, Not(HasSubstr("already assigned")));
}

TEST_F(AttachRequestsTest, of_several_that_are_too_many_says_how_many_are_possible) {
  card("0000:41:00.0", 0x13f2, 7);
  card("0000:42:00.0", 0x26b9, 8);
  host_.pci_gpu("0000:43:00.0").driver("nvidia");
  host_.pci_gpu("0000:44:00.0").attribute("class", "0x010601").driver("ahci");
  host_.iommu_group(9, {"0000:43:00.0", "0000:44:00.0"});
  EXPECT_THAT(attached({"whole:9"}), IsEmpty());
  EXPECT_THAT(refusal_, HasSubstr("only 2 of 9 GPUs can be assigned: 0000:43:00.0 is in an IOMMU "
                                  "group with 0000:44:00.0, which is bound to a host driver"));
  EXPECT_THAT(attached({"10de:13f2", "10de:13f2"}), IsEmpty());
  EXPECT_THAT(refusal_, HasSubstr("only 1 of 2 GPUs can be assigned"));
  EXPECT_THAT(attached({"10de:13f2", "whole:2"}), IsEmpty());
  EXPECT_THAT(refusal_, HasSubstr("request 'whole': only 1 of 2 GPUs can be assigned: "
                                  "0000:41:00.0 is already assigned to this domain"));
}

TEST_F(AttachRequestsTest, two_requests_for_one_device_are_refused_with_its_name) {
  card("0000:41:00.0", 0x13f2, 7);
  EXPECT_THAT(attached({"whole", "10de:13f2"}), IsEmpty());
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

// ---- fractions

class AttachFractionTest : public AttachRequestsTest {
 protected:
  AttachFractionTest() {
    add_type("0000:41:00.0", "nvidia-560", "4096M", 12);
    add_type("0000:41:00.0", "nvidia-561", "6144M", 8);
  }
  void add_type(const std::string& parent, const std::string& type, const std::string& size,
                unsigned most) {
    host_.parent(parent)
        .type(type, most)
        .attribute("mdev_supported_types/" + type + "/description",
                   "num_heads=4, framebuffer=" + size + ", max_instance=" + std::to_string(most));
  }
  std::string with(const std::string& word) {
    const auto wanted = require_requests(settings_, config_, {word});
    text_ = attached_text(wanted);
    return with_gpus(settings_, config_, wanted, empty_domain, use_);
  }
  std::string text_;
};

TEST_F(AttachFractionTest, a_size_is_settled_to_a_type) {
  const Domain domain = parse_domain(with("5GiB"));
  ASSERT_EQ(domain.requests.size(), 1u);
  EXPECT_EQ(domain.requests[0].profile, "5GiB");
  EXPECT_EQ(domain.requests[0].settled, (SettledRequest{Use::mdev, "nvidia-561"}));
  EXPECT_TRUE(domain.hostdevs[0].instance);
  EXPECT_EQ(text_, "GPU attached (request '5GiB' by type nvidia-561)");
}

TEST_F(AttachFractionTest, a_profile_of_memory_is_settled_again_when_that_changes) {
  Profile quarter;
  quarter.name = "quarter";
  quarter.memory_mib = 4096;
  quarter.any_use = true;
  config_.profiles = {quarter};
  const std::string xml = with("quarter");
  EXPECT_EQ(parse_domain(xml).requests[0].settled,
            (SettledRequest{Use::mdev, "nvidia-560", {}, true}));
  EXPECT_EQ(text_, "GPU attached (profile 'quarter' by type nvidia-560)");
  EXPECT_EQ(with_requests_settled(settings_, config_, xml), xml);
  EXPECT_EQ(parse_domain(xml).requests[0].settled->granted.memory_mib, 4096u);
  std::string earlier = xml;
  const std::string written = " memory='4096'";
  earlier.erase(earlier.find(written), written.size());
  EXPECT_EQ(with_requests_settled(settings_, config_, earlier), xml) << "reassign adds it";
  config_.profiles[0].memory_mib = 5120;
  EXPECT_EQ(parse_domain(with_requests_settled(settings_, config_, xml)).requests[0].settled,
            (SettledRequest{Use::mdev, "nvidia-561", {}, true}));
}

TEST_F(AttachFractionTest, gpus_that_the_profile_does_not_allow_do_not_serve_it) {
  Profile quarter;
  quarter.name = "quarter";
  quarter.memory_mib = 4096;
  quarter.any_use = true;
  quarter.gpus = {*parse_gpu_selector("0000:42:00.0")};
  config_.profiles = {quarter};
  EXPECT_THAT(error_of([&] { with("quarter"); }), HasSubstr("not in gpu of the profile"));
  add_type("0000:42:00.0", "nvidia-700", "8192M", 2);
  EXPECT_EQ(parse_domain(with("quarter")).requests[0].settled->type, "nvidia-700");
}

TEST_F(AttachFractionTest, a_share_stays_while_nothing_tells_the_scheduler) {
  const NvmlDouble nvml(host_.root());
  nvml.set("mig off\nscheduler 3 1 2083333 0\n");
  const std::string xml = with("4GiB/5%");
  EXPECT_EQ(parse_domain(xml).requests[0].settled, (SettledRequest{Use::mdev, "nvidia-560"}));
  EXPECT_EQ(parse_domain(xml).requests[0].settled->granted.compute_percent, 8u);
  card("0000:43:00.0", 0x74a1, 30);
  host_.pci_gpu("0000:43:00.0").attribute("mem_info_vram_total", "17163091968");
  nvml.set("mig off\nreturns Init_v2 9\n");
  EXPECT_EQ(with_requests_settled(settings_, config_, xml), xml);
  nvml.set("mig off\nscheduler 1 1 2083333 0\n");
  EXPECT_EQ(parse_domain(with_requests_settled(settings_, config_, xml)).requests[0].settled,
            (SettledRequest{Use::whole, {}, "10de:74a1"}));
}

TEST_F(AttachFractionTest, a_vf_of_the_size_serves_it) {
  host_.pci_gpu("0000:53:00.0").pci_id(0x8086, 0xe211);
  host_.sriov("0000:53:00.0", 4);
  host_.set_vfs("0000:53:00.0", 3);
  // The first is too small.
  for (const auto& [vf, quota] : {std::pair("vf1", "4294967296"), std::pair("vf2", "7516192768"),
                                  std::pair("vf3", "7516192768")})
    host_.pci_gpu("0000:53:00.0")
        .attribute("sriov_admin/" + std::string(vf) + "/profile/vram_quota", quota);
  const Domain domain = parse_domain(with("7GiB"));
  EXPECT_EQ(domain.requests[0].settled, (SettledRequest{Use::vf, {}, "8086:e211"}));
  EXPECT_EQ(domain.requests[0].settled->granted.memory_mib, 7168u);
  EXPECT_EQ(to_string(*domain.hostdevs[0].address), "0000:53:00.2");
  EXPECT_EQ(text_, "GPU attached (request '7GiB' by VF of 8086:e211)");
}

TEST_F(AttachFractionTest, a_whole_gpu_whose_memory_is_known_serves_it) {
  card("0000:43:00.0", 0x74a1, 30);
  host_.pci_gpu("0000:43:00.0").attribute("mem_info_vram_total", "17163091968");
  const Domain domain = parse_domain(with("15GiB"));
  EXPECT_EQ(domain.requests[0].settled, (SettledRequest{Use::whole, {}, "10de:74a1"}));
  EXPECT_EQ(to_string(*domain.hostdevs[0].address), "0000:43:00.0");
  EXPECT_EQ(text_, "GPU attached (request '15GiB' by whole GPU 10de:74a1)");
}

}  // namespace
}  // namespace gpuward
