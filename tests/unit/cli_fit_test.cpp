// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "cli/commands.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "nvml_fixtures.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class FitTest : public testing::Test {
 protected:
  FitTest() {
    add_type("nvidia-560", "NVIDIA A40-4Q", "4096M", 12);
    add_type("nvidia-566", "NVIDIA A40-48Q", "49152M", 1);
    add_type("nvidia-567", "NVIDIA A40-4C", "4096M", 12);
  }
  void add_type(const std::string& type, const std::string& name, const std::string& size,
                unsigned most) {
    host_.parent("0000:41:00.0")
        .type(type, most)
        .attribute("mdev_supported_types/" + type + "/name", name)
        .attribute("mdev_supported_types/" + type + "/description",
                   "num_heads=4, framebuffer=" + size + ", max_instance=" + std::to_string(most));
  }
  std::string fit(const FractionWords& words, int schema = 0) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    status_ = fit_command({host_.root(), "", schema, false}, words);
    error_ = testing::internal::GetCapturedStderr();
    return testing::internal::GetCapturedStdout();
  }
  std::string refusal(const FractionWords& words) {
    return error_of([&] { fit_command({host_.root(), "", 0, false}, words); });
  }
  /// A domain that has a fraction of the GPU.
  void claim(const std::optional<Isolation>& fraction, unsigned count) {
    Claims claims(host_.root());
    claims.make_ready();
    Claim claim{*parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0"), "web01", {}};
    for (unsigned number = 0; number < count; ++number) {
      claim.devices.push_back({.alias = "ua-gpuward-" + std::to_string(number),
                               .profile = "nvidia-560",
                               .instance = {},
                               .parent = "0000:41:00.0",
                               .type = "nvidia-560"});
      claim.devices.back().instance.bytes[15] = static_cast<uint8_t>(number + 1);
      claim.devices.back().fraction = fraction;
    }
    claims.write(claim);
  }
  FakeHost host_;
  int status_ = 0;
  std::string error_;
};

TEST_F(FitTest, lists_what_serves_the_request_and_why_the_rest_does_not) {
  const std::string text = fit({"4GiB", "", "graphics"});
  EXPECT_EQ(status_, 0);
  EXPECT_THAT(text,
              HasSubstr("0000:41:00.0  mdev  nvidia-560  NVIDIA A40-4Q   4 GiB   hard         "
                        " -        none           0 MiB      12         -\n"));
  EXPECT_LT(text.find("nvidia-560"), text.find("nvidia-566"));
  EXPECT_THAT(text, HasSubstr("0000:41:00.0  nvidia-567  NVIDIA A40-4C  has no graphics\n"));
  EXPECT_THAT(text, HasSubstr("not whole: supports mediated devices"));
}

TEST_F(FitTest, json_has_the_limits_apart) {
  const json found = json::parse(fit({"4096MiB/25%", "", ""}, 2));
  EXPECT_EQ(found["memory"], 4096);
  EXPECT_EQ(found["compute"], 25);
  ASSERT_EQ(found["candidates"].size(), 1u) << "the one that takes the whole card";
  const json& one = found["candidates"][0];
  EXPECT_EQ(one["type"], "nvidia-566");
  EXPECT_EQ(one["compute"], 100);
  EXPECT_EQ(one["waste"], (json{{"memory", 45056}, {"compute", 75}}));
  EXPECT_EQ(one["limits"], (json{{"memory", "hard"}, {"compute", "hard"}}));
  EXPECT_EQ(one["available"], 1);
  EXPECT_EQ(one["reason"], nullptr);
  EXPECT_EQ(found["left_out"].size(), 3u);
}

TEST_F(FitTest, the_scheduler_decides_whether_a_share_is_guaranteed) {
  const NvmlDouble nvml(host_.root());
  nvml.set("mig off\nscheduler 3 1 2083333 0\n");
  const json found = json::parse(fit({"4GiB", "5%", ""}, 2));
  ASSERT_EQ(found["candidates"].size(), 3u);
  EXPECT_EQ(found["candidates"][0]["type"], "nvidia-567");
  EXPECT_EQ(found["candidates"][0]["compute"], 8);
  EXPECT_EQ(found["candidates"][0]["limits"]["compute"], "averaged over 25 ms");
  nvml.set("mig off\nscheduler 2 1 2083333 0\n");
  EXPECT_THAT(fit({"4GiB", "5%", ""}),
              HasSubstr("no share of the compute units is guaranteed (scheduler: equal share)"));
  nvml.set("mig off\nreturns Init_v2 9\n");
  EXPECT_THAT(fit({"4GiB", "5%", ""}),
              HasSubstr("(scheduler: unknown, as NVIDIA's driver is not loaded)"));
}

