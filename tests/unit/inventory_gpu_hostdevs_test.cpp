// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/gpu_hostdevs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

const Uuid some_instance = *parse_uuid("00000000-1d52-d8f3-2516-782e98ab3fa0");

Hostdev mdev(const std::string& alias, const std::string& model = "vfio-pci") {
  Hostdev hostdev;
  hostdev.alias = alias;
  hostdev.model = model;
  hostdev.instance = some_instance;
  return hostdev;
}

Hostdev pci(const std::string& address) {
  Hostdev hostdev;
  hostdev.type = Hostdev::Type::pci;
  hostdev.address = *parse_pci_address(address);
  return hostdev;
}

Domain with(const Hostdev& hostdev) {
  Domain domain;
  domain.name = "web01";
  domain.hostdevs.push_back(hostdev);
  return domain;
}

Config with_gpu_section(const std::string& selector) {
  Config config;
  GpuSection section;
  section.selector = *parse_gpu_selector(selector);
  config.gpus.push_back(section);
  return config;
}

class GpuDomainTest : public testing::Test {
 protected:
  bool is_gpu_domain_with(const Hostdev& hostdev, const Config& config = {}) {
    const Domain domain = with(hostdev);
    const bool is = is_gpu_domain(host_.root(), config, domain);
    EXPECT_EQ(gpu_hostdevs(host_.root(), config, domain).size(), is ? 1 : 0);
    return is;
  }
  FakeHost host_;
};

TEST_F(GpuDomainTest, a_gpu_at_qemus_command_line_makes_it_one) {
  const auto is = [&](const std::string& text) {
    Domain domain;
    domain.command_line.push_back({text, 1});
    return is_gpu_domain(host_.root(), with_gpu_section("0000:01:00.0"), domain);
  };
  EXPECT_TRUE(is("vfio-pci,host=0000:01:00.0,multifunction=on"));
  EXPECT_TRUE(is("vfio-pci,host=1:0.0"));
  EXPECT_TRUE(is("vfio-pci,sysfsdev=/sys/bus/pci/devices/0000:01:00.0"));
  EXPECT_TRUE(is("vfio-pci,sysfsdev=/sys/bus/mdev/devices/x")) << "not known what it is";
  EXPECT_FALSE(is("vfio-pci,host=0000:02:00.0")) << "another device";
}

TEST_F(GpuDomainTest, a_plain_domain_is_none) {
  EXPECT_FALSE(is_gpu_domain(host_.root(), {}, Domain()));
  EXPECT_FALSE(requests_gpu(Domain()));
}

TEST_F(GpuDomainTest, what_attach_made_is_one) {
  Domain domain = with(mdev("ua-gpuward-0"));
  domain.requests.push_back({"ua-gpuward-0", "small"});
  EXPECT_TRUE(is_gpu_domain(host_.root(), {}, domain));
  EXPECT_TRUE(requests_gpu(domain));
}

TEST_F(GpuDomainTest, metadata_or_hostdev_alone_ask_too) {
  Domain only_metadata;
  only_metadata.requests.push_back({"ua-gpuward-0", "small"});
  const Domain only_hostdev = with(mdev("ua-gpuward-0"));
  for (const Domain& domain : {only_metadata, only_hostdev}) {
    EXPECT_TRUE(is_gpu_domain(host_.root(), {}, domain));
    EXPECT_TRUE(requests_gpu(domain));
  }
}

TEST_F(GpuDomainTest, an_mdev_written_by_hand_is_a_gpu_that_gpuward_does_not_give) {
  EXPECT_TRUE(is_gpu_domain_with(mdev("hostdev0")));
  EXPECT_FALSE(requests_gpu(with(mdev("hostdev0"))));
}

TEST_F(GpuDomainTest, mdevs_of_other_kinds_are_no_gpus) {
  EXPECT_FALSE(is_gpu_domain_with(mdev("", "vfio-ccw")));
  EXPECT_FALSE(is_gpu_domain_with(mdev("", "vfio-ap")));
}

TEST_F(GpuDomainTest, pci_devices_of_display_and_accelerator_class_are_gpus) {
  host_.pci_gpu("0000:41:00.0");
  EXPECT_TRUE(is_gpu_domain_with(pci("0000:41:00.0")));
  for (const char* pci_class : {"0x030200", "0x038000", "0x120000"}) {
    host_.pci_gpu("0000:41:00.0").attribute("class", pci_class);
    EXPECT_TRUE(is_gpu_domain_with(pci("0000:41:00.0"))) << pci_class;
  }
}

TEST_F(GpuDomainTest, other_pci_devices_are_none) {
  for (const char* pci_class : {"0x020000", "0x010802", "0x040300", "0x130000", ""}) {
    host_.pci_gpu("0000:41:00.0").attribute("class", pci_class);
    EXPECT_FALSE(is_gpu_domain_with(pci("0000:41:00.0"))) << pci_class;
  }
  host_.pci_gpu("0000:41:00.0").without("class");
  EXPECT_FALSE(is_gpu_domain_with(pci("0000:41:00.0")));
  EXPECT_FALSE(is_gpu_domain_with(pci("0000:42:00.0"))) << "not on this host";
}

TEST_F(GpuDomainTest, what_a_section_names_is_one_whatever_its_class) {
  host_.pci_gpu("0000:41:00.0").attribute("class", "0x010802").pci_id(0x10de, 0x2236);
  for (const char* selector : {"0000:41:00.0", "10de:2236"})
    EXPECT_TRUE(is_gpu_domain_with(pci("0000:41:00.0"), with_gpu_section(selector))) << selector;
  for (const char* selector : {"0000:41:00.1", "10de:2237", "mtty", "*"})
    EXPECT_FALSE(is_gpu_domain_with(pci("0000:41:00.0"), with_gpu_section(selector))) << selector;
}

TEST_F(GpuDomainTest, a_section_names_a_device_that_is_not_there_yet) {
  EXPECT_TRUE(is_gpu_domain_with(pci("0000:41:00.0"), with_gpu_section("0000:41:00.0")));
}

TEST_F(GpuDomainTest, only_gpus_are_listed) {
  host_.pci_gpu("0000:41:00.0");
  host_.pci_gpu("0000:41:00.1").attribute("class", "0x040300");
  Domain domain = with(pci("0000:41:00.0"));
  domain.hostdevs.push_back(pci("0000:41:00.1"));
  domain.hostdevs.push_back(mdev("ua-mine"));
  EXPECT_THAT(gpu_hostdevs(host_.root(), {}, domain),
              testing::ElementsAre(&domain.hostdevs[0], &domain.hostdevs[2]));
}

}  // namespace
}  // namespace gpuward
