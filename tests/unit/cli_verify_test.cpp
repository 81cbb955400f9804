// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/verify.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "allocation/fraction.hpp"
#include "base/error.hpp"
#include "cli/commands.hpp"
#include "fake_host.hpp"
#include "inventory/gpu_types.hpp"
#include "nvml_fixtures.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

const Uuid web = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const Uuid instance = *parse_uuid("00000000-0000-4000-8000-000000000001");

class VerifyTest : public testing::Test {
 protected:
  VerifyTest() {
    host_.parent("0000:41:00.0")
        .pci_id(0x10de, 0x2235)
        .type("nvidia-563", 4)
        .attribute("mdev_supported_types/nvidia-563/name", "NVIDIA A40-12Q")
        .attribute("mdev_supported_types/nvidia-563/description",
                   "num_heads=4, framebuffer=12288M, max_instance=4");
    claim({.alias = "ua-gpuward-0",
           .profile = "large",
           .instance = instance,
           .parent = "0000:41:00.0",
           .type = "nvidia-563"});
  }
  void claim(const ClaimedDevice& device) {
    const Claims claims(host_.root());
    claims.make_ready();
    claims.write({web, "web01", {device}});
  }
  int verify(const std::string& domain = "web01", int schema = 0) {
    testing::internal::CaptureStdout();
    int status = -1;
    try {
      status = verify_command({host_.root(), "", schema, false}, domain);
    } catch (const Error& error) {
      refusal_ = error.what();
    }
    printed_ = testing::internal::GetCapturedStdout();
    return status;
  }
  FakeHost host_;
  std::string printed_, refusal_;
};

TEST_F(VerifyTest, a_domain_that_has_what_it_claims) {
  host_.instance("0000:41:00.0", "nvidia-563", instance);
  host_.opens(4711, "qemu-system-x86", instance);
  host_.file("/proc/4711/cmdline", "qemu" + std::string(1, '\0') + to_string(web));
  EXPECT_EQ(verify(), 0) << printed_;
  EXPECT_EQ(printed_,
            "domain 'web01'\n"
            "ua-gpuward-0: mdev 00000000-0000-4000-8000-000000000001 of type nvidia-563\n"
            "  ok       UUID: 00000000-0000-4000-8000-000000000001\n"
            "  ok       parent: 0000:41:00.0\n"
            "  ok       type: nvidia-563\n"
            "  ok       process: process 4711 (qemu-system-x86)\n"
            "  limit    memory 12288 MiB, by the type: hard\n"
            "  limit    compute units, by the type: none\n"
            "  guest    run: nvidia-smi --query-gpu=name,memory.total --format=csv,noheader\n"
            "           expected: name NVIDIA A40-12Q; memory at most 12288 MiB (nominal; the "
            "guest's driver reserves a part: how much is usable is not known)\n");
  EXPECT_EQ(verify(to_string(web)), 0);
}

TEST_F(VerifyTest, the_status_is_1_where_one_differs) {
  EXPECT_EQ(verify(), 1);
  EXPECT_THAT(printed_, HasSubstr("  differs  parent: expected 0000:41:00.0, found none\n"));
  EXPECT_EQ(verify("web01", 2), 1);
  const json object = json::parse(printed_);
  EXPECT_EQ(object["state"], "differs");
  EXPECT_EQ(object["domain"]["name"], "web01");
  const json& fact = object["devices"][0]["facts"][1];
  EXPECT_EQ(fact["fact"], "parent");
  EXPECT_EQ(fact["state"], "differs");
  EXPECT_EQ(fact["expected"], "0000:41:00.0");
  EXPECT_EQ(fact["found"], "none");
  EXPECT_TRUE(fact["reason"].is_null());
}

TEST_F(VerifyTest, the_share_that_was_promised_is_compared_with_the_scheduler) {
  const NvmlDouble nvml(host_.root());
  host_.instance("0000:41:00.0", "nvidia-563", instance);
  ClaimedDevice device{.alias = "ua-gpuward-0",
                       .profile = "nvidia-563",
                       .instance = instance,
                       .parent = "0000:41:00.0",
                       .type = "nvidia-563"};
  device.fraction = Isolation::memory_and_compute;
  device.compute_percent = 25;
  claim(device);
  host_.parent("0000:41:00.0")
      .type("nvidia-564", 2)
      .attribute("mdev_supported_types/nvidia-564/description",
                 "num_heads=4, framebuffer=24576M, max_instance=2");
  const std::string what = "share of the compute units: expected 25 %, ";
  nvml.set("mig off\nscheduler 3 1 2083333 0\n");
  verify();
  EXPECT_THAT(printed_, HasSubstr("  ok       share of the compute units: guaranteed\n"));
  nvml.set("mig off\nscheduler 1 1 2083333 0\n");
  EXPECT_EQ(verify(), 1);
  EXPECT_THAT(printed_, HasSubstr("  differs  " + what +
                                  "found no share of the compute units is "
                                  "guaranteed (scheduler: best effort)\n"));
  nvml.remove_library();
  verify();
  EXPECT_THAT(printed_, HasSubstr("  unknown  " + what +
                                  "no share of the compute units is "
                                  "guaranteed (scheduler: unknown)\n"));
}

