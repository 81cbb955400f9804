// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/fraction.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "inventory/gpu_types.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

GpuType vgpu(const std::string& id, const std::string& name, unsigned mib, unsigned most) {
  GpuType type{.id = id,
               .name = name,
               .description = "num_heads=4, framebuffer=" + std::to_string(mib) +
                              "M, max_instance=" + std::to_string(most)};
  add_size(type);
  type.on = {{"card", most}};
  return type;
}

/// With room for all of its types while there are no others.
FractionGpu card(const std::vector<GpuType>& types, const std::optional<unsigned>& mib,
                 const std::string& name = "card") {
  Gpu gpu;
  gpu.parent.name = name;
  gpu.mdev_parents = {name};
  FractionGpu found{.name = name, .memory_mib = mib, .types = types};
  found.room = card_room(gpu, types, {});
  return found;
}

FractionGpu a40() {
  return card(
      {vgpu("nvidia-556", "NVIDIA A40-2B", 2048, 24), vgpu("nvidia-560", "NVIDIA A40-4Q", 4096, 12),
       vgpu("nvidia-561", "NVIDIA A40-6Q", 6144, 8), vgpu("nvidia-566", "NVIDIA A40-48Q", 49152, 1),
       vgpu("nvidia-567", "NVIDIA A40-4C", 4096, 12)},
      49152);
}

FractionGpu a100() {
  return card({vgpu("nvidia-474", "GRID A100-1-5C", 5120, 7),
               vgpu("nvidia-475", "GRID A100-2-10C", 10240, 3),
               vgpu("nvidia-478", "GRID A100-7-40C", 40960, 1)},
              40960);
}

FractionGpu whole_card(const std::string& name, const std::optional<unsigned>& mib) {
  FractionGpu gpu{.name = name, .device = "1002:74a1", .memory_mib = mib};
  return gpu;
}

FractionRequest request(unsigned mib, const std::optional<unsigned>& percent = {}) {
  return {{mib, percent}};
}

std::vector<std::string> types_of(const FractionChoice& choice) {
  std::vector<std::string> types;
  for (const FractionCandidate& one : choice.candidates)
    types.push_back(one.type.empty() ? "whole " + one.gpu : one.type);
  return types;
}

std::string reason_of(const FractionChoice& choice, const std::string& type) {
  for (const FractionLeftOut& one : choice.left_out)
    if (one.type == type) return one.reason;
  return {};
}

VgpuScheduler fixed_share(unsigned time_slice_ms) {
  return {VgpuScheduler::Policy::fixed_share, time_slice_ms * 1'000'000};
}

TEST(FractionTest, unified_memory_needs_all_memory_of_the_gpu) {
  FractionRequest wanted = request(4096);
  ASSERT_THAT(types_of(fraction_choice(wanted, {a40()})), testing::Contains("nvidia-567"));
  wanted.unified_memory = true;
  const FractionChoice choice = fraction_choice(wanted, {a40()});
  EXPECT_THAT(types_of(choice), ElementsAre("nvidia-566"));
  EXPECT_THAT(reason_of(choice, "nvidia-567"), HasSubstr("unified memory"));
}

TEST(FractionTest, the_rule_and_the_nearest_valid_values_are_named) {
  EXPECT_EQ(fraction_advice({4096, {}}), "");
  EXPECT_EQ(fraction_advice({4096, 25}), "");
  EXPECT_EQ(fraction_advice({4000, {}}),
            "expected a multiple of 128MiB, such as 3968MiB or 4096MiB");
  EXPECT_EQ(fraction_advice({64, {}}), "expected a multiple of 128MiB, such as 128MiB");
  EXPECT_EQ(fraction_advice({4096, 27}),
            "expected a multiple of 5% from 5% to 100%, such as 25% or 30%");
  EXPECT_EQ(fraction_advice({4096, 0}), "expected a multiple of 5% from 5% to 100%, such as 5%");
  EXPECT_EQ(fraction_advice({4096, 120}),
            "expected a multiple of 5% from 5% to 100%, such as 100%");
}