TEST_F(FitTest, the_scheduler_is_asked_for_where_a_share_may_depend_on_it) {
  const NvmlDouble nvml(host_.root());
  const std::string unasked = "mig off\nadds-before Init_v2 lacks-v3\n";
  nvml.set(unasked);
  fit({"4GiB", "", ""});
  EXPECT_EQ(nvml.state(), unasked) << "no share is requested";
  host_.file("/etc/gpuward/gpuward.conf", "[gpu *]\nuse = off\n");
  fit({"4GiB", "5%", ""});
  EXPECT_EQ(nvml.state(), unasked) << "no domain gets any of it";
  host_.file("/etc/gpuward/gpuward.conf", "");
  fit({"4GiB", "5%", ""});
  EXPECT_NE(nvml.state(), unasked);
}

/// Of a card whose two VFs xe has provisioned.
class VfFitTest : public FitTest {
 protected:
  VfFitTest() {
    host_.pci_gpu("0000:53:00.0").pci_id(0x8086, 0xe211);
    host_.sriov("0000:53:00.0", 4);
    host_.set_vfs("0000:53:00.0", 2);
    set("pf", "exec_quantum_ms", "60");
    set("pf", "sched_priority", "low [normal] high");
    for (const char* const vf : {"vf1", "vf2"}) {
      set(vf, "exec_quantum_ms", "20");
      set(vf, "sched_priority", "[low] normal");
      set(vf, "vram_quota", "6442450944");
    }
  }
  void set(const std::string& of, const std::string& attribute, const std::string& value) {
    host_.pci_gpu("0000:53:00.0").attribute("sriov_admin/" + of + "/profile/" + attribute, value);
  }
  json candidate(const FractionWords& words) {
    const json found = json::parse(fit(words, 2));
    for (const json& one : found["candidates"])
      if (one["use"] == "vf") return one;
    return nullptr;
  }
};

TEST_F(VfFitTest, a_vf_serves_what_its_driver_gave_it) {
  const json one = candidate({"5GiB", "20%", ""});
  EXPECT_EQ(one["gpu"], "0000:53:00.0");
  EXPECT_EQ(one["type"], nullptr);
  EXPECT_EQ(one["memory"], 6144);
  EXPECT_EQ(one["compute"], 20);
  EXPECT_EQ(one["waste"], (json{{"memory", 1024}, {"compute", 0}}));
  EXPECT_EQ(one["limits"], (json{{"memory", "hard"}, {"compute", "only under contention"}}));
  EXPECT_EQ(one["available"], 2);
  EXPECT_EQ(candidate({"5GiB", "25%", ""}), nullptr);
  set("vf1", "sched_priority", "low [normal]");
  set("vf2", "sched_priority", "low [normal]");
  EXPECT_EQ(candidate({"5GiB", "", ""})["limits"]["compute"], "averaged over 100 ms");
  set("vf2", "vram_quota", "4294967296");
  EXPECT_EQ(candidate({"5GiB", "", ""})["available"], 1) << "the other one is smaller";
}