TEST_F(VerifyTest, the_status_is_3_where_one_is_unknown) {
  host_.pci_gpu("0000:42:00.0").pci_id(0x10de, 0x2236).driver("vfio-pci");
  host_.iommu_group(7, {"0000:42:00.0"});
  host_.process(4711, "qemu-system-x86", {"/dev/vfio/7"});
  host_.file("/proc/4711/cmdline", "qemu" + std::string(1, '\0') + to_string(web));
  claim(whole_card("0000:42:00.0"));
  EXPECT_EQ(verify(), 3) << printed_;
  EXPECT_THAT(printed_, HasSubstr("  unknown  IOMMU group type: expected DMA, DMA-FQ, identity, "
                                  "blocked or unmanaged, not reported by the kernel\n"));
  EXPECT_THAT(printed_, HasSubstr("  guest    run: lspci -n -d 10de:2236\n"));
  EXPECT_THAT(printed_, HasSubstr("  limit    memory of the card: hard\n"
                                  "  limit    compute units of the card: hard\n"));
  host_.file("/sys/kernel/iommu_groups/7/type", "DMA-FQ\n");
  EXPECT_EQ(verify(), 0) << printed_;
}

/// A card with one VF, which web01 has; xe reports these times of it.
class VerifyVfTest : public VerifyTest {
 protected:
  VerifyVfTest() {
    host_.sriov(card_, 1);
    host_.set_vfs(card_, 1);
    host_.pci_gpu(card_).pci_id(0x8086, 0xe211).attribute("serial_number", "1324");
    times("vf1", "20");
    ClaimedDevice vf = whole_card("0000:53:00.1");
    vf.use = Use::vf;
    vf.parent = card_;
    claim(vf);
  }
  void times(const std::string& function, const std::string& quantum,
             const std::string& priority = "[low] normal high") {
    const std::string profile = "sriov_admin/" + function + "/profile/";
    host_.pci_gpu(card_).attribute(profile + "exec_quantum_ms", quantum);
    host_.pci_gpu(card_).attribute(profile + "sched_priority", priority);
  }
  void enabled_with(const std::string& settings) {
    host_.file("/run/gpuward/vfs/" + card_, settings + '\n');
  }
  std::string card_ = "0000:53:00.0";
};

/// What the VF was enabled with is in force while its domain runs, whatever the configuration has.
TEST_F(VerifyVfTest, the_quota_is_compared_with_what_was_set_and_not_with_the_configuration) {
  enabled_with("autoprobe=0 exec-quantum=20");
  host_.config("[gpu serial=1324]\nuse = vf\nexec-quantum = 25\nvf-memory = 2GiB\n");
  verify();
  EXPECT_THAT(printed_, HasSubstr("  ok       exec_quantum_ms: 20\n"));
  EXPECT_THAT(printed_, HasSubstr("  limit    compute units, by exec_quantum_ms 20: none ("));
  EXPECT_THAT(printed_, Not(HasSubstr("vram_quota: expected")));
  const std::string pending =
      "the configuration has vf-memory = 2048, exec-quantum = 25 for the VFs of 0000:53:00.0; it "
      "takes effect when no domain uses one of them and gpuward apply is run";
  EXPECT_THAT(printed_, HasSubstr("  pending  " + pending + "\n"));
  verify("web01", 2);
  const json device = json::parse(printed_)["devices"][0];
  EXPECT_EQ(device["exec_quantum_ms"], 20);
  EXPECT_TRUE(device["preempt_timeout_us"].is_null());
  EXPECT_EQ(device["pending"], pending);
  enabled_with("autoprobe=0 exec-quantum=25");
  EXPECT_EQ(verify(), 1) << "somebody else set it";
  EXPECT_THAT(printed_, HasSubstr("  differs  exec_quantum_ms: expected 25, found 20\n"));
}