TEST(FractionTest, the_smallest_waste_is_first_then_the_first_name) {
  const FractionChoice choice = fraction_choice(request(3072), {a40()});
  EXPECT_THAT(types_of(choice),
              ElementsAre("nvidia-567", "nvidia-560", "nvidia-561", "nvidia-566"));
  EXPECT_EQ(choice.candidates[0].memory_mib, 4096U);
  EXPECT_EQ(choice.candidates[0].unused_mib, 1024U);
  EXPECT_EQ(reason_of(choice, "nvidia-556"), "has 2048 MiB");
}

TEST(FractionTest, a_share_that_is_not_guaranteed_is_refused) {
  FractionGpu gpu = a40();
  const auto reason = [&] {
    return reason_of(fraction_choice(request(4096, 5), {gpu}), "nvidia-560");
  };
  EXPECT_EQ(reason(), "no share of the compute units is guaranteed (scheduler: unknown)");
  gpu.scheduler = VgpuScheduler{};
  EXPECT_EQ(reason(), "no share of the compute units is guaranteed (scheduler: best effort)");
  gpu.scheduler = VgpuScheduler{VgpuScheduler::Policy::equal_share, 2'000'000};
  EXPECT_THAT(reason(), HasSubstr("(scheduler: equal share)"));
  gpu.scheduler = fixed_share(2);
  EXPECT_EQ(reason(), "");
  EXPECT_EQ(reason_of(fraction_choice(request(4096, 10), {gpu}), "nvidia-560"),
            "guarantees 8 % of the compute units");
}

TEST(FractionTest, fixed_share_guarantees_one_of_max_instance) {
  FractionGpu gpu = a40();
  gpu.scheduler = fixed_share(2);
  const FractionChoice choice = fraction_choice(request(4096, 10), {gpu});
  ASSERT_THAT(types_of(choice), ElementsAre("nvidia-561", "nvidia-566"));
  EXPECT_EQ(choice.candidates[0].compute_percent, 12U);
  EXPECT_EQ(choice.candidates[0].unused_percent, 2U);
  EXPECT_EQ(to_string(choice.candidates[0].limits.compute), "averaged over 16 ms");
  EXPECT_EQ(to_string(choice.candidates[0].limits.memory), "hard");
}

TEST(FractionTest, slices_of_mig_are_guaranteed) {
  const FractionChoice choice = fraction_choice(request(5120, 15), {a100()});
  EXPECT_EQ(reason_of(choice, "nvidia-474"), "guarantees 14 % of the compute units");
  ASSERT_THAT(types_of(choice), ElementsAre("nvidia-475", "nvidia-478"));
  EXPECT_EQ(choice.candidates[0].compute_percent, 28U);
  EXPECT_EQ(choice.candidates[1].compute_percent, 100U);
  EXPECT_EQ(to_string(choice.candidates[0].limits.compute), "hard");
}

/// Beside one of as many slices and more memory, too: no other vGPU gets into its GPU instance.
TEST(FractionTest, a_gpu_instance_that_is_created_for_one_is_its_own) {
  GpuType small{.id = "1g.5gb", .name = "1g.5gb", .memory_mib = 4864, .of_mig = true};
  small.takes = {1, 4864};
  small.is_counted_by_card = true;
  GpuType large = small;
  large.id = large.name = "1g.10gb";
  large.memory_mib = 9728;
  const FractionGpu gpu{.name = "0000:41:00.0", .types = {small, large}};
  EXPECT_EQ(to_string(limits_of(small, gpu).compute), "hard");
  EXPECT_EQ(to_string(limits_of(large, gpu).compute), "hard");
}

/// A driver that lists only what can still be created may list the small ones alone.
TEST(FractionTest, a_slice_is_a_seventh_whatever_else_is_listed) {
  const auto share = [](const std::string& name) {
    const FractionGpu gpu = card({vgpu("t", name, 6144, 4)}, 24576);
    return fraction_choice(request(6144), {gpu}).candidates.at(0).compute_percent;
  };
  EXPECT_EQ(share("GRID A100-1-5C"), 14U);
  EXPECT_EQ(share("GRID A100-3-20C"), 42U);
  EXPECT_EQ(share("NVIDIA A30-1-6C"), 25U);
}