TEST_F(VfFitTest, one_that_a_domain_has_is_not_available) {
  Claims claims(host_.root());
  claims.make_ready();
  Claim claim{*parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0"), "web01", {}};
  claim.devices.push_back({.alias = "ua-gpuward-0",
                           .profile = "8086:e211",
                           .instance = {},
                           .parent = "0000:53:00.0",
                           .type = "-",
                           .use = Use::vf,
                           .address = *parse_pci_address("0000:53:00.1")});
  claims.write(claim);
  EXPECT_EQ(candidate({"6GiB", "", ""})["available"], 1);
  claim.devices[0].fraction = Isolation::memory_and_compute;
  claims.write(claim);
  EXPECT_EQ(candidate({"6GiB", "", ""})["available"], 0) << "one isolation on a GPU";
}

TEST_F(VfFitTest, where_the_driver_does_not_report_it_none_serves) {
  set("vf1", "vram_quota", "");
  set("vf2", "vram_quota", "");
  EXPECT_THAT(fit({"4GiB", "", ""}),
              HasSubstr("VFs: the driver does not report their memory; request one by a "
                        "profile with use = vf without memory"));
  host_.set_vfs("0000:53:00.0", 0);
  EXPECT_THAT(fit({"4GiB", "", ""}), HasSubstr("VFs: none is enabled, so their memory is unknown"));
  host_.set_vfs("0000:53:00.0", 2);
  host_.file("/etc/gpuward/gpuward.conf", "[gpu 8086:e211]\nuse = whole\n");
  EXPECT_THAT(fit({"4GiB", "", ""}), HasSubstr("VFs: [gpu] has use = whole"));
}

TEST_F(FitTest, what_nothing_serves_has_status_1) {
  EXPECT_THAT(fit({"64GiB", "", ""}), HasSubstr("nvidia-566"));
  EXPECT_EQ(status_, 1);
  EXPECT_THAT(
      error_,
      HasSubstr("more than any GPU has that the request may use; the largest has 49152 MiB"));
  EXPECT_EQ(json::parse(fit({"64GiB", "", ""}, 2))["candidates"], json::array());
}

TEST_F(FitTest, fractions_are_counted_from_claims) {
  claim(Isolation::memory_and_compute, 1);
  EXPECT_THAT(fit({"4GiB", "", ""}),
              HasSubstr("isolation of the GPU is memory+compute by the fractions on it"));
  claim({}, 1);
  EXPECT_THAT(fit({"4GiB", "", ""}), testing::Not(HasSubstr("by the fractions")));
  claim(Isolation::memory, 20);
  EXPECT_THAT(fit({"4GiB", "", ""}), HasSubstr("20 fractions are on the GPU"));
}

/// amdgpu has let go of the card, and says nothing of its memory.
TEST_F(FitTest, a_card_that_a_domain_has_keeps_its_memory) {
  for (const char* const address : {"0000:05:00.0", "0000:06:00.0"})
    host_.pci_gpu(address).attribute("vendor", "0x1002").attribute("device", "0x74a1");
  host_.pci_gpu("0000:05:00.0").attribute("mem_info_vram_total", "17163091968");
  const auto candidates = [&] { return json::parse(fit({"15GiB", "", ""}, 2))["candidates"]; };
  ASSERT_EQ(candidates().size(), 1u) << "the A40 alone";
  Claims claims(host_.root());
  claims.make_ready();
  Claim claim{*parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0"), "web01", {}};
  claim.devices.push_back({.alias = "ua-gpuward-0",
                           .profile = "whole",
                           .instance = {},
                           .parent = "0000:06:00.0",
                           .type = "-",
                           .use = Use::whole,
                           .address = *parse_pci_address("0000:06:00.0"),
                           .memory_mib = 16368});
  claims.write(claim);
  const json found = candidates();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0]["gpu"], "0000:05:00.0");
  EXPECT_EQ(found[0]["available"], 1);
  EXPECT_EQ(found[1]["gpu"], "0000:06:00.0");
  EXPECT_EQ(found[1]["available"], 0);
}

TEST_F(FitTest, the_gpu_section_decides_too) {
  host_.config("[gpu *]\nisolation = memory+compute\n");
  EXPECT_THAT(fit({"4GiB", "", ""}),
              HasSubstr("isolation of the GPU is memory+compute by [gpu], the request needs "
                        "memory"));
  host_.config("[gpu *]\nuse = off\n");
  EXPECT_THAT(fit({"4GiB", "", ""}), HasSubstr("[gpu] has use = off"));
  EXPECT_EQ(status_, 1);
  host_.config("[gpu 0000:41:00.0]\nmax = nvidia-560:3\n");
  EXPECT_EQ(json::parse(fit({"4GiB", "", "graphics"}, 2))["candidates"][0]["available"], 3);
}

TEST_F(FitTest, words_outside_the_rules_are_refused) {
  EXPECT_EQ(refusal({"25%", "", ""}),
            "SIZE '25%': compute units are requested with memory only; run: gpuward fit 4096MiB "
            "25%");
  EXPECT_THAT(refusal({"4096", "", ""}), HasSubstr("expected a number and MiB or GiB"));
  EXPECT_EQ(refusal({"4GiB", "quarter", ""}),
            "SHARE 'quarter': expected a multiple of 5% from 5% to 100%; run: gpuward fit 4096MiB");
  EXPECT_THAT(refusal({"4GiB/25%", "25%", ""}), HasSubstr("has a share of its own"));
  EXPECT_THAT(refusal({"4000MiB", "", ""}), HasSubstr("such as 3968MiB or 4096MiB"));
}

