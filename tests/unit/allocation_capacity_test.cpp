// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/capacity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "inventory/gpu_types.hpp"
#include "simulated_kernel.hpp"

namespace gpuward {
namespace {

using testing::HasSubstr;

/// As the VFs of the card report a type while each of `free` has room for one.
GpuType on_vfs(const Gpu& gpu, GpuType type, unsigned free) {
  type.on.clear();
  for (unsigned at = 0; at < gpu.mdev_parents.size(); ++at)
    type.on.push_back({gpu.mdev_parents[at], at < free ? 1 : 0});
  return type;
}

TEST(CardRoomTest, types_of_mbochs_share_a_pool_of_memory) {
  const auto mbochs = [](const char* id, int mib, unsigned available) {
    return type(id, "virtual display, " + std::to_string(mib) + " MB video memory", available);
  };
  CardRoom room = card_room(
      card(), {mbochs("small", 4, 64), mbochs("medium", 16, 16), mbochs("large", 64, 4)}, {});
  EXPECT_EQ(room_for(room, "small"), 64U);
  EXPECT_TRUE(take(room, "large"));
  EXPECT_EQ(room_for(room, "large"), 3U);
  EXPECT_EQ(room_for(room, "medium"), 12U);
  for (int count = 0; count < 11; ++count) EXPECT_TRUE(take(room, "medium"));
  EXPECT_FALSE(take(room, "large"));
  EXPECT_EQ(reason_full(room, "large"), "16 MiB of memory remain and one requires 64 MiB");
  EXPECT_EQ(room_for(room, "small"), 4U);
}

TEST(CardRoomTest, of_ports_only_shares_are_known) {
  CardRoom room = card_room(card(), {type("mtty-1", "", 24), type("mtty-2", "", 12)}, {});
  for (int count = 0; count < 5; ++count) EXPECT_TRUE(take(room, "mtty-2"));
  EXPECT_EQ(room_for(room, "mtty-1"), 14U);
  EXPECT_EQ(room_for(room, "mtty-2"), 7U);
  for (int count = 0; count < 13; ++count) EXPECT_TRUE(take(room, "mtty-1"));
  EXPECT_EQ(room_for(room, "mtty-2"), 0U);
  EXPECT_EQ(reason_full(room, "mtty-2"), "types of the card share its capacity");
  EXPECT_EQ(room_for(room, "mtty-1"), 1U);
}

/// drivers/gpu/drm/i915/gvt/vgpu.c, a card with 512 MB low and 2048 MB high.
TEST(CardRoomTest, gvt_needs_room_low_and_high) {
  CardRoom room =
      card_room(card(),
                {type("_8", "low_gm_size: 64MB\nhigh_gm_size: 384MB\nfence: 4\nweight: 2", 5),
                 type("_4", "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nweight: 4", 4),
                 type("_2", "low_gm_size: 256MB\nhigh_gm_size: 1024MB\nfence: 4\nweight: 8", 2),
                 type("_1", "low_gm_size: 512MB\nhigh_gm_size: 2048MB\nfence: 4\nweight: 16", 1)},
                {});
  for (int count = 0; count < 4; ++count) EXPECT_TRUE(take(room, "_8"));
  EXPECT_EQ(room_for(room, "_4"), 1U) << "1536 + 512 of 2048 MB high";
  EXPECT_EQ(room_for(room, "_2"), 0U);
}

TEST(CardRoomTest, vgpus_of_a_card_have_one_size) {
  CardRoom room = card_room(card(),
                            {type("1Q", nvidia(1024, 8), 8), type("1B", nvidia(1024, 8), 8),
                             type("8Q", nvidia(8192, 1), 1)},
                            {});
  EXPECT_EQ(room_for(room, "8Q"), 1U);
  EXPECT_TRUE(take(room, "1Q"));
  EXPECT_EQ(room_for(room, "8Q"), 0U);
  EXPECT_EQ(reason_full(room, "8Q"),
            "all vGPUs of a card have the same memory size, here 1024 MiB "
            "instead of 8192 MiB");
  EXPECT_EQ(room_for(room, "1B"), 7U) << "another series of this size";
}

TEST(CardRoomTest, in_mixed_size_mode_vgpus_have_any_size_that_fits) {
  const Gpu gpu = card_with_vfs(16);
  CardRoom room = card_room(gpu,
                            {on_vfs(gpu, type("12Q", nvidia(12288, 4), 0), 15),
                             on_vfs(gpu, type("24Q", nvidia(24576, 2), 0), 15)},
                            {"24Q"});
  EXPECT_EQ(room_for(room, "24Q"), 1U);
  EXPECT_EQ(room_for(room, "12Q"), 2U);
  EXPECT_TRUE(take(room, "12Q"));
  EXPECT_EQ(room_for(room, "24Q"), 0U);
}

/// NVIDIA's table of the L40 for mixed sizes: two of 16C, four of 8C, eight of 4C.
TEST(CardRoomTest, in_mixed_size_mode_a_card_has_a_power_of_two_of_each_type) {
  const Gpu gpu = card_with_vfs(32);
  const auto room_beside = [&](const std::string& present) {
    return card_room(gpu,
                     {on_vfs(gpu, type("4C", nvidia(4096, 12), 0), 31),
                      on_vfs(gpu, type("8C", nvidia(8192, 6), 0), 31),
                      on_vfs(gpu, type("16C", nvidia(16384, 3), 0), 31),
                      on_vfs(gpu, type("48C", nvidia(49152, 1), 0), 0)},
                     {present});
  };
  EXPECT_EQ(room_for(room_beside("16C"), "16C"), 1U);
  EXPECT_EQ(room_for(room_beside("16C"), "8C"), 2U);
  EXPECT_EQ(room_for(room_beside("4C"), "4C"), 7U);
}

TEST(CardRoomTest, virtual_functions_share_their_card) {
  const Gpu gpu = card_with_vfs(16);
  const std::vector<GpuType> types{on_vfs(gpu, type("12Q", nvidia(12288, 4), 0), 15),
                                   on_vfs(gpu, type("1B", nvidia(1024, 32), 0), 0)};
  CardRoom room = card_room(gpu, types, {"12Q"});
  EXPECT_EQ(room_for(room, "12Q"), 3U);
  EXPECT_EQ(room_for(card_room(gpu, types, {"12Q"},
                               [&](const std::string& vf) { return vf == gpu.mdev_parents[3]; }),
                     "12Q"),
            1U)
      << "the others may not be used";
  for (int count = 0; count < 3; ++count) EXPECT_TRUE(take(room, "12Q"));
  EXPECT_EQ(reason_full(room, "12Q"), "max_instance is 4");
}

TEST(CardRoomTest, each_virtual_function_has_one_instance) {
  const Gpu gpu = card_with_vfs(4);
  CardRoom room = card_room(gpu, {on_vfs(gpu, type("1B", nvidia(1024, 32), 0), 4)}, {});
  EXPECT_EQ(room_for(room, "1B"), 4U);
  for (int count = 0; count < 4; ++count) EXPECT_TRUE(take(room, "1B"));
  EXPECT_EQ(reason_full(room, "1B"), "no VF without an instance remains");
}

TEST(CardRoomTest, what_runs_and_is_not_known_leaves_room_for_one_more_at_most) {
  const Gpu gpu = card_with_vfs(16);
  const std::vector<GpuType> types{on_vfs(gpu, type("12Q", nvidia(12288, 4), 0), 14)};
  EXPECT_EQ(room_for(card_room(gpu, types, {"12Q", ""}), "12Q"), 1U);
}

/// On KVM the administrator creates the GPU instances of MIG, and each has one vGPU: a VF offers
/// the types of those that have none. How many there are of one size no VF says.
TEST(CardRoomTest, of_mig_one_gpu_instance_is_known) {
  const Gpu gpu = card_with_vfs(16);
  const auto mig = [&](const std::string& name, unsigned gigabytes, unsigned most, unsigned free) {
    GpuType type{
        .id = name, .name = "GRID A100-" + name, .description = nvidia(gigabytes * 1024, most)};
    add_size(type);
    return on_vfs(gpu, type, free);
  };
  CardRoom room =
      card_room(gpu,
                {mig("1-5C", 5, 7, 16), mig("1-5CME", 5, 1, 16), mig("2-10C", 10, 3, 16),
                 mig("3-20C", 20, 2, 16), mig("4-20C", 20, 1, 0)},
                {});
  for (const char* const type : {"1-5C", "2-10C", "3-20C"})
    EXPECT_EQ(room_for(room, type), 1U) << type;
  EXPECT_EQ(room_for(room, "4-20C"), 0U);
  EXPECT_TRUE(take(room, "1-5C"));
  EXPECT_EQ(room_for(room, "1-5C"), 0U);
  EXPECT_EQ(room_for(room, "1-5CME"), 0U) << "the GPU instance may be in use";
  EXPECT_TRUE(take(room, "3-20C"));
  EXPECT_TRUE(take(room, "2-10C"));
  EXPECT_TRUE(give_back(room, "1-5C"));
  EXPECT_EQ(room_for(room, "1-5C"), 1U);
}

TEST(CardRoomTest, the_next_type_of_a_profile_serves_when_the_first_is_limited) {
  CardRoom room = card_room(card(), {type("mtty-1", "", 24), type("mtty-2", "", 12)}, {});
  EXPECT_EQ(room_for_first(room, {"mtty-1", "mtty-2"}), 24U);
  limit(room, "mtty-1", 4);
  EXPECT_EQ(room_for(room, "mtty-1"), 4U);
  EXPECT_EQ(room_for_first(room, {"mtty-1", "mtty-2"}), 4U + 10U);
  EXPECT_EQ(room_for_first(room, {"mtty-2", "mtty-1", "absent"}), 12U);
  limit(room, "mtty-1", 30);
  EXPECT_EQ(room_for(room, "mtty-1"), 4U) << "a limit takes nothing back";
}

/// NVIDIA's vendor VFIO framework says of a type only whether one more can be created.
TEST(CardRoomTest, of_a_vendor_vf_the_name_tells_the_size) {
  Gpu gpu = card_with_vfs(16);
  gpu.mdev_parents.clear();
  gpu.offers_vgpus = true;
  const auto vgpu = [&](const std::string& id, const std::string& name, unsigned free) {
    GpuType type{.id = id, .name = name, .use = Use::vendor_vf};
    add_size(type);
    for (unsigned at = 0; at < free; ++at) type.on.push_back({to_string(gpu.vfs[at]), 1});
    return type;
  };
  const CardRoom empty =
      card_room(gpu, {vgpu("1", "NVIDIA L40S-12Q", 16), vgpu("2", "NVIDIA L40S-48Q", 16)}, {});
  EXPECT_EQ(room_for(empty, "1"), 4U);
  EXPECT_EQ(room_for_first(empty, {"NVIDIA L40S-48Q", "1"}), 1U);
  EXPECT_EQ(room_for(card_room(gpu, {vgpu("1", "NVIDIA L40S-12Q", 14)}, {"1", "1"}), "1"), 2U);
  EXPECT_EQ(room_for(card_room(gpu, {vgpu("1", "NVIDIA Z9-12Q", 14)}, {"1", "1"}), "1"), 1U)
      << "the memory of this model is not known";
  EXPECT_EQ(room_for(card_room(gpu, {vgpu("1", "NVIDIA A100-1-5C", 16)}, {}), "1"), 1U);
}

TEST(CardRoomTest, of_several_types_each_gets_what_those_before_leave) {
  const auto mbochs = [](const char* id, int mib, unsigned available) {
    return type(id, "virtual display, " + std::to_string(mib) + " MB video memory", available);
  };
  const CardRoom room = card_room(card(), {mbochs("small", 4, 31), mbochs("large", 64, 1)}, {});
  EXPECT_EQ(room_for_first(room, {"large", "small"}), 16U) << "124 MB: one of 64, 15 of 4";
  EXPECT_EQ(room_for_first(room, {"small", "large"}), 31U);
  EXPECT_EQ(room_for_first(room, {"other"}), 0U);
}

TEST(CardRoomTest, what_is_removed_makes_room) {
  CardRoom room =
      card_room(card(), {type("1Q", nvidia(1024, 8), 0), type("8Q", nvidia(8192, 1), 0)},
                std::vector<std::string>(8, "1Q"));
  EXPECT_FALSE(give_back(room, "8Q")) << "there is none";
  for (int count = 0; count < 8; ++count) EXPECT_TRUE(give_back(room, "1Q"));
  EXPECT_EQ(room_for(room, "1Q"), 8U);
  EXPECT_TRUE(take(room, "8Q"));
  CardRoom shares = card_room(card(), {type("mtty-1", "", 0)}, {"mtty-1"});
  EXPECT_FALSE(give_back(shares, "mtty-1")) << "what one takes is not known";
}

// ---- against a simulated kernel

TEST(CapacityPropertyTest, what_is_available_of_one_type_is_granted_and_no_more) {
  Random random(20260830);
  for (int card = 0; card < 5000; ++card) {
    const Kernel kernel = random_kernel(random);
    const CardRoom room = kernel.room();
    if (is_mode_hidden(kernel, room)) continue;
    for (size_t at = 0; at < kernel.types.size(); ++at)
      ASSERT_EQ(room_for(room, kernel.types[at].id), kernel.available(at))
          << "card " << card << ", type " << kernel.types[at].description;
  }
}

TEST(CapacityPropertyTest, what_fits_together_is_granted_in_any_order) {
  Random random(4711);
  for (int card = 0; card < 5000; ++card) {
    Kernel kernel = random_kernel(random);
    CardRoom room = kernel.room();
    if (is_mode_hidden(kernel, room)) continue;
    for (int step = 0; step < 40; ++step) {
      const size_t at = any(random, 0, static_cast<unsigned>(kernel.types.size()) - 1);
      if (take(room, kernel.types[at].id)) {
        ASSERT_TRUE(kernel.create(at))
            << "card " << card << ", step " << step << ", kind " << static_cast<int>(kernel.kind);
      }
    }
  }
}

/// Where the sizes are known, the kernel grants nothing more: sizes as NVIDIA has them divide each
/// other.
TEST(CapacityPropertyTest, of_a_pool_whose_sizes_divide_each_other_all_is_granted) {
  Random random(7);
  for (int card = 0; card < 2000; ++card) {
    Kernel kernel{Kernel::Kind::pool, {}, {64 * any(random, 1, 16)}};
    for (const unsigned mib : {4U, 16U, 64U})
      kernel.types.push_back({std::to_string(mib),
                              "virtual display, " + std::to_string(mib) + " MB video memory",
                              {mib}});
    CardRoom room = kernel.room();
    for (int step = 0; step < 60; ++step) {
      const size_t at = any(random, 0, 2);
      ASSERT_EQ(room_for(room, kernel.types[at].id), kernel.available(at));
      ASSERT_EQ(take(room, kernel.types[at].id), kernel.create(at));
    }
  }
}

}  // namespace
}  // namespace gpuward