/// Blackwell: four of 12 GiB may run on a GPU instance of two slices and 48 GiB.
TEST(FractionTest, what_may_share_a_gpu_instance_has_no_share) {
  const FractionGpu gpu = card({vgpu("1", "NVIDIA RTX Pro 6000 DC-2-12Q", 12288, 8),
                                vgpu("2", "NVIDIA RTX Pro 6000 DC-2-48Q", 49152, 2),
                                vgpu("3", "NVIDIA RTX Pro 6000 DC-1-24Q", 24576, 4)},
                               98304);
  const FractionChoice choice = fraction_choice(request(8192, 10), {gpu});
  EXPECT_THAT(types_of(choice), ElementsAre("3", "2"));
  EXPECT_EQ(reason_of(choice, "1"),
            "no share of the compute units is guaranteed: several may run on one GPU instance");
  const FractionChoice any_share = fraction_choice(request(8192), {gpu});
  EXPECT_EQ(any_share.candidates[0].type, "1");
  EXPECT_FALSE(any_share.candidates[0].compute_percent);
  EXPECT_EQ(to_string(any_share.candidates[0].limits.compute), "none");
  EXPECT_EQ(to_string(any_share.candidates[0].limits.memory), "hard");
}

/// A driver that lists only what can be created now may hide the larger one.
TEST(FractionTest, beside_types_that_are_not_listed_a_slice_of_blackwell_has_no_share) {
  FractionGpu gpu = card({vgpu("1", "NVIDIA RTX Pro 6000 DC-2-12Q", 12288, 8)}, 98304);
  EXPECT_THAT(types_of(fraction_choice(request(8192, 10), {gpu})), ElementsAre("1"));
  gpu.hides_types = true;
  EXPECT_EQ(reason_of(fraction_choice(request(8192, 10), {gpu}), "1"),
            "no share of the compute units is guaranteed: several may run on one GPU instance, "
            "and not all types are listed now");
}

TEST(FractionTest, before_blackwell_a_gpu_instance_has_one_vgpu) {
  for (const std::string model :
       {"GRID A100", "GRID A100DX", "NVIDIA A800", "NVIDIA H100", "NVIDIA H20", "NVIDIA A30"}) {
    FractionGpu gpu =
        card({vgpu("1", model + "-1-10C", 10240, 7), vgpu("2", model + "-1-20C", 20480, 4)}, 81920);
    gpu.hides_types = true;
    EXPECT_EQ(to_string(limits_of(gpu.types[0], gpu).compute), "hard") << model;
    EXPECT_THAT(types_of(fraction_choice(request(8192, 10), {gpu})), ElementsAre("1", "2"))
        << model;
  }
}

TEST(FractionTest, all_of_the_card_is_the_whole_gpu) {
  FractionGpu whole = whole_card("0000:05:00.0", 49152);
  EXPECT_THAT(types_of(fraction_choice(request(49152), {a40(), whole})),
              ElementsAre("whole 0000:05:00.0", "nvidia-566"));
  const FractionChoice choice = fraction_choice(request(128, 100), {a40(), whole});
  EXPECT_THAT(types_of(choice), ElementsAre("whole 0000:05:00.0", "nvidia-566"));
  EXPECT_EQ(choice.candidates[1].compute_percent, 100U) << "no other has memory beside it";
  EXPECT_EQ(settled(choice.candidates[0]), (SettledRequest{Use::whole, {}, "1002:74a1"}));
  EXPECT_EQ(settled(choice.candidates[1]), (SettledRequest{Use::mdev, "nvidia-566"}));
}

TEST(FractionTest, more_than_a_gpu_has_is_refused_with_what_the_largest_has) {
  const std::vector<FractionGpu> gpus{a40(), a100()};
  const FractionRequest wanted = request(65536);
  const Reason reason = fraction_refusal(wanted, gpus, fraction_choice(wanted, gpus));
  EXPECT_EQ(
      reason.problem,
      "65536 MiB is more than any GPU has that the request may use; the largest has 49152 MiB");
  EXPECT_EQ(reason.remedy, "request at most 49152MiB, or several GPUs");
}