TEST_F(VerifyVfTest, a_configuration_that_is_not_clear_changes_nothing_of_what_was_set) {
  enabled_with("autoprobe=0 exec-quantum=20");
  host_.config("[gpu serial=1324]\nuse = vf\nexec-quantum = 20\n");
  verify();
  EXPECT_THAT(printed_, Not(HasSubstr("pending")));
  host_.pci_gpu("0000:54:00.0").attribute("serial_number", "1324");
  verify();
  EXPECT_THAT(printed_, HasSubstr("  ok       exec_quantum_ms: 20\n"));
  const std::string unknown = "  pending  what the configuration has for the VFs is unknown: ";
  EXPECT_THAT(printed_, HasSubstr(unknown));
  EXPECT_THAT(printed_, Not(HasSubstr("has errors")));
  host_.config("[gpu *]\nuse = x\n");
  verify();
  EXPECT_THAT(printed_, HasSubstr(unknown + "gpuward.conf has errors; run: gpuward check\n"));
}

TEST_F(VerifyVfTest, what_vfs_have_that_are_being_changed_is_unknown) {
  enabled_with("changing");
  verify();
  EXPECT_THAT(printed_, HasSubstr("  unknown  quota of the VF: a change of the VFs of "
                                  "0000:53:00.0 failed; check: journalctl -k\n"));
  EXPECT_THAT(printed_, Not(HasSubstr("pending")));
}

TEST_F(VerifyVfTest, memory_and_compute_units_are_limited_as_the_driver_reports_it) {
  verify("web01", 2);
  const auto limits = [&] { return json::parse(printed_)["devices"][0]["limits"]; };
  EXPECT_EQ(limits(), (json{{"memory", "none"}, {"compute", "none"}}));
  host_.pci_gpu(card_).attribute("sriov_admin/vf1/profile/vram_quota", "2147483648");
  times("pf", "40");
  verify("web01", 2);
  EXPECT_EQ(limits(), (json{{"memory", "hard"}, {"compute", "only under contention"}}));
  EXPECT_EQ(json::parse(printed_)["devices"][0]["memory"], 2048);
  times("pf", "40", "low [normal] high");
  times("vf1", "20", "low [normal] high");
  verify();
  EXPECT_THAT(printed_,
              HasSubstr("  limit    memory 2048 MiB, by vram_quota: hard\n"
                        "  limit    compute units, by exec_quantum_ms 20: averaged over 60 ms\n"));
  times("pf", "0");
  verify();
  EXPECT_THAT(printed_, HasSubstr("none (exec_quantum_ms of the card is 0, which is no limit)\n"));
}

TEST_F(VerifyTest, the_iommu_group_is_that_of_the_claim) {
  host_.pci_gpu("0000:42:00.0").pci_id(0x10de, 0x2236).driver("vfio-pci");
  host_.iommu_group(7, {"0000:42:00.0"});
  ClaimedDevice card = whole_card("0000:42:00.0");
  card.iommu_group = 7;
  claim(card);
  verify();
  EXPECT_THAT(printed_, HasSubstr("  ok       IOMMU group: 7\n"));
  card.iommu_group = 8;
  claim(card);
  EXPECT_EQ(verify(), 1);
  EXPECT_THAT(printed_, HasSubstr("  differs  IOMMU group: expected 8, found 7\n"));
}

TEST_F(VerifyTest, a_domain_without_a_claim_is_refused) {
  EXPECT_EQ(verify("db02"), -1);
  EXPECT_EQ(refusal_,
            "domain 'db02': no GPU is claimed; only a running domain has a claim; run: gpuward "
            "list domains");
  ClaimedDevice quarantined = whole_card("0000:42:00.0");
  quarantined.state = ClaimedDevice::State::quarantined;
  claim(quarantined);
  EXPECT_EQ(verify(), -1);
  EXPECT_THAT(refusal_, HasSubstr("all GPUs of the claim are quarantined"));
}

TEST(GuestCheckTest, a_vf_of_xe_prints_what_it_was_given) {
  ClaimedDevice vf = whole_card("0000:04:00.1");
  vf.use = Use::vf;
  const DeviceModel model{.vendor = 0x8086,
                          .device = 0xe211,
                          .driver = "xe",
                          .type = {},
                          .profile = {.vram_quota = 6442450944}};
  EXPECT_EQ(guest_check(vf, model).expected,
            "Actual physical size 0x0000000180000000 (6144 MiB, all of it usable)");
  EXPECT_EQ(limits_of(vf, model).memory_mib, 6144U);
}

