// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config_files.hpp"

namespace gpuward {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using ConfigGuard = ConfigFiles;

TEST_F(ConfigGuard, Defaults) {
  const LoadedConfig loaded = load("");
  EXPECT_THAT(told(loaded), IsEmpty());
  const GuardPolicy& guard = loaded.config.guard;
  EXPECT_EQ(guard.migration, Policy::block);
  EXPECT_EQ(guard.pause, Policy::block);
  EXPECT_EQ(guard.memory_hotplug, Policy::block);
  EXPECT_EQ(guard.gpu_hotplug, Policy::block);
  EXPECT_FALSE(guard.harden);
}

TEST_F(ConfigGuard, EachKeySetsItsOwn) {
  const LoadedConfig loaded = load(
      "[guard]\nmigration = warn\npause = allow\nmemory-hotplug = warn\ngpu-hotplug = allow\n"
      "harden = yes\n");
  EXPECT_THAT(told(loaded), IsEmpty());
  const GuardPolicy& guard = loaded.config.guard;
  EXPECT_EQ(guard.migration, Policy::warn);
  EXPECT_EQ(guard.pause, Policy::allow);
  EXPECT_EQ(guard.memory_hotplug, Policy::warn);
  EXPECT_EQ(guard.gpu_hotplug, Policy::allow);
  EXPECT_FALSE(guard.gpu_hotplug_strict);
  EXPECT_TRUE(guard.harden);
  EXPECT_EQ(load("[guard]\nmigration=block\nharden=no\n").config.guard.migration, Policy::block);
}

TEST_F(ConfigGuard, StrictIsBlockAndMore) {
  const LoadedConfig loaded = load("[guard]\ngpu-hotplug = strict\n");
  EXPECT_THAT(told(loaded), IsEmpty());
  EXPECT_EQ(loaded.config.guard.gpu_hotplug, Policy::block);
  EXPECT_TRUE(loaded.config.guard.gpu_hotplug_strict);
  EXPECT_FALSE(problems("[guard]\npause = strict\n").empty());
}

TEST_F(ConfigGuard, BadValues) {
  EXPECT_THAT(
      problems("[guard]\nmigration = alow\npause = never\nmemory-hotplug =\nharden = true\n"),
      ElementsAre(
          "gpuward.conf:2: bad value 'alow' for 'migration' in [guard]; did you mean 'allow'?",
          "gpuward.conf:3: bad value 'never' for 'pause' in [guard]; possible: block, warn, allow",
          "gpuward.conf:4: 'memory-hotplug' in [guard] has no value",
          "gpuward.conf:5: bad value 'true' for 'harden' in [guard]; possible: yes, no"));
}

TEST_F(ConfigGuard, UnknownKeys) {
  EXPECT_THAT(
      problems("[guard]\nmemory_hotplug = warn\nsnapshot = warn\n"),
      ElementsAre(
          "gpuward.conf:2: unknown key 'memory_hotplug' in [guard]; did you mean 'memory-hotplug'?",
          "gpuward.conf:3: unknown key 'snapshot' in [guard]; possible: migration, pause, "
          "memory-hotplug, gpu-hotplug, harden"));
}

TEST_F(ConfigGuard, HasNoName) {
  EXPECT_THAT(
      problems("[guard x]\npause = warn\n"),
      ElementsAre("gpuward.conf:1: bad name 'x' in [guard x]; expected [guard] without a name"));
}

}  // namespace gpuward
