// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.hpp"
#include "cli/doctor/findings.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

constexpr unsigned new_libvirt = 11'003'000, old_libvirt = 9'000'000;

size_t findings(const std::string& config, unsigned libvirt = new_libvirt) {
  FakeHost host;
  make_directories(host.root().at("/etc/libvirt"));
  write_file_atomically(host.root().at("/etc/libvirt/qemu.conf"), config);
  return check_host_shutdown(host.root(), libvirt).size();
}

TEST(DoctorShutdown, A_save_that_fails_powers_the_domain_off) {
  const std::string save = "auto_shutdown_try_save = \"persistent\"\n";
  EXPECT_EQ(findings(save), 1u);
  EXPECT_EQ(findings("  auto_shutdown_try_save='all' # yes\n"), 1u);
  EXPECT_EQ(findings(save + "auto_shutdown_try_shutdown = \"none\"\n"), 1u);
  EXPECT_EQ(findings(save + "auto_shutdown_try_shutdown = \"all\"\n"), 0u);
  EXPECT_EQ(findings(save + "auto_shutdown_try_save = \"none\"\n"), 0u) << "the last one counts";
  EXPECT_EQ(findings("#" + save), 0u);
  EXPECT_EQ(findings(save, old_libvirt), 0u);
  EXPECT_TRUE(check_host_shutdown(FakeHost().root(), new_libvirt).empty());
}

}  // namespace
}  // namespace gpuward