TEST_F(FitTest, words_outside_the_rules_have_a_command_with_valid_ones) {
  const auto command = [&](const FractionWords& words) {
    const std::string text = refusal(words);
    const size_t at = text.rfind("; run: ");
    return at == std::string::npos ? text : text.substr(at + 7);
  };
  EXPECT_EQ(command({"5GB", "", ""}), "gpuward fit 5120MiB");
  EXPECT_EQ(command({"5g", "25%", ""}), "gpuward fit 5120MiB 25%");
  EXPECT_EQ(command({"600M", "", ""}), "gpuward fit 640MiB");
  EXPECT_EQ(command({"4096", "", ""}), "gpuward fit 4096MiB");
  EXPECT_EQ(command({"half", "", ""}), "gpuward fit 4096MiB");
  EXPECT_EQ(command({"99999999999999999999GB", "", ""}), "gpuward fit 4096MiB");
  EXPECT_EQ(command({"4000MiB", "7%", ""}), "gpuward fit 4096MiB 10%");
  EXPECT_EQ(command({"1MiB", "500%", ""}), "gpuward fit 128MiB 100%");
  EXPECT_EQ(command({"4GiB/25%", "25%", ""}), "gpuward fit 4096MiB 25%");
  EXPECT_EQ(command({"0%", "", ""}), "gpuward fit 4096MiB 5%");
}

TEST_F(FitTest, list_profiles_has_what_serves_a_profile_of_memory) {
  host_.config(
      "[profile quarter]\nmemory = 4GiB\nworkload = graphics\n[profile large]\n"
      "memory = 64GiB\n");
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 2, false}, "profiles");
  const json profiles = json::parse(testing::internal::GetCapturedStdout())["profiles"];
  EXPECT_EQ(profiles[0]["use"], "mdev");
  EXPECT_EQ(profiles[0]["types"], json::array({"nvidia-560"}));
  EXPECT_EQ(profiles[0]["available"], 12);
  EXPECT_EQ(profiles[0]["limits"]["memory"], "hard");
  EXPECT_EQ(profiles[1]["use"], nullptr);
  EXPECT_EQ(profiles[1]["available"], 0);
  EXPECT_EQ(profiles[1]["limits"], nullptr);
}

/// Of several cards what holds for each VF that a domain may be assigned.
TEST_F(FitTest, list_profiles_has_the_limits_of_vfs_as_their_driver_reports_them) {
  const auto limits = [&] {
    testing::internal::CaptureStdout();
    list_command({host_.root(), "", 2, false}, "profiles");
    return json::parse(testing::internal::GetCapturedStdout())["profiles"][0]["limits"];
  };
  host_.config("[gpu 0000:5*]\nuse = vf\n[profile part]\nuse = vf\n");
  for (const std::string card : {"0000:53:00.0", "0000:54:00.0"}) host_.sriov(card, 1);
  EXPECT_EQ(limits(), nullptr) << "no VF is enabled";
  host_.set_vfs("0000:53:00.0", 1);
  host_.pci_gpu("0000:53:00.0").attribute("sriov_admin/vf1/profile/vram_quota", "2147483648");
  for (const std::string function : {"pf", "vf1"})
    host_.pci_gpu("0000:53:00.0")
        .attribute("sriov_admin/" + function + "/profile/exec_quantum_ms", "20")
        .attribute("sriov_admin/" + function + "/profile/sched_priority", "low [normal] high");
  EXPECT_EQ(limits(), (json{{"memory", "hard"}, {"compute", "averaged over 40 ms"}}));
  host_.set_vfs("0000:54:00.0", 1);
  EXPECT_EQ(limits(), (json{{"memory", "none"}, {"compute", "none"}}));
}

TEST_F(FitTest, list_profiles_has_the_limits_that_fit_has) {
  host_.config("[profile card]\ntype = nvidia-566\n[profile part]\ntype = nvidia-560\n");
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 2, false}, "profiles");
  const json profiles = json::parse(testing::internal::GetCapturedStdout())["profiles"];
  EXPECT_EQ(profiles[0]["limits"], (json{{"memory", "hard"}, {"compute", "hard"}}));
  EXPECT_EQ(profiles[1]["limits"]["compute"], "none");
}

}  // namespace
}  // namespace gpuward