/// Several vGPUs may take turns on one GPU instance, which the other types of it tell.
TEST(GuestCheckTest, compute_units_of_mig_are_limited_where_nothing_shares_the_gpu_instance) {
  const auto type = [](const std::string& id, const std::string& name, unsigned mib) {
    GpuType found{.id = id,
                  .name = name,
                  .description = "framebuffer=" + std::to_string(mib) + "M, max_instance=4"};
    add_size(found);
    return found;
  };
  const ClaimedDevice device{
      .alias = "a", .profile = "p", .instance = {}, .parent = "card", .type = "1"};
  DeviceModel model{.type = type("1", "NVIDIA RTX Pro 6000-1-12Q", 12288)};
  ASSERT_TRUE(model.type.of_mig);
  const auto compute = [&] { return limits_of(device, model).limits.compute.kind; };
  EXPECT_EQ(compute(), Limit::Kind::none) << "no type is listed";
  EXPECT_EQ(limits_of(device, model).limits.memory.kind, Limit::Kind::hard);
  EXPECT_EQ(limits_of(device, model).memory_mib, 12288U);
  model.types = {model.type};
  EXPECT_EQ(compute(), Limit::Kind::hard);
  model.types.push_back(type("2", "NVIDIA RTX Pro 6000-1-24Q", 24576));
  EXPECT_EQ(compute(), Limit::Kind::none);
}

TEST(GuestCheckTest, a_whole_card_of_amdgpu_has_the_memory_that_it_had_on_the_host) {
  ClaimedDevice card = whole_card("0000:03:00.0");
  const DeviceModel model{.vendor = 0x1002, .device = 0x73bf, .type = {}};
  EXPECT_EQ(guest_check(card, model).command, "lspci -n -d 1002:73bf") << "it was not bound";
  card.memory_mib = 16368;
  EXPECT_EQ(guest_check(card, model).command,
            "cat /sys/bus/pci/drivers/amdgpu/*/mem_info_vram_total");
  EXPECT_EQ(guest_check(card, model).expected,
            "17163091968 (16368 MiB; how much of it is usable is not known), one line for each GPU "
            "of amdgpu");
}

TEST(GuestCheckTest, a_whole_card_of_nvidia_has_no_more_memory_than_its_driver_had_on_the_host) {
  ClaimedDevice card = whole_card("0000:03:00.0");
  card.memory_mib = 49152;
  const GuestCheck check = guest_check(card, {.vendor = 0x10de, .device = 0x2235, .type = {}});
  EXPECT_EQ(check.command, "nvidia-smi --query-gpu=memory.total --format=csv,noheader");
  EXPECT_THAT(check.expected, HasSubstr("at most 49152 MiB (nominal; how much is usable"));
}

TEST(GuestCheckTest, compute_units_are_hard_for_a_vgpu_with_all_memory_of_its_card) {
  const ClaimedDevice device{
      .alias = "a", .profile = "p", .instance = {}, .parent = "card", .type = "1"};
  DeviceModel model{.type = {.id = "1", .name = "NVIDIA A40-48Q"}};
  add_size(model.type);
  EXPECT_EQ(limits_of(device, model).limits, limits_of_whole());
  model.type = {.id = "1", .name = "NVIDIA A40-12Q"};
  add_size(model.type);
  EXPECT_EQ(limits_of(device, model).limits.compute, Limit{});
}

TEST(GuestCheckTest, usable_memory_of_a_vgpu_is_given_where_it_is_known) {
  const ClaimedDevice device{
      .alias = "a", .profile = "p", .instance = {}, .parent = "card", .type = "1"};
  DeviceModel model{.vendor = 0x10de,
                    .type = {.id = "1", .name = "GRID P40-2Q", .memory_mib = 2048}};
  EXPECT_THAT(guest_check(device, model).expected, HasSubstr("1856 MiB were usable"));
  model.type.memory_mib = 4096;
  EXPECT_THAT(guest_check(device, model).expected, HasSubstr("how much is usable is not known"));
}

TEST(GuestCheckTest, types_of_mbochs_and_gvt_have_the_size_that_the_guest_prints) {
  const ClaimedDevice device{
      .alias = "a", .profile = "p", .instance = {}, .parent = "mbochs", .type = "mbochs-small"};
  DeviceModel model{.type = {.id = "mbochs-small", .memory_mib = 4}};
  EXPECT_EQ(guest_check(device, model).command, "lspci -v -d 1234:1111");
  EXPECT_THAT(guest_check(device, model).expected, HasSubstr("[size=4M]"));
  model.vendor = 0x8086;
  model.type = {.id = "i915-GVTg_V5_4",
                .description = "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\n"};
  add_size(model.type);
  EXPECT_THAT(guest_check(device, model).expected,
              HasSubstr("size 131072KiB of mappable and 524288KiB of unmappable memory"));
}

TEST(GuestCheckTest, without_a_known_command_the_size_alone_is_given) {
  const ClaimedDevice device{
      .alias = "a", .profile = "p", .instance = {}, .parent = "mtty", .type = "mtty-1"};
  DeviceModel model;
  EXPECT_EQ(guest_check(device, model).command, "");
  model.type.memory_mib = 4;
  EXPECT_EQ(guest_check(device, model).expected, "4 MiB of video memory");
}

}  // namespace
}  // namespace gpuward