TEST(FractionTest, the_most_is_valid_and_of_a_gpu_that_the_request_may_use) {
  FractionGpu closed = a40(), unknown = whole_card("0000:06:00.0", {});
  closed.types_refused = "not in gpu of the profile";
  closed.whole_refused = unknown.whole_refused = "not in gpu of the profile";
  const std::vector<FractionGpu> gpus{closed, unknown, whole_card("0000:05:00.0", 16368)};
  const FractionRequest wanted = request(32768);
  const auto remedy = [&] {
    return fraction_refusal(wanted, gpus, fraction_choice(wanted, gpus)).remedy;
  };
  EXPECT_EQ(remedy(), "request at most 16256MiB, or several GPUs");
}

TEST(FractionTest, what_is_not_known_serves_nothing) {
  FractionGpu gpu = card({GpuType{.id = "mtty-1", .name = "mtty-1"}}, {});
  EXPECT_EQ(reason_of(fraction_choice(request(128), {gpu}), "mtty-1"),
            "memory of the type is unknown");
  const FractionChoice choice = fraction_choice(request(128), {whole_card("0000:05:00.0", {})});
  EXPECT_THAT(choice.candidates, IsEmpty());
  EXPECT_EQ(choice.left_out[0].reason, "not whole: memory of the GPU is unknown");
}

/// vendor:device is all that is kept of the card, and a start may give another one.
TEST(FractionTest, a_whole_gpu_serves_only_if_all_of_its_model_do) {
  const auto choice = [](const std::optional<unsigned>& mib) {
    return fraction_choice(request(8192),
                           {whole_card("0000:05:00.0", 8192), whole_card("0000:06:00.0", mib)});
  };
  EXPECT_EQ(choice(8192).candidates.size(), 2U);
  EXPECT_THAT(choice(4096).candidates, IsEmpty());
  EXPECT_EQ(choice({}).left_out[0].reason,
            "not whole: memory of 0000:06:00.0, of the same model, is unknown");
}

TEST(FractionTest, of_a_model_only_the_gpu_that_does_not_answer_is_left_out) {
  std::vector<FractionGpu> gpus{whole_card("0000:05:00.0", 8192), whole_card("0000:06:00.0", {})};
  gpus[1].is_silent = gpus[1].types_unknown = true;
  const FractionChoice choice = fraction_choice(request(8192), gpus);
  ASSERT_EQ(choice.candidates.size(), 1U);
  EXPECT_EQ(choice.candidates[0].gpu, "0000:05:00.0");
  const FractionRequest more = request(16384);
  gpus[1].whole_refused = "[gpu] has use = mig";
  EXPECT_THAT(fraction_refusal(more, gpus, fraction_choice(more, gpus)).problem,
              testing::Not(HasSubstr("than any GPU has")));
}

TEST(FractionTest, graphics_get_no_type_for_compute_and_no_share) {
  FractionRequest wanted = request(3072);
  wanted.workload = Workload::graphics;
  FractionChoice choice = fraction_choice(wanted, {a40(), a100()});
  EXPECT_THAT(types_of(choice), ElementsAre("nvidia-560", "nvidia-561", "nvidia-566"));
  EXPECT_EQ(reason_of(choice, "nvidia-567"), "has no graphics");
  EXPECT_EQ(reason_of(choice, "nvidia-478"), "has no graphics");
  wanted.part.compute_percent = 100;
  choice = fraction_choice(wanted, {a40(), whole_card("0000:05:00.0", 16384)});
  EXPECT_THAT(types_of(choice), ElementsAre("whole 0000:05:00.0"));
  EXPECT_EQ(reason_of(choice, "nvidia-566"),
            "isolation memory+compute is not for workload = graphics");
}

