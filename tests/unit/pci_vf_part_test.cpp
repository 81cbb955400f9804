// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/vf_part.hpp"

#include <gtest/gtest.h>

#include "fake_host.hpp"

namespace gpuward {
namespace {

const std::string pf_name = "0000:53:00.0";
const PciAddress pf = *parse_pci_address(pf_name);
const PciAddress first = *parse_pci_address("0000:53:00.1");
const PciAddress second = *parse_pci_address("0000:53:00.2");

/// A card with two VFs of four.
class VfPartTest : public testing::Test {
 protected:
  VfPartTest() {
    host_.sriov(pf_name, 4);
    host_.set_vfs(pf_name, 2);
    set("pf", "exec_quantum_ms", "20");
    set("pf", "sched_priority", "low [normal] high");
    for (const char* const vf : {"vf1", "vf2", "vf3", "vf4"}) {
      set(vf, "exec_quantum_ms", "10");
      set(vf, "sched_priority", "low [normal]");
      set(vf, "vram_quota", "4294967296");
    }
  }
  void set(const std::string& of, const std::string& attribute, const std::string& value) {
    host_.pci_gpu(pf_name).attribute("sriov_admin/" + of + "/profile/" + attribute, value);
  }
  VfTurns turns() { return turns_of(vf_profiles(host_.root(), pf)); }
  std::optional<unsigned> memory(const PciAddress& vf) { return vf_memory(host_.root(), pf, vf); }
  FakeHost host_;
};

TEST_F(VfPartTest, memory_is_what_the_driver_gave_the_vf) {
  set("vf2", "vram_quota", "2149580799");
  EXPECT_EQ(memory(first), 4096U);
  EXPECT_EQ(memory(second), 2049U) << "rounded down";
  EXPECT_FALSE(memory(*parse_pci_address("0000:53:00.3"))) << "not enabled";
  for (const char* const none : {"0", "", "x", "-1", "18446744073709551616"}) {
    set("vf1", "vram_quota", none);
    EXPECT_FALSE(memory(first)) << none;
  }
}

TEST_F(VfPartTest, a_share_is_the_quantum_in_a_round_of_all) {
  EXPECT_EQ(turns().unknown, "");
  EXPECT_EQ(turns().round_ms, 40U) << "of the VFs that are enabled and the PF";
  EXPECT_EQ(vf_share(turns(), first), 25U);
  set("vf2", "exec_quantum_ms", "30");
  EXPECT_EQ(vf_share(turns(), first), 16U) << "rounded down";
  EXPECT_EQ(vf_share(turns(), second), 50U);
  EXPECT_FALSE(vf_share(turns(), *parse_pci_address("0000:53:00.3")));
}

TEST_F(VfPartTest, one_without_a_quantum_leaves_nobody_a_share) {
  set("vf2", "exec_quantum_ms", "0");
  EXPECT_EQ(turns().unknown, "VF 0000:53:00.2 has no execution quantum");
  EXPECT_FALSE(vf_share(turns(), first));
  set("vf2", "exec_quantum_ms", "");
  EXPECT_EQ(turns().unknown, "the driver does not report the execution quantum of VF 0000:53:00.2");
  set("vf2", "exec_quantum_ms", "10");
  set("pf", "exec_quantum_ms", "0");
  EXPECT_EQ(turns().unknown, "the PF has no execution quantum");
  EXPECT_FALSE(vf_share(turns(), first));
}

TEST_F(VfPartTest, a_priority_that_is_high_or_unknown_leaves_nobody_a_share) {
  set("pf", "sched_priority", "low normal [high]");
  EXPECT_EQ(turns().unknown, "scheduling priority of the PF is high");
  EXPECT_FALSE(vf_share(turns(), first));
  for (const char* const other : {"", "normal", "[]", "][", "[other]"}) {
    set("pf", "sched_priority", other);
    EXPECT_EQ(turns().unknown, "scheduling priority of the PF is unknown") << other;
  }
}

}  // namespace
}  // namespace gpuward
