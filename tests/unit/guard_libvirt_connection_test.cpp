// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/events.hpp"

#include <gtest/gtest.h>
#include <libvirt/libvirt.h>

namespace gpuward {
namespace {

TEST(Condition, is_off_only_when_libvirt_says_so) {
  EXPECT_EQ(condition_of(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DESTROYED), Condition::off);
  EXPECT_EQ(condition_of(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED), Condition::running);
  EXPECT_EQ(condition_of(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER), Condition::paused_by_user);
  // `virsh reboot` and `virsh reset` come through this state, with the same QEMU.
  EXPECT_EQ(condition_of(VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_USER), Condition::shutting_down);
  EXPECT_EQ(condition_of(VIR_DOMAIN_NOSTATE, 0), Condition::shutting_down) << "not known";
}

}  // namespace
}  // namespace gpuward