TEST(FractionTest, graphics_on_mig_need_a_type_with_them) {
  EXPECT_EQ(vgpu("1", "NVIDIA RTX Pro 6000 DC-1-24QGFX", 24576, 4).has_graphics, true);
  EXPECT_EQ(vgpu("1", "NVIDIA RTX Pro 6000 DC-1-24Q", 24576, 4).has_graphics, false);
  EXPECT_EQ(vgpu("1", "NVIDIA A40-4Q", 4096, 12).has_graphics, true);
  EXPECT_EQ(vgpu("1", "NVIDIA A40-4C", 4096, 12).has_graphics, false);
}

TEST(FractionTest, a_profile_with_a_use_has_that_alone) {
  FractionRequest wanted = request(4096);
  wanted.use = Use::whole;
  const FractionChoice choice = fraction_choice(wanted, {a40(), whole_card("0000:05:00.0", 16384)});
  EXPECT_THAT(types_of(choice), ElementsAre("whole 0000:05:00.0"));
  EXPECT_EQ(reason_of(choice, "nvidia-560"), "the profile has use = whole");
}

TEST(FractionTest, a_gpu_has_one_isolation_and_twenty_fractions) {
  FractionGpu gpu = a40();
  gpu.scheduler = fixed_share(2);
  gpu.tenants = {Isolation::memory_and_compute};
  FractionChoice choice = fraction_choice(request(4096), {gpu});
  EXPECT_EQ(choice.candidates[0].available, 0U);
  EXPECT_EQ(choice.candidates[0].unavailable,
            "isolation of the GPU is memory+compute by the fractions on it");
  gpu.isolation = Isolation::memory_and_compute;
  choice = fraction_choice(request(4096), {gpu});
  EXPECT_THAT(choice.candidates, IsEmpty());
  EXPECT_THAT(reason_of(choice, "nvidia-560"), HasSubstr("memory+compute by [gpu]"));
  gpu.isolation = Isolation::memory;
  EXPECT_EQ(fraction_choice(request(4096), {gpu}).candidates[0].available, 0U)
      << "one of the other isolation is still there";
  gpu.tenants.assign(19, Isolation::memory);
  EXPECT_EQ(fraction_choice(request(4096), {gpu}).candidates[0].available, 1U);
  gpu.tenants.assign(20, Isolation::memory);
  choice = fraction_choice(request(4096), {gpu});
  EXPECT_EQ(choice.candidates[0].available, 0U);
  EXPECT_EQ(choice.candidates[0].unavailable, "20 fractions are on the GPU, the most there may be");
}

TEST(FractionTest, one_that_is_available_serves_before_a_better_one_that_is_not) {
  FractionGpu gpu = a40();
  limit(gpu.room, "nvidia-567", 0);
  limit(gpu.room, "nvidia-560", 0);
  const FractionChoice choice = fraction_choice(request(4096), {gpu});
  EXPECT_EQ(choice.candidates[0].type, "nvidia-567");
  EXPECT_EQ(best_fraction(choice)->type, "nvidia-561");
  for (const char* const id : {"nvidia-561", "nvidia-566"}) limit(gpu.room, id, 0);
  const FractionChoice full = fraction_choice(request(4096), {gpu});
  EXPECT_EQ(best_fraction(full)->type, "nvidia-567") << "it may be available at the start";
}

/// VFs of an Arc Pro B60, as xe has provisioned them.
FractionGpu b60(unsigned memory_mib, const std::optional<unsigned>& share = {}) {
  FractionGpu gpu{.name = "0000:53:00.0", .device = "8086:e211"};
  gpu.whole_refused = "[gpu] has use = vf";
  gpu.vfs = {{Use::vf,
              memory_mib,
              share,
              {Limit::Kind::averaged, 80},
              4,
              "all of them are in use",
              "the PF has no execution quantum"}};
  return gpu;
}

