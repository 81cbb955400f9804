// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/vf_profile.hpp"

#include <gtest/gtest.h>

#include "fake_host.hpp"

namespace gpuward {
namespace {

TEST(VfProfileTest, the_card_comes_first_and_what_is_not_reported_is_unknown) {
  FakeHost host;
  const std::string card = "0000:41:00.0";
  host.sriov(card, 2);
  host.set_vfs(card, 2);
  host.pci_gpu(card)
      .attribute("sriov_admin/pf/profile/exec_quantum_ms", "40")
      .attribute("sriov_admin/pf/profile/sched_priority", "low normal [high]")
      .attribute("sriov_admin/vf2/profile/vram_quota", "2147483648")
      .attribute("sriov_admin/vf2/profile/preempt_timeout_us", "500")
      .attribute("sriov_admin/vf2/profile/sched_priority", "low");
  const auto found = vf_profiles(host.root(), *parse_pci_address(card));
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(to_string(found[0].address), card);
  EXPECT_EQ(found[0].exec_quantum_ms, 40U);
  EXPECT_EQ(found[0].sched_priority, "high");
  EXPECT_FALSE(found[0].vram_quota);
  EXPECT_FALSE(found[1].exec_quantum_ms);
  EXPECT_EQ(found[1].sched_priority, "");
  EXPECT_EQ(to_string(found[2].address), "0000:41:00.2");
  EXPECT_EQ(found[2].vram_quota, 2147483648U);
  EXPECT_EQ(found[2].preempt_timeout_us, 500U);
  EXPECT_EQ(found[2].sched_priority, "") << "no word is marked";
}

}  // namespace
}  // namespace gpuward
