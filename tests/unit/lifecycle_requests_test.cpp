// SPDX-License-Identifier: LGPL-2.1-or-later
// prepare_devices for requests that name no profile, and for several GPUs of one domain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "allocation/pool.hpp"
#include "allocation/request_verdict.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "lifecycle/check_running.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/release.hpp"
#include "nvml_fixtures.hpp"
#include "pci/pci_device.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Deadlines patient{milliseconds(60'000), milliseconds(60'000), milliseconds(100),
                            milliseconds(60'000)};

Domain domain_of(unsigned number) {
  Domain domain;
  domain.uuid.bytes[15] = static_cast<uint8_t>(number);
  domain.name = "vm" + std::to_string(number);
  return domain;
}

/// A host without a configuration file.
class RequestsTest : public testing::Test {
 protected:
  static Domain& add(Domain& domain, const std::string& profile,
                     const std::optional<SettledRequest>& settled,
                     const std::string& address = {}) {
    const std::string alias = "ua-gpuward-" + std::to_string(domain.requests.size());
    domain.requests.push_back({alias, profile, settled});
    Hostdev hostdev;
    hostdev.alias = alias;
    if (address.empty()) {
      hostdev.instance = instance_uuid(domain.uuid, alias);
    } else {
      hostdev.type = Hostdev::Type::pci;
      hostdev.address = at(address);
      hostdev.managed = !settled || settled->use != Use::vendor_vf;
    }
    domain.hostdevs.push_back(hostdev);
    return domain;
  }
  /// As the hook starts a domain.
  std::string refusal(const Domain& domain) {
    if (const Verdict verdict = request_verdict(config_, domain); !verdict)
      return to_string(verdict.reason);
    return error_of([&] { prepare_devices(host_.root(), config_, domain, patient); });
  }
  void end_domain(const Domain& domain) {
    if (const auto claim = claims_.find(domain.uuid))
      release_devices(host_.root(), claims_, *claim, patient);
  }
  /// "PROFILE DEVICE TYPE" of each device that the domain has claimed.
  std::vector<std::string> claimed(const Domain& domain) {
    std::vector<std::string> texts;
    const auto claim = claims_.find(domain.uuid);
    if (!claim) return texts;
    for (const ClaimedDevice& device : claim->devices)
      texts.push_back(device.profile + ' ' +
                      (device.use == Use::mdev ? device.parent : device_name(device)) + ' ' +
                      device.type);
    return texts;
  }
  void gpu_section(const std::string& selector, Use use) {
    GpuSection section;
    section.selector = *parse_gpu_selector(selector);
    section.use = use;
    config_.gpus.push_back(section);
  }
  FakeHost host_;
  Config config_;
  Claims claims_{host_.root()};
  Domain vm_ = domain_of(1);
  const SettledRequest whole_{Use::whole};
};

TEST_F(RequestsTest, a_whole_gpu_without_any_configuration) {
  host_.pci_gpu("0000:41:00.0").attribute("reset", "");
  host_.iommu_group(20, {"0000:41:00.0"});
  EXPECT_EQ(refusal(add(vm_, "whole", whole_, "0000:41:00.0")), "");
  EXPECT_THAT(claimed(vm_), ElementsAre("whole 0000:41:00.0 -"));
  end_domain(vm_);
  EXPECT_THAT(claimed(vm_), IsEmpty());
}

/// [quota] and allow are for profiles; the total is for all GPUs.
TEST_F(RequestsTest, without_a_profile_it_counts_in_the_total_alone) {
  host_.pci_gpu("0000:41:00.0").attribute("reset", "");
  host_.iommu_group(20, {"0000:41:00.0"});
  Profile card;
  card.name = "card";
  card.use = Use::whole;
  card.allowed = {*parse_domain_pattern("db-*")};
  config_.profiles = {card};
  config_.quotas = {{*parse_domain_pattern("vm*"), {{"card", 0}}, 0, {}, {"gpuward.conf", 3}}};
  add(vm_, "whole", whole_, "0000:41:00.0");
  EXPECT_EQ(refusal(vm_),
            "[quota vm*] (gpuward.conf:3): total = 0 would be exceeded: domain 'vm1' requests 1; "
            "raise the limit, or request fewer GPUs");
  config_.quotas[0].total = 1;
  EXPECT_EQ(refusal(vm_), "");
  Domain other = domain_of(2);
  EXPECT_THAT(refusal(add(other, "card", {}, "0000:42:00.0")),
              HasSubstr("profile 'card': allow = db-*"));
}

TEST_F(RequestsTest, a_whole_gpu_of_a_model) {
  host_.pci_gpu("0000:41:00.0").pci_id(0x10de, 0x13f2).attribute("reset", "");
  host_.pci_gpu("0000:42:00.0").pci_id(0x10de, 0x26b9).attribute("reset", "");
  host_.iommu_group(20, {"0000:41:00.0"});
  host_.iommu_group(21, {"0000:42:00.0"});
  const SettledRequest m60{Use::whole, {}, "10de:13f2"};
  EXPECT_EQ(refusal(add(vm_, "Tesla M60", m60, "0000:41:00.0")), "");
  EXPECT_THAT(claimed(vm_), ElementsAre("10de:13f2 0000:41:00.0 -"));
  Domain other = domain_of(2);
  EXPECT_THAT(refusal(add(other, "Tesla M60", m60, "0000:42:00.0")),
              HasSubstr("device does not match request '10de:13f2'"));
}

TEST_F(RequestsTest, a_type_of_mdev_without_any_configuration) {
  host_.parent("mtty").type("mtty-1", 2);
  EXPECT_EQ(refusal(add(vm_, "Single port serial", SettledRequest{Use::mdev, "mtty-1"})), "");
  EXPECT_THAT(claimed(vm_), ElementsAre("mtty-1 mtty mtty-1"));
  end_domain(vm_);
  EXPECT_THAT(host_.instances(), IsEmpty());
}

/// "-" says in a claim that the hostdev was written by hand. XML that has it is not parsed.
TEST_F(RequestsTest, no_claim_is_written_that_cannot_be_read) {
  host_.parent("mtty").type("mtty-1", 2);
  EXPECT_NE(refusal(add(vm_, "x", SettledRequest{Use::mdev, "-"})), "");
  EXPECT_THAT(claims_.all().unreadable, IsEmpty());
  EXPECT_THAT(claimed(vm_), IsEmpty());
}

/// libvirt takes any text after "ua-" as an alias (virDomainDeviceAliasIsUserAlias).
TEST_F(RequestsTest, a_companion_may_have_any_alias) {
  host_.pci_gpu("0000:41:00.0").attribute("reset", "");
  host_.pci_gpu("0000:41:00.1").attribute("class", "0x040300").attribute("reset", "");
  host_.iommu_group(20, {"0000:41:00.0", "0000:41:00.1"});
  add(vm_, "whole", whole_, "0000:41:00.0");
  Hostdev audio;
  audio.type = Hostdev::Type::pci;
  audio.alias = "ua-my audio";
  audio.address = at("0000:41:00.1");
  audio.managed = true;
  vm_.hostdevs.push_back(audio);
  EXPECT_EQ(refusal(vm_), "");
  EXPECT_THAT(claims_.all().unreadable, IsEmpty());
  EXPECT_THAT(claimed(vm_), testing::SizeIs(2));
}

TEST_F(RequestsTest, a_vgpu_without_any_configuration) {
  host_.sriov("0000:42:00.0", 4);
  host_.set_vfs("0000:42:00.0", 4);
  const std::string vf = "0000:42:00.1";
  const std::string current = pci_path(host_.root(), at(vf)) + "/nvidia/current_vgpu_type";
  host_.pci_gpu(vf)
      .attribute("nvidia/current_vgpu_type", "0")
      .attribute("nvidia/creatable_vgpu_types", "1145 : NVIDIA L40S-1B\n1146 : NVIDIA L40S-2B")
      .attribute("vfio-dev/vfio0/dev", "1:2");
  host_.reacts(vf, "nvidia/current_vgpu_type", [current](const std::string& value) {
    write_file_atomically(current, value + '\n');
    return 0;
  });
  EXPECT_EQ(refusal(add(vm_, "NVIDIA L40S-2B", SettledRequest{Use::vendor_vf, "1146"}, vf)), "");
  EXPECT_THAT(claimed(vm_), ElementsAre("1146 0000:42:00.1 1146"));
  EXPECT_EQ(read_file(current), "1146\n");
}

TEST_F(RequestsTest, use_off_for_all_gpus_closes_it) {
  host_.pci_gpu("0000:41:00.0").attribute("reset", "");
  host_.iommu_group(20, {"0000:41:00.0"});
  gpu_section("*", Use::off);
  EXPECT_THAT(refusal(add(vm_, "whole", whole_, "0000:41:00.0")),
              HasSubstr("neither request 'whole' nor the [gpu] section of the device allows it"));
}

TEST_F(RequestsTest, what_the_host_shows_itself_on_is_no_gpu_for_it) {
  host_.pci_gpu("0000:41:00.0").attribute("boot_vga", "1").attribute("reset", "");
  host_.pci_gpu("0000:42:00.0").pci_id(0x1a03, 0x2000).attribute("reset", "");
  host_.iommu_group(20, {"0000:41:00.0"});
  host_.iommu_group(21, {"0000:42:00.0"});
  EXPECT_THAT(refusal(add(vm_, "whole", whole_, "0000:41:00.0")), HasSubstr("boot display"));
  Domain other = domain_of(2);
  EXPECT_THAT(refusal(add(other, "whole", whole_, "0000:42:00.0")),
              HasSubstr("management controller"));
}

TEST_F(RequestsTest, a_gpu_that_a_program_of_the_host_uses_is_refused) {
  host_.pci_gpu("0000:41:00.0")
      .driver("nouveau")
      .attribute("reset", "")
      .attribute("drm/card1/dev", "226:1");
  host_.iommu_group(20, {"0000:41:00.0"});
  host_.process(812, "Xorg", {"/dev/dri/card1"});
  EXPECT_THAT(refusal(add(vm_, "whole", whole_, "0000:41:00.0")), HasSubstr("Xorg"));
  EXPECT_THAT(claimed(vm_), IsEmpty());
}

TEST_F(RequestsTest, a_type_that_another_kind_offers_now_is_refused_with_reassign) {
  host_.sriov("0000:42:00.0", 4);
  host_.set_vfs("0000:42:00.0", 4);
  host_.pci_gpu("0000:42:00.1")
      .attribute("nvidia/current_vgpu_type", "0")
      .attribute("nvidia/creatable_vgpu_types", "745 : NVIDIA A2-1Q");
  EXPECT_EQ(refusal(add(vm_, "NVIDIA A2-1Q", SettledRequest{Use::mdev, "nvidia-745"})),
            "GPU 0: no GPU allowed by request 'nvidia-745' supports type nvidia-745, GPUs of this "
            "host offer it now with use vendor-vf; run: gpuward reassign vm1");
  add(vm_, "gone", SettledRequest{Use::mdev, "gone"});
  vm_.requests.erase(vm_.requests.begin());
  vm_.hostdevs.erase(vm_.hostdevs.begin());
  EXPECT_THAT(refusal(vm_), HasSubstr("run: gpuward list types"));
}

/// No preemption: who starts on a full host is refused, and those that run keep what they have.
TEST_F(RequestsTest, no_device_is_taken_from_a_domain_for_another_one) {
  host_.parent("a").type("small", 1);
  host_.pci_gpu("0000:41:00.0").attribute("reset", "");
  host_.iommu_group(20, {"0000:41:00.0"});
  const SettledRequest small{Use::mdev, "small"};
  add(vm_, "small", small);
  EXPECT_EQ(refusal(add(vm_, "whole", whole_, "0000:41:00.0")), "");
  const auto instances = host_.instances();
  ASSERT_EQ(instances.size(), 1u);
  Domain second = domain_of(2);
  EXPECT_THAT(refusal(add(second, "small", small)), HasSubstr("in use by domains 'vm1'"));
  Domain third = domain_of(3);
  EXPECT_THAT(refusal(add(third, "whole", whole_, "0000:41:00.0")), HasSubstr("'vm1'"));
  EXPECT_EQ(host_.instances(), instances);
  EXPECT_THAT(claimed(vm_), ElementsAre("small a small", "whole 0000:41:00.0 -"));
  EXPECT_THAT(claimed(second), IsEmpty());
  EXPECT_THAT(claimed(third), IsEmpty());
}

// ---- fractions

class FractionTest : public RequestsTest {
 protected:
  FractionTest() {
    host_.parent("0000:41:00.0").type("nvidia-560", 40).type("nvidia-561", 40);
    size("nvidia-560", "4096M");
    size("nvidia-561", "6144M");
  }
  void size(const std::string& type, const std::string& framebuffer) {
    host_.parent("0000:41:00.0")
        .attribute("mdev_supported_types/" + type + "/description",
                   "num_heads=4, framebuffer=" + framebuffer + ", max_instance=40");
  }
  /// Of a domain with one GPU that requests so much.
  Domain requesting(unsigned number, const std::string& size,
                    const std::string& type = "nvidia-560") {
    Domain domain = domain_of(number);
    return add(domain, size, SettledRequest{Use::mdev, type});
  }
  ClaimedDevice device_of(const Domain& domain) { return claims_.find(domain.uuid)->devices[0]; }
};

TEST_F(FractionTest, the_claim_has_its_memory_and_isolation) {
  const Domain domain = requesting(1, "4GiB");
  EXPECT_EQ(refusal(domain), "");
  EXPECT_THAT(claimed(domain), ElementsAre("nvidia-560 0000:41:00.0 nvidia-560"));
  EXPECT_EQ(device_of(domain).memory_mib, 4096u);
  EXPECT_EQ(device_of(domain).fraction, Isolation::memory);
  const Domain by_type = requesting(2, "nvidia-560");
  EXPECT_EQ(refusal(by_type), "");
  EXPECT_FALSE(device_of(by_type).fraction);
}

TEST_F(FractionTest, twenty_on_a_gpu_and_any_number_by_type) {
  for (unsigned number = 1; number <= 20; ++number)
    EXPECT_EQ(refusal(requesting(number, "4GiB")), "");
  EXPECT_THAT(refusal(requesting(21, "4GiB")),
              HasSubstr("0000:41:00.0: 20 fractions are on the GPU, the most there may be"));
  EXPECT_EQ(refusal(requesting(22, "nvidia-560")), "");
  end_domain(domain_of(7));
  EXPECT_EQ(refusal(requesting(21, "4GiB")), "");
}

/// As labgpu and mbochs have one pool for all their types.
class PoolFractionTest : public RequestsTest {
 protected:
  /// What the driver of 1 GiB reports with so much of it left.
  void left(unsigned mib) {
    for (const unsigned size : {128U, 256U, 512U}) {
      const std::string type = "lab-" + std::to_string(size);
      host_.parent("0000:04:00.0")
          .type(type, mib / size)
          .attribute("mdev_supported_types/" + type + "/description",
                     "Lab GPU, " + std::to_string(size) + " MB video memory");
    }
  }
  Domain& requests(const std::string& size) {
    return add(vm_, size + "MiB", SettledRequest{Use::mdev, "lab-" + size});
  }
};

TEST_F(PoolFractionTest, the_refusal_says_how_much_memory_is_left) {
  left(0);
  EXPECT_EQ(refusal(requests("128")),
            "GPU 0: no available instance of lab-128 on 0000:04:00.0; 0000:04:00.0: 0 MiB of "
            "memory remain and one requires 128 MiB; shut one of the domains down");
  left(384);
  EXPECT_EQ(refusal(requests("512")),
            "GPU 1: no available instance of lab-512 on 0000:04:00.0; 0000:04:00.0: 256 MiB of "
            "memory remain and one requires 512 MiB; shut one of the domains down");
}

TEST_F(FractionTest, several_of_one_domain_count_too) {
  Domain domain = domain_of(1);
  for (int count = 0; count < 21; ++count)
    add(domain, "4GiB", SettledRequest{Use::mdev, "nvidia-560"});
  EXPECT_THAT(refusal(domain), HasSubstr("20 fractions are on the GPU"));
  EXPECT_THAT(host_.instances(), IsEmpty());
}

TEST_F(FractionTest, one_isolation_on_a_gpu) {
  EXPECT_EQ(refusal(requesting(1, "4GiB")), "");
  EXPECT_THAT(refusal(requesting(2, "4GiB/25%")),
              HasSubstr("isolation of the GPU is memory by the fractions on it"));
  end_domain(domain_of(1));
  gpu_section("0000:41:00.0", Use::mdev);
  config_.gpus[0].isolation = Isolation::memory_and_compute;
  EXPECT_THAT(refusal(requesting(1, "4GiB")), HasSubstr("memory+compute by [gpu]"));
}

/// The author of the XML may have written another type, and a driver may have changed it.
TEST_F(FractionTest, a_type_with_less_memory_is_refused_with_reassign) {
  EXPECT_EQ(refusal(requesting(1, "6GiB")),
            "GPU 0: request '6144MiB' (nvidia-560) has 4096 MiB of memory, requested are 6144 MiB; "
            "run: gpuward reassign vm1");
  size("nvidia-560", "?");
  EXPECT_THAT(refusal(requesting(1, "4GiB")), HasSubstr("has an unknown amount of memory"));
  EXPECT_THAT(host_.instances(), IsEmpty());
}

TEST_F(FractionTest, a_type_that_is_gone_is_refused_with_reassign) {
  EXPECT_EQ(refusal(requesting(1, "5GiB", "nvidia-9")),
            "GPU 0: no GPU allowed by request '5120MiB' (nvidia-9) supports type nvidia-9, GPUs of "
            "this host offer it now with use mdev; run: gpuward reassign vm1");
}

TEST_F(FractionTest, a_profile_of_memory_is_served_as_it_was_settled) {
  Profile quarter;
  quarter.name = "quarter";
  quarter.memory_mib = 6144;
  quarter.any_use = true;
  config_.profiles = {quarter};
  add(vm_, "quarter", SettledRequest{Use::mdev, "nvidia-561", {}, true});
  EXPECT_EQ(refusal(vm_), "");
  EXPECT_THAT(claimed(vm_), ElementsAre("quarter 0000:41:00.0 nvidia-561"));
  EXPECT_EQ(device_of(vm_).fraction, Isolation::memory);
  config_.profiles[0].memory_mib = 8192;
  Domain other = domain_of(2);
  EXPECT_THAT(refusal(add(other, "quarter", SettledRequest{Use::mdev, "nvidia-561", {}, true})),
              HasSubstr("requested are 8192 MiB; run: gpuward reassign vm2"));
}

TEST_F(FractionTest, a_quota_of_memory_counts_types_and_fractions) {
  config_.quotas = {{*parse_domain_pattern("vm*"), {}, {}, 10240, {"gpuward.conf", 3}}};
  EXPECT_EQ(refusal(requesting(1, "4GiB")), "");
  EXPECT_EQ(refusal(requesting(2, "nvidia-561", "nvidia-561")), "");
  EXPECT_EQ(refusal(requesting(3, "4GiB")),
            "[quota vm*] (gpuward.conf:3): memory = 10240MiB would be exceeded: domains 'vm1', "
            "'vm2' use 10240, domain 'vm3' requests 4096MiB; shut one of them down or raise the "
            "limit; for what is used run: gpuward quota vm3");
  EXPECT_EQ(host_.instances().size(), 2u);
  end_domain(domain_of(2));
  EXPECT_EQ(refusal(requesting(3, "4GiB")), "");
  size("nvidia-560", "?");
  end_domain(domain_of(3));
  EXPECT_THAT(refusal(requesting(4, "nvidia-560")), HasSubstr("has an unknown amount of memory"));
}

TEST_F(FractionTest, a_lost_claim_is_a_fraction_again) {
  const Domain domain = requesting(1, "4GiB");
  host_.instance("0000:41:00.0", "nvidia-560", instance_uuid(domain.uuid, "ua-gpuward-0"));
  check_running_domain(host_.root(), config_, domain, patient);
  EXPECT_EQ(device_of(domain).fraction, Isolation::memory);
}

class ShareTest : public FractionTest {
 protected:
  ShareTest() {
    host_.parent("0000:41:00.0")
        .attribute("mdev_supported_types/nvidia-560/description",
                   "num_heads=4, framebuffer=4096M, max_instance=4");
    nvml_.set(fixed_share_);
  }
  const std::string fixed_share_ = "mig off\nscheduler 3 1 2083333 0\n";
  NvmlDouble nvml_{host_.root()};
};

TEST_F(ShareTest, the_claim_has_what_was_promised) {
  const Domain domain = requesting(1, "4GiB/25%");
  EXPECT_EQ(refusal(domain), "");
  EXPECT_EQ(device_of(domain).compute_percent, 25u);
  EXPECT_EQ(device_of(domain).fraction, Isolation::memory_and_compute);
}

TEST_F(ShareTest, one_that_is_no_longer_guaranteed_is_refused_before_anything_is_created) {
  nvml_.set("mig off\nscheduler 1 1 2083333 0\n");
  EXPECT_EQ(refusal(requesting(1, "4GiB/25%")),
            "GPU 0: request '4096MiB/25%' (nvidia-560) was promised 25 % of the compute units: no "
            "share of the compute units is guaranteed (scheduler: best effort); run: gpuward "
            "reassign vm1");
  nvml_.set(fixed_share_);
  EXPECT_THAT(refusal(requesting(1, "4GiB/30%")),
              HasSubstr("30 % of the compute units: guarantees 25 % of the compute units"));
  EXPECT_THAT(host_.writes(), IsEmpty());
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

/// As metadata that was edited by hand may promise it.
TEST_F(ShareTest, one_of_a_type_that_no_scheduler_shares_is_refused) {
  host_.parent("0000:41:00.0")
      .attribute("mdev_supported_types/nvidia-560/description",
                 "low_gm_size: 64MB\nhigh_gm_size: 4096MB\nfence: 4\nweight: 2");  // as GVT-g has
  EXPECT_THAT(
      refusal(requesting(1, "4GiB/25%")),
      HasSubstr("was promised 25 % of the compute units: no share of the compute units is "
                "guaranteed: instances that run share by weight; run: gpuward reassign vm1"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

TEST_F(ShareTest, one_of_which_nothing_is_known_is_refused) {
  nvml_.set("mig off\nreturns Init_v2 9\n");
  EXPECT_THAT(refusal(requesting(1, "4GiB/25%")),
              HasSubstr("(scheduler: unknown, as NVIDIA's driver is not loaded); check: "
                        "nvidia-smi"));
  EXPECT_THAT(host_.instances(), IsEmpty());
}

TEST_F(ShareTest, nothing_is_asked_where_no_share_depends_on_it) {
  const std::string unasked = "mig off\nadds-before Init_v2 lacks-v3\n";
  nvml_.set(unasked);
  EXPECT_EQ(refusal(requesting(1, "4GiB")), "");
  end_domain(domain_of(1));
  host_.parent("0000:41:00.0")
      .attribute("mdev_supported_types/nvidia-561/description",
                 "num_heads=4, framebuffer=49152M, max_instance=1");
  EXPECT_EQ(refusal(requesting(1, "4GiB/50%", "nvidia-561")), "") << "it takes all memory";
  EXPECT_EQ(nvml_.state(), unasked);
}

/// Two VFs of one card that xe has provisioned.
class VfFractionTest : public RequestsTest {
 protected:
  VfFractionTest() {
    host_.pci_gpu("0000:53:00.0").pci_id(0x8086, 0xe211);
    host_.sriov("0000:53:00.0", 2);
    host_.set_vfs("0000:53:00.0", 2);
    set("pf", "exec_quantum_ms", "20");
    set("pf", "sched_priority", "low [normal] high");
    for (const char* const vf : {"vf1", "vf2"}) {
      set(vf, "exec_quantum_ms", "20");
      set(vf, "sched_priority", "low [normal]");
      set(vf, "vram_quota", "6442450944");
    }
  }
  void set(const std::string& of, const std::string& attribute, const std::string& value) {
    host_.pci_gpu("0000:53:00.0").attribute("sriov_admin/" + of + "/profile/" + attribute, value);
  }
  Domain requesting(unsigned number, const std::string& size) {
    Domain domain = domain_of(number);
    return add(domain, size, SettledRequest{Use::vf, {}, "8086:e211"},
               "0000:53:00." + std::to_string(number));
  }
};

TEST_F(VfFractionTest, the_claim_has_its_memory_and_share) {
  const Domain domain = requesting(1, "6GiB/30%");
  EXPECT_EQ(refusal(domain), "");
  const ClaimedDevice device = claims_.find(domain.uuid)->devices[0];
  EXPECT_EQ(device.use, Use::vf);
  EXPECT_EQ(device.memory_mib, 6144u);
  EXPECT_EQ(device.compute_percent, 30u);
  EXPECT_THAT(refusal(requesting(2, "4GiB")),
              HasSubstr("isolation of the GPU is memory+compute by the fractions on it; run: "
                        "gpuward reassign vm2"));
}

TEST_F(VfFractionTest, one_that_has_become_smaller_is_refused_with_reassign) {
  set("vf1", "vram_quota", "4294967296");
  EXPECT_THAT(refusal(requesting(1, "6GiB")),
              HasSubstr("device does not match request '6144MiB' (vf): VF has 4096 MiB; "
                        "run: gpuward reassign vm1"));
  set("vf1", "vram_quota", "0");
  EXPECT_THAT(refusal(requesting(1, "6GiB")), HasSubstr("memory of the VF is unknown"));
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

TEST_F(VfFractionTest, a_share_that_is_no_longer_guaranteed_is_refused) {
  set("pf", "exec_quantum_ms", "40");
  EXPECT_THAT(refusal(requesting(1, "6GiB/30%")),
              HasSubstr("VF is guaranteed 25 % of the compute units; run: gpuward reassign vm1"));
  set("vf2", "exec_quantum_ms", "0");
  EXPECT_THAT(refusal(requesting(1, "6GiB/5%")),
              HasSubstr("VF is guaranteed no share of the compute units"));
  EXPECT_EQ(refusal(requesting(1, "6GiB")), "") << "without a share it does not matter";
}

TEST_F(VfFractionTest, none_is_enabled_for_it) {
  gpu_section("0000:53:00.0", Use::vf);
  host_.set_vfs("0000:53:00.0", 0);
  EXPECT_THAT(refusal(requesting(1, "6GiB")), HasSubstr("device does not exist"));
  EXPECT_THAT(host_.writes(), IsEmpty());
}

class VgpuFractionTest : public RequestsTest {
 protected:
  VgpuFractionTest() {
    host_.sriov("0000:42:00.0", 4);
    host_.set_vfs("0000:42:00.0", 4);
    for (const std::string vf : {"0000:42:00.1", "0000:42:00.2"}) {
      const std::string current = pci_path(host_.root(), at(vf)) + "/nvidia/current_vgpu_type";
      host_.pci_gpu(vf)
          .attribute("nvidia/current_vgpu_type", "0")
          .attribute("nvidia/creatable_vgpu_types", "1145 : NVIDIA L40S-1B\n1146 : NVIDIA L40S-2B")
          .attribute("vfio-dev/vfio0/dev", "1:2");
      host_.reacts(vf, "nvidia/current_vgpu_type", [current](const std::string& value) {
        write_file_atomically(current, value + '\n');
        return 0;
      });
    }
  }
};

/// Its size is unknown then.
TEST_F(VgpuFractionTest, a_full_card_lists_no_types_and_is_said_to_be_full) {
  for (const std::string vf : {"0000:42:00.1", "0000:42:00.2"})
    host_.pci_gpu(vf).attribute("nvidia/creatable_vgpu_types", "");
  const SettledRequest settled{Use::vendor_vf, "1146"};
  EXPECT_THAT(refusal(add(vm_, "2GiB", settled, "0000:42:00.1")),
              HasSubstr("can be created on the VF (creatable: none)"));
}

TEST_F(VgpuFractionTest, a_type_that_is_smaller_by_now_is_refused_where_it_is_created) {
  for (const std::string vf : {"0000:42:00.1", "0000:42:00.2"})
    host_.pci_gpu(vf).attribute("nvidia/creatable_vgpu_types", "1146 : GPU of no known name");
  const SettledRequest settled{Use::vendor_vf, "1146"};
  EXPECT_THAT(refusal(add(vm_, "2GiB", settled, "0000:42:00.1")),
              HasSubstr("type GPU of no known name has an unknown amount of memory, requested are "
                        "2048 MiB; run: gpuward reassign vm1"));
  EXPECT_FALSE(claims_.find(vm_.uuid));
}

TEST_F(VgpuFractionTest, the_claim_has_its_memory_and_isolation) {
  const SettledRequest settled{Use::vendor_vf, "1146"};
  EXPECT_EQ(refusal(add(vm_, "2GiB", settled, "0000:42:00.1")), "");
  EXPECT_THAT(claimed(vm_), ElementsAre("1146 0000:42:00.1 1146"));
  const ClaimedDevice device = claims_.find(vm_.uuid)->devices[0];
  EXPECT_EQ(device.memory_mib, 2048u);
  EXPECT_EQ(device.fraction, Isolation::memory);
  Domain other = domain_of(2);
  EXPECT_THAT(refusal(add(other, "2GiB/25%", settled, "0000:42:00.2")),
              HasSubstr("0000:42:00.0: isolation of the GPU is memory by the fractions on it; run: "
                        "gpuward reassign vm2"));
  const auto is_full = [&](const std::optional<unsigned>& percent) {
    Profile profile;
    profile.is_configured = false;
    profile.use = Use::vendor_vf;
    profile.types = {"1146"};
    profile.memory_mib = 2048;
    profile.compute_percent = percent;
    std::string why;
    return find_in_pool(host_.root(), config_, profile, at("0000:42:00.2"), why)->is_full;
  };
  EXPECT_FALSE(is_full({}));
  EXPECT_TRUE(is_full(25)) << "so reassign and the guard choose a VF of another card";
  Domain third = domain_of(3);
  EXPECT_THAT(refusal(add(third, "4GiB", settled, "0000:42:00.2")),
              HasSubstr("has 2048 MiB of memory, requested are 4096 MiB"));
}

// ---- several GPUs

Profile mdev_profile(const std::string& name, const std::string& type) {
  Profile profile;
  profile.name = name;
  profile.types = {type};
  return profile;
}

class SeveralTest : public RequestsTest {
 protected:
  SeveralTest() {
    host_.parent("a").type("small", 1);
    host_.parent("b").type("port", 1);
    host_.pci_gpu("0000:41:00.0").attribute("reset", "");
    host_.iommu_group(20, {"0000:41:00.0"});
    config_.profiles = {mdev_profile("small", "small")};
  }
  /// The three GPUs of the host, in one of their six orders.
  static Domain all_of_the_host(unsigned number) {
    Domain domain = domain_of(number);
    std::vector<int> order{0, 1, 2};
    for (unsigned step = number % 6; step > 0; --step)
      std::next_permutation(order.begin(), order.end());
    for (const int gpu : order)
      if (gpu == 0)
        add(domain, "small", {});
      else if (gpu == 1)
        add(domain, "port", SettledRequest{Use::mdev, "port"});
      else
        add(domain, "whole", SettledRequest{Use::whole}, "0000:41:00.0");
    return domain;
  }
};

TEST_F(SeveralTest, kinds_are_mixed_in_one_domain) {
  const Domain domain = all_of_the_host(1);
  EXPECT_EQ(refusal(domain), "");
  EXPECT_THAT(claimed(domain), testing::UnorderedElementsAre("small a small", "port b port",
                                                             "whole 0000:41:00.0 -"));
}

TEST_F(SeveralTest, none_where_one_is_missing) {
  host_.parent("b").type("port", 0);
  const Domain domain = all_of_the_host(1);
  EXPECT_THAT(refusal(domain), HasSubstr("no available instance of port on b"));
  EXPECT_THAT(host_.instances(), IsEmpty());
  EXPECT_THAT(claimed(domain), IsEmpty());
}

TEST_F(SeveralTest, the_refusal_says_how_many_are_available) {
  host_.parent("a").type("small", 2);
  for (int i = 0; i < 3; ++i) add(vm_, "small", {});
  EXPECT_EQ(refusal(vm_),
            "GPU 2: no available instance of small on a; 2 of 3 requested are available; shut one "
            "down or add GPUs to [profile small]");
  EXPECT_THAT(host_.instances(), IsEmpty());
}

/// Each order of the same set at once: locks are taken in one order whatever the domain's is, so
/// nobody waits for what another keeps, and the one that is first gets all.
TEST_F(SeveralTest, the_same_set_in_another_order_never_deadlocks) {
  for (int round = 0; round < 5; ++round) {
    const auto statuses = in_processes(12, [&](int number) {
      return refusal(all_of_the_host(static_cast<unsigned>(number) + 1)).empty() ? 0 : 1;
    });
    EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 0), 1);
    EXPECT_EQ(std::count(statuses.begin(), statuses.end(), 1), 11);
    unsigned having = 0;
    for (unsigned number = 1; number <= 12; ++number) {
      const Domain domain = domain_of(number);
      const auto devices = claimed(domain);
      EXPECT_TRUE(devices.empty() || devices.size() == 3) << devices.size();
      having += !devices.empty();
      end_domain(domain);
    }
    EXPECT_EQ(having, 1u);
    EXPECT_THAT(host_.instances(), IsEmpty());
  }
}

// ---- a claim that was lost

TEST_F(RequestsTest, a_lost_claim_is_written_again_in_words) {
  host_.pci_gpu("0000:41:00.0").attribute("reset", "");
  host_.parent("mtty").type("mtty-1", 2);
  add(vm_, "Tesla M60", SettledRequest{Use::whole, {}, "10de:13f2"}, "0000:41:00.0");
  add(vm_, "Single port serial", SettledRequest{Use::mdev, "mtty-1"});
  host_.instance("mtty", "mtty-1", instance_uuid(vm_.uuid, "ua-gpuward-1"));
  EXPECT_EQ(check_running_domain(host_.root(), config_, vm_, patient),
            "claim file was missing and has been re-created");
  EXPECT_THAT(claimed(vm_), ElementsAre("10de:13f2 0000:41:00.0 -", "mtty-1 mtty mtty-1"));
}

}  // namespace
}  // namespace gpuward