TEST(FractionTest, a_vf_has_the_memory_that_the_driver_gave_it) {
  const FractionChoice choice = fraction_choice(request(4096), {b60(6144)});
  ASSERT_EQ(choice.candidates.size(), 1u);
  const FractionCandidate& one = choice.candidates[0];
  EXPECT_EQ(settled(one), (SettledRequest{Use::vf, {}, "8086:e211"}));
  EXPECT_EQ(settled(one).granted, (Granted{6144, {}, {}}));
  EXPECT_EQ(one.unused_mib, 2048U);
  EXPECT_EQ(one.available, 4U);
  EXPECT_EQ(to_string(one.limits.memory), "hard");
  EXPECT_EQ(reason_of(fraction_choice(request(8192), {b60(6144)}), ""), "VFs: have 6144 MiB");
  FractionRequest of_types = request(4096);
  of_types.use = Use::mdev;
  EXPECT_EQ(reason_of(fraction_choice(of_types, {b60(6144)}), ""),
            "VFs: the profile has use = mdev");
}

TEST(FractionTest, a_vf_has_a_share_where_the_driver_guarantees_it) {
  const auto found = fraction_choice(request(4096, 20), {b60(6144, 25)}).candidates;
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].compute_percent, 25U);
  EXPECT_EQ(found[0].unused_percent, 5U);
  EXPECT_EQ(to_string(found[0].limits.compute), "averaged over 80 ms");
  EXPECT_EQ(reason_of(fraction_choice(request(4096, 30), {b60(6144, 25)}), ""),
            "VFs: are guaranteed 25 % of the compute units");
  EXPECT_EQ(reason_of(fraction_choice(request(4096, 5), {b60(6144)}), ""),
            "VFs: no share of the compute units is guaranteed: the PF has no execution "
            "quantum");
  FractionRequest graphics = request(4096, 20);
  graphics.workload = Workload::graphics;
  EXPECT_THAT(reason_of(fraction_choice(graphics, {b60(6144, 25)}), ""),
              HasSubstr("is not for workload = graphics"));
}

TEST(FractionTest, vfs_are_tenants_of_their_card_like_all_others) {
  FractionGpu gpu = b60(6144, 25);
  gpu.tenants = {Isolation::memory};
  EXPECT_EQ(fraction_choice(request(4096), {gpu}).candidates[0].available, 4U);
  EXPECT_EQ(fraction_choice(request(4096, 25), {gpu}).candidates[0].available, 0U);
  gpu.isolation = Isolation::memory_and_compute;
  EXPECT_THAT(reason_of(fraction_choice(request(4096), {gpu}), ""), HasSubstr("by [gpu]"));
  gpu = b60(6144);
  gpu.tenants.assign(18, Isolation::memory);
  EXPECT_EQ(fraction_choice(request(4096), {gpu}).candidates[0].available, 2U);
  gpu.vfs[0].count = 0;
  EXPECT_EQ(fraction_choice(request(4096), {gpu}).candidates[0].unavailable,
            "all of them are in use");
}

TEST(FractionTest, limits_of_each_driver) {
  const auto limits = [](const GpuType& type, const std::optional<VgpuScheduler>& scheduler = {}) {
    FractionGpu gpu = card({type}, {});
    gpu.scheduler = scheduler;
    const Limits found = limits_of(type, gpu);
    return to_string(found.memory) + ", " + to_string(found.compute);
  };
  const GpuType time_sliced = vgpu("1", "NVIDIA A40-4Q", 4096, 12);
  EXPECT_EQ(limits(time_sliced), "hard, none");
  EXPECT_EQ(limits(time_sliced, VgpuScheduler{}), "hard, none");
  EXPECT_EQ(limits(time_sliced, fixed_share(2)), "hard, averaged over 24 ms");
  EXPECT_EQ(limits(time_sliced, fixed_share(0)), "hard, none") << "its time slice is unknown";
  EXPECT_EQ(limits(time_sliced, VgpuScheduler{VgpuScheduler::Policy::equal_share, 2'083'333}),
            "hard, averaged over 25 ms")
      << "of 24.999996 ms no less";
  EXPECT_EQ(limits(vgpu("1", "GRID A100-1-5C", 5120, 7)), "hard, hard");
  GpuType gvt{.id = "i915-GVTg_V5_4",
              .description = "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nweight: 4"};
  add_size(gvt);
  EXPECT_EQ(limits(gvt), "hard, only under contention");
  EXPECT_EQ(gvt.has_graphics, true);
  GpuType mbochs{.id = "mbochs-small", .description = "virtual display, 4 MB video memory"};
  add_size(mbochs);
  EXPECT_EQ(limits(mbochs), "hard, none");
  EXPECT_EQ(limits({.id = "mtty-1"}), "none, none");
}

