// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/version.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpuward {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(LibvirtVersionTest, vendor_vfs_need_9_7) {
  Config config;
  config.profiles.resize(2);
  config.profiles[0].name = "big";
  config.profiles[0].use = Use::whole;
  config.profiles[1].name = "vgpu";
  config.profiles[1].use = Use::vendor_vf;
  const auto problems = unsupported_by(config, 9006000);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_THAT(problems[0].message, HasSubstr("[profile vgpu] uses vendor VFs"));
  EXPECT_THAT(problems[0].message, HasSubstr("this host has 9.6"));
  config.profiles[1].is_configured = false;
  EXPECT_THAT(to_string(unsupported_by(config, 9006000)[0]),
              testing::StartsWith("request 'vgpu' uses vendor VFs"));
  EXPECT_THAT(unsupported_by(config, 9007000), IsEmpty());
  EXPECT_THAT(unsupported_by(config, 0), IsEmpty()) << "libvirt is not to be asked";
  config.profiles[1].use = Use::vf;
  EXPECT_THAT(unsupported_by(config, 9000000), IsEmpty());
}

}  // namespace
}  // namespace gpuward
