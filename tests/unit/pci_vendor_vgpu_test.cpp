// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/vendor_vgpu.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "base/file.hpp"
#include "fake_host.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string vf_name = "0000:41:00.4";
const PciAddress vf = *parse_pci_address(vf_name);

class VendorVgpuTest : public testing::Test {
 protected:
  VendorVgpuTest() {
    host_.pci_gpu(vf_name)
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types",
                   "ID    : vGPU Name\n1145  : NVIDIA L40S-1B\n1146  : NVIDIA L40S-2B\nrubbish\n"
                   "x : y\n0 : nothing");
  }
  /// The driver does what it is told from the so-manyth write on.
  void obeys_after(int refusals, int code) {
    host_.reacts(vf_name, "nvidia/current_vgpu_type", [=, this](const std::string& value) {
      if (static_cast<int>(host_.writes().size()) <= refusals) return code;
      write_file_atomically(pci_path(host_.root(), vf) + "/nvidia/current_vgpu_type", value + '\n');
      return 0;
    });
  }
  std::string set(unsigned id, int ms = 3000) {
    return set_vgpu(host_.root(), vf, id, milliseconds(ms)).failure;
  }
  FakeHost host_;
};

TEST_F(VendorVgpuTest, the_catalogue_is_read_line_by_line) {
  const auto types = creatable_vgpus(host_.root(), vf);
  ASSERT_THAT(types, SizeIs(2));
  EXPECT_EQ(types[0].id, 1145u);
  EXPECT_EQ(types[1].name, "NVIDIA L40S-2B");
  EXPECT_TRUE(is_called(types[0], "1145"));
  EXPECT_TRUE(is_called(types[0], "NVIDIA L40S-1B"));
  EXPECT_FALSE(is_called(types[0], "NVIDIA L40S-1"));
  EXPECT_FALSE(is_called(types[0], "114"));
}

TEST_F(VendorVgpuTest, a_device_without_it_offers_none) {
  host_.pci_gpu("0000:42:00.0");
  const PciAddress plain = *parse_pci_address("0000:42:00.0");
  EXPECT_FALSE(offers_vgpus(host_.root(), plain));
  EXPECT_THAT(creatable_vgpus(host_.root(), plain), IsEmpty());
  EXPECT_FALSE(current_vgpu(host_.root(), plain));
  EXPECT_TRUE(offers_vgpus(host_.root(), vf));
  EXPECT_EQ(current_vgpu(host_.root(), vf), 0u);
}

TEST_F(VendorVgpuTest, is_set_and_read_back) {
  obeys_after(0, 0);
  EXPECT_EQ(set(1145), "");
  EXPECT_EQ(current_vgpu(host_.root(), vf), 1145u);
  EXPECT_EQ(set(0), "");
  EXPECT_EQ(current_vgpu(host_.root(), vf), 0u);
}

TEST_F(VendorVgpuTest, a_driver_that_takes_it_and_does_nothing_is_asked_again) {
  obeys_after(2, 0);
  EXPECT_EQ(set(1145), "");
  EXPECT_THAT(host_.writes(), SizeIs(3));
}

TEST_F(VendorVgpuTest, a_driver_that_is_busy_is_asked_again_until_the_deadline) {
  obeys_after(2, EBUSY);
  EXPECT_EQ(set(1145), "");
  obeys_after(1000, EBUSY);
  EXPECT_THAT(set(1146, 300), HasSubstr("rejected vGPU type 1146: Device or resource busy"));
  obeys_after(1000, 0);
  EXPECT_THAT(set(1146, 300),
              HasSubstr("driver accepted vGPU type 1146 but current_vgpu_type reads 1145"));
}

TEST_F(VendorVgpuTest, a_driver_that_hangs_is_left) {
  host_.reacts(vf_name, "nvidia/current_vgpu_type", [this](const std::string&) {
    host_.hang();
    return 0;
  });
  EXPECT_THAT(set(1145, 300), HasSubstr("blocked in the kernel (process "));
  EXPECT_THAT(host_.writes(), SizeIs(1));
}

/// The driver reads it when the type is written.
TEST_F(VendorVgpuTest, a_gpu_instance_is_set_before_the_type_where_the_driver_has_a_file_for_it) {
  obeys_after(0, 0);
  const auto set_in_3 = [&] {
    return set_vgpu(host_.root(), vf, 1145, milliseconds(300), 3).failure;
  };
  EXPECT_EQ(set_in_3(), "");
  EXPECT_THAT(host_.writes(), ElementsAre(HasSubstr("nvidia/current_vgpu_type 1145")));
  EXPECT_FALSE(gpu_instance_of_vgpu(host_.root(), vf)) << "not reported";
  host_.pci_gpu(vf_name).attribute("nvidia/gpu_instance_id", "4294967295");
  EXPECT_FALSE(gpu_instance_of_vgpu(host_.root(), vf)) << "none";
  host_.reacts(vf_name, "nvidia/gpu_instance_id", [](const std::string&) { return 0; });
  EXPECT_EQ(set_in_3(), "");
  EXPECT_EQ(set(0), "");
  EXPECT_THAT(host_.writes(), ElementsAre(HasSubstr("nvidia/current_vgpu_type 1145"),
                                          HasSubstr("nvidia/gpu_instance_id 3"),
                                          HasSubstr("nvidia/current_vgpu_type 1145"),
                                          HasSubstr("nvidia/current_vgpu_type 0")));
  host_.reacts(vf_name, "nvidia/gpu_instance_id", [this](const std::string&) {
    host_.hang();
    return 0;
  });
  EXPECT_THAT(set_in_3(), HasSubstr("write to gpu_instance_id is blocked in the kernel (process "));
}

TEST_F(VendorVgpuTest, what_a_record_has_of_it_is_what_is_read) {
  EXPECT_THAT(vgpu_attributes(host_.root(), vf),
              ElementsAre(testing::StrEq("nvidia/current_vgpu_type"),
                          testing::StrEq("nvidia/creatable_vgpu_types")));
  EXPECT_EQ(reason_without_vgpus(host_.root(), vf), "");
  host_.pci_gpu("0000:42:00.0");
  EXPECT_EQ(reason_without_vgpus(host_.root(), *parse_pci_address("0000:42:00.0")),
            "no nvidia/current_vgpu_type; check that NVIDIA's vGPU driver is loaded");
}

}  // namespace
}  // namespace gpuward