// ---- random hosts

using Random = std::mt19937;

unsigned any(Random& random, unsigned least, unsigned most) {
  return std::uniform_int_distribution<unsigned>(least, most)(random);
}

/// A card of 8 to 48 GiB: vGPUs of all sizes that divide it, slices of MIG, or whole.
FractionGpu random_gpu(Random& random, unsigned number) {
  const unsigned gib = 8 * any(random, 1, 6);
  const std::string name = "card" + std::to_string(number);
  std::vector<GpuType> types;
  const unsigned kind = any(random, 0, 2);
  for (unsigned parts = 1; kind == 0 && parts <= 24; ++parts)
    if (gib % parts == 0 && any(random, 0, 3) > 0)
      types.push_back(
          vgpu(name + "-" + std::to_string(parts),
               "NVIDIA X-" + std::to_string(gib / parts) + (any(random, 0, 1) ? "Q" : "C"),
               gib / parts * 1024, parts));
  for (const unsigned slices : {1U, 2U, 3U, 7U})
    if (kind == 1)
      types.push_back(vgpu(name + "-" + std::to_string(slices),
                           "NVIDIA X-" + std::to_string(slices) + "-4C", gib * slices / 8 * 1024,
                           7 / slices));
  FractionGpu gpu = card(types, any(random, 0, 9) ? std::optional(gib * 1024) : std::nullopt, name);
  if (kind == 2) gpu.device = "1002:" + std::to_string(1000 + number);
  if (any(random, 0, 1)) gpu.scheduler = fixed_share(any(random, 0, 2));
  if (any(random, 0, 3) == 0) gpu.scheduler = VgpuScheduler{};
  if (any(random, 0, 4) == 0) gpu.isolation = Isolation::memory;
  return gpu;
}

std::vector<FractionGpu> random_gpus(Random& random) {
  std::vector<FractionGpu> gpus;
  for (unsigned number = 0; number < any(random, 1, 4); ++number)
    gpus.push_back(random_gpu(random, number));
  return gpus;
}

FractionRequest random_request(Random& random) {
  FractionRequest wanted = request(128 * any(random, 1, 200));
  if (any(random, 0, 1)) wanted.part.compute_percent = 5 * any(random, 1, 20);
  if (any(random, 0, 3) == 0) wanted.workload = Workload::graphics;
  return wanted;
}

/// What a type gives, computed in another way than fraction.cpp does: the units of the card that
/// one has when the card is full of them.
unsigned true_share(const FractionGpu& gpu, const std::string& id) {
  if (id.empty()) return 100;
  for (const GpuType& type : gpu.types) {
    if (type.id != id) continue;
    if (type.of_mig) return 100 * type.takes[0] / 7;
    if (*type.most == 1) return 100;
    const bool is_fixed =
        gpu.scheduler && gpu.scheduler->policy == VgpuScheduler::Policy::fixed_share;
    return is_fixed ? 100 / *type.most : 0;
  }
  return 0;
}

const FractionGpu& gpu_of(const std::vector<FractionGpu>& gpus, const FractionCandidate& one) {
  return *std::find_if(gpus.begin(), gpus.end(),
                       [&](const FractionGpu& gpu) { return gpu.name == one.gpu; });
}

TEST(FractionPropertyTest, what_is_granted_is_never_less_than_what_is_requested) {
  Random random(5);
  unsigned granted = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto gpus = random_gpus(random);
    const FractionRequest wanted = random_request(random);
    for (const FractionCandidate& one : fraction_choice(wanted, gpus).candidates) {
      ++granted;
      EXPECT_GE(one.memory_mib, wanted.part.memory_mib);
      EXPECT_GE(true_share(gpu_of(gpus, one), one.type), wanted.part.compute_percent.value_or(0));
    }
  }
  EXPECT_GT(granted, 1000U);
}

