// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/unified_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "inventory/gpu_types.hpp"

namespace gpuward {
namespace {

GpuType named(const std::string& name, const std::string& description = {}) {
  GpuType type{.id = "1", .name = name, .description = description};
  add_size(type);
  return type;
}

TEST(UnifiedMemoryTest, a_time_sliced_vgpu_has_it_with_all_memory_of_the_gpu) {
  EXPECT_EQ(no_unified_memory(named("NVIDIA A40-48Q")), "");
  EXPECT_EQ(no_unified_memory(named("NVIDIA A40-12Q")),
            "has 12288 of 49152 MiB, and only a vGPU with all memory of the GPU can have unified "
            "memory (enable_uvm)");
  EXPECT_EQ(no_unified_memory(named("NVIDIA Z9-12C"), 12288), "") << "the driver tells how much";
  EXPECT_NE(no_unified_memory(named("NVIDIA Z9-12C"), 24576), "");
}

TEST(UnifiedMemoryTest, what_is_not_known_to_be_a_part_is_not_refused) {
  EXPECT_EQ(no_unified_memory(named("NVIDIA Z9-12C")), "") << "a model that is not known";
  EXPECT_EQ(no_unified_memory(named("GRID A100-1-5C")), "") << "in a GPU instance of its own";
  EXPECT_EQ(no_unified_memory(named("mtty-1")), "");
}

TEST(UnifiedMemoryTest, only_profiles_that_set_it_are_concerned) {
  Profile profile;
  profile.name = "p";
  EXPECT_NO_THROW(require_unified_memory(profile, named("NVIDIA A40-12Q"), "GPU 0"));
  profile.attributes = {{"nvidia/vgpu_params", "enable_uvm=1"}};
  EXPECT_NO_THROW(require_unified_memory(profile, named("NVIDIA A40-48Q"), "GPU 0"));
  try {
    require_unified_memory(profile, named("NVIDIA A40-12Q"), "GPU 0");
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("GPU 0: type NVIDIA A40-12Q has 12288 of "));
    EXPECT_EQ(error.reason.remedy, "change 'type' or 'set' in [profile p]");
  }
}

}  // namespace
}  // namespace gpuward
