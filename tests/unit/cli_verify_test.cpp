// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/verify.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
            "  guest    run: nvidia-smi --query-gpu=name,memory.total --format=csv,noheader\n"
            "           expected: name NVIDIA A40-12Q; memory at most 12288 MiB (nominal; the "
            "guest's driver reserves a part, so that less is usable)\n");
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

/// A section may go by what only a look at the card tells.
TEST_F(VerifyTest, the_quota_of_a_vf_is_that_of_whichever_section_selects_its_card) {
  host_.sriov("0000:53:00.0", 1);
  host_.set_vfs("0000:53:00.0", 1);
  host_.pci_gpu("0000:53:00.0")
      .pci_id(0x8086, 0xe211)
      .attribute("serial_number", "1324")
      .attribute("sriov_admin/vf1/profile/exec_quantum_ms", "20");
  ClaimedDevice vf = whole_card("0000:53:00.1");
  vf.use = Use::vf;
  vf.parent = "0000:53:00.0";
  claim(vf);
  host_.config("[gpu serial=1324]\nuse = vf\nexec-quantum = 25\n");
  EXPECT_EQ(verify(), 1);
  EXPECT_THAT(printed_, HasSubstr("  differs  exec_quantum_ms: expected 25, found 20\n"));
  EXPECT_THAT(printed_, HasSubstr("  limit    execution quantum 25 ms\n"));
  host_.pci_gpu("0000:54:00.0").attribute("serial_number", "1324");
  verify();
  EXPECT_THAT(printed_, HasSubstr("  unknown  quota of the VF: "));
  EXPECT_THAT(printed_, Not(HasSubstr("the configuration has errors")));
  host_.config("[gpu *]\nuse = x\n");
  verify();
  EXPECT_THAT(printed_, HasSubstr("  unknown  quota of the VF: the configuration has errors"));
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
  const DeviceModel model{
      .vendor = 0x8086, .device = 0xe211, .driver = "xe", .type = {}, .vram_quota = 6442450944};
  EXPECT_EQ(guest_check(vf, model).expected,
            "Actual physical size 0x0000000180000000 (6144 MiB, all of it usable)");
  EXPECT_THAT(
      limits_of(vf, model, {20U, {}, 6144U}),
      testing::ElementsAre("memory 6442450944 bytes, by vram_quota", "execution quantum 20 ms"));
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
  const auto limits = [&] { return limits_of(device, model, {}); };
  const std::string memory = "memory 12288 MiB, by the type: hard";
  EXPECT_THAT(limits(), testing::ElementsAre(memory)) << "no type is listed";
  model.types = {model.type};
  EXPECT_THAT(limits(), testing::ElementsAre(memory, "compute units, by the type: hard"));
  model.types.push_back(type("2", "NVIDIA RTX Pro 6000-1-24Q", 24576));
  EXPECT_THAT(limits(), testing::ElementsAre(memory));
}

TEST(GuestCheckTest, without_a_known_command_the_size_alone_is_given) {
  const ClaimedDevice device{
      .alias = "a", .profile = "p", .instance = {}, .parent = "mbochs", .type = "mbochs-small"};
  DeviceModel model;
  EXPECT_EQ(guest_check(device, model).command, "");
  model.type.memory_mib = 4;
  EXPECT_EQ(guest_check(device, model).expected, "4 MiB of video memory");
}

}  // namespace
}  // namespace gpuward