/// Whether any type or GPU could serve it, by another way of looking than fraction.cpp has.
bool is_servable(const FractionRequest& wanted, const std::vector<FractionGpu>& gpus) {
  for (const FractionGpu& gpu : gpus) {
    if (!gpu.device.empty() && gpu.memory_mib.value_or(0) >= wanted.part.memory_mib) return true;
    if (gpu.isolation == Isolation::memory && wanted.part.compute_percent) continue;
    for (const GpuType& type : gpu.types) {
      const bool is_drawn_on = wanted.workload == Workload::graphics;
      const bool has_share =
          !wanted.part.compute_percent ||
          (true_share(gpu, type.id) >= *wanted.part.compute_percent && !is_drawn_on &&
           // That nothing else fits beside it shows in the card's memory alone.
           (type.of_mig || *type.most > 1 || gpu.memory_mib ||
            (gpu.scheduler && gpu.scheduler->policy == VgpuScheduler::Policy::fixed_share)));
      if (*type.memory_mib >= wanted.part.memory_mib && has_share &&
          (!is_drawn_on || type.name.ends_with("Q")))
        return true;
    }
  }
  return false;
}

TEST(FractionPropertyTest, it_is_refused_only_without_a_candidate) {
  Random random(6);
  unsigned refused = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto gpus = random_gpus(random);
    const FractionRequest wanted = random_request(random);
    const FractionChoice choice = fraction_choice(wanted, gpus);
    EXPECT_EQ(best_fraction(choice) != nullptr, is_servable(wanted, gpus)) << round;
    refused += choice.candidates.empty() ? 1 : 0;
    EXPECT_FALSE(fraction_refusal(wanted, gpus, choice).problem.empty());
  }
  EXPECT_GT(refused, 100U);
  EXPECT_LT(refused, 2900U);
}

/// What the domain then gets, as prepare does it.
void grant(const FractionRequest& wanted, const FractionCandidate& one,
           std::vector<FractionGpu>& gpus) {
  for (FractionGpu& gpu : gpus) {
    if (gpu.name != one.gpu) continue;
    if (one.use == Use::whole) {
      gpu.whole_in_use = "in use";
      return;
    }
    EXPECT_TRUE(take(gpu.room, one.type));
    gpu.tenants.push_back(isolation_of(wanted.part));
  }
}

TEST(FractionPropertyTest, granted_until_nothing_is_available_no_rule_is_broken) {
  Random random(7);
  unsigned most_tenants = 0;
  for (int round = 0; round < 1000; ++round) {
    auto gpus = random_gpus(random);
    for (int number = 0; number < 40; ++number) {
      const FractionRequest wanted = number % 2 ? random_request(random) : request(1024);
      const FractionChoice choice = fraction_choice(wanted, gpus);
      const FractionCandidate* const best = best_fraction(choice);
      if (best && best->available > 0) grant(wanted, *best, gpus);
    }
    for (const FractionGpu& gpu : gpus) {
      most_tenants = std::max(most_tenants, static_cast<unsigned>(gpu.tenants.size()));
      EXPECT_LE(gpu.tenants.size(), 20U);
      EXPECT_TRUE(std::all_of(gpu.tenants.begin(), gpu.tenants.end(), [&](Isolation tenant) {
        return tenant == gpu.isolation.value_or(gpu.tenants.front());
      }));
      unsigned mib = 0;
      for (const std::string& id : gpu.room.present)
        for (const GpuType& type : gpu.types)
          if (type.id == id && !type.of_mig) mib += *type.memory_mib;
      EXPECT_LE(mib, gpu.memory_mib.value_or(mib)) << "over capacity";
    }
  }
  EXPECT_EQ(most_tenants, 20U) << "the limit was reached";
}

}  // namespace
}  // namespace gpuward
