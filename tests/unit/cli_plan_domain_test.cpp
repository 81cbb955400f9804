// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "attach/attach.hpp"
#include "base/error.hpp"
#include "cli/commands.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "mdev/instance.hpp"
#include "nvml_fixtures.hpp"
#include "pci_fixtures.hpp"
#include "started_log.hpp"
#include "state/claim_store.hpp"
#include "vendor_vgpu_fixtures.hpp"

namespace gpuward {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;

/// web01, shut off, in libvirt's test driver.
class PlanDomainTest : public testing::Test {
 protected:
  PlanDomainTest() {
    host_.config(
        "[profile card]\nuse = whole\n"
        "[profile small]\ntype = mbochs-small\n[profile wide]\ntype = mbochs-small\n"
        "placement = spread\n");
    claims_.make_ready();
  }
  void define(const std::vector<GpuToAttach>& gpus) {
    std::string xml =
        "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
        "<name>web01</name><uuid>d0000000-0000-4000-8000-000000000001</uuid><memory>8192</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os>"
        "<devices></devices><test:runstate>5</test:runstate></domain>";
    for (const GpuToAttach& gpu : gpus) xml = attach_gpu(xml, gpu);
    host_.file("/libvirt.xml", "<node>" + xml + "</node>");
  }
  std::string plan(int schema = 0) {
    testing::internal::CaptureStdout();
    status_ = plan_domain_command(
        {host_.root(), "test://" + host_.root().prefix + "/libvirt.xml", schema, false}, "web01");
    std::fflush(stdout);
    return testing::internal::GetCapturedStdout();
  }
  /// "DEVICE: RESULT REASON" of one GPU.
  std::vector<std::string> devices(size_t gpu) {
    std::vector<std::string> lines;
    const json printed = json::parse(plan(2));
    for (const json& device : printed["gpus"][gpu]["devices"])
      lines.push_back(
          device["device"].get<std::string>() + ": " + device["result"].get<std::string>() +
          (device["reason"].is_null() ? "" : " " + device["reason"].get<std::string>()));
    return lines;
  }
  void run(const std::string& name, ClaimedDevice device) {
    Claim claim{*parse_uuid("e0000000-0000-4000-8000-000000000009"), name, {}};
    claim.devices.push_back(std::move(device));
    claims_.write(claim);
  }
  FakeHost host_;
  Claims claims_{host_.root()};
  int status_ = -1;
  std::string printed_;
};

TEST_F(PlanDomainTest, a_pci_device_stays_while_it_is_available) {
  for (const char* const card : {"0000:41:00.0", "0000:42:00.0", "0000:43:00.0"})
    host_.pci_gpu(card);
  define({{"card", true, Use::whole, {at("0000:42:00.0")}}});
  EXPECT_THAT(devices(0),
              ElementsAre("0000:41:00.0: available the GPU stays at 0000:42:00.0, which is "
                          "available",
                          "0000:42:00.0: chosen",
                          "0000:43:00.0: available the GPU stays at 0000:42:00.0, which is "
                          "available"));
  EXPECT_EQ(status_, 0);
  run("db01", whole_card("0000:42:00.0"));
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.0: chosen instead of 0000:42:00.0: in use by "
                                      "domain 'db01'",
                                      "0000:42:00.0: unavailable in use by domain 'db01'",
                                      "0000:43:00.0: available as good, but later by name"));
}

/// A 12Q where one of them is already: of the empty card 36 GiB would be left that only others of
/// its size could use, and no profile has them.
TEST_F(PlanDomainTest, a_vgpu_on_a_vf_is_placed_where_it_strands_least_memory) {
  const std::string small = "12 : NVIDIA L40S-12Q\n", large = "48 : NVIDIA L40S-48Q\n";
  for (const char* const pf : {"0000:41:00.0", "0000:42:00.0"}) {
    host_.sriov(pf, 2);
    host_.set_vfs(pf, 2);
  }
  const auto vf = [&](const std::string& address, const std::string& creatable) {
    host_.pci_gpu(address)
        .attribute("nvidia/current_vgpu_type", creatable.empty() ? "12" : "0")
        .attribute("nvidia/creatable_vgpu_types", creatable);
  };
  vf("0000:41:00.1", small + large);
  vf("0000:41:00.2", small + large);
  vf("0000:42:00.1", "");
  vf("0000:42:00.2", small);
  host_.config(
      "[gpu 0000:41:00.0]\nuse = vendor-vf\n[gpu 0000:42:00.0]\nuse = vendor-vf\n"
      "[profile large]\nuse = vendor-vf\ntype = NVIDIA L40S-48Q\n");
  define({{"NVIDIA L40S-12Q",
           false,
           Use::vendor_vf,
           {at("0000:42:00.1")},
           SettledRequest{Use::vendor_vf, "12"}}});
  EXPECT_THAT(
      devices(0),
      ElementsAre("0000:41:00.1: available leaves more memory of its card that no profile can use",
                  "0000:41:00.2: available leaves more memory of its card that no profile can use",
                  "0000:42:00.1: unavailable device has a vGPU that gpuward did not create",
                  "0000:42:00.2: chosen instead of 0000:42:00.1: device has a vGPU that gpuward "
                  "did not create"));
}

TEST_F(PlanDomainTest, without_an_available_device_the_status_is_1) {
  host_.pci_gpu("0000:41:00.0");
  define({{"card", true, Use::whole, {at("0000:41:00.0")}}});
  run("db01", whole_card("0000:41:00.0"));
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.0: unavailable in use by domain 'db01'"));
  EXPECT_EQ(status_, 1);
}

TEST_F(PlanDomainTest, an_mdev_is_placed_as_at_its_start) {
  for (const char* const card : {"0000:41:00.0", "0000:42:00.0", "0000:43:00.0"})
    host_.parent(card).type("mbochs-small", 4);
  host_.instance("0000:43:00.0", "mbochs-small",
                 *parse_uuid("00000000-0000-4000-8000-000000000001"));
  define({{"small"}});
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.0: available card has no instance yet",
                                      "0000:42:00.0: available card has no instance yet",
                                      "0000:43:00.0: chosen"));
  define({{"wide"}, {"wide"}});
  EXPECT_THAT(devices(0),
              ElementsAre("0000:41:00.0: chosen", "0000:42:00.0: available card is fuller",
                          "0000:43:00.0: available card is fuller"));
  EXPECT_THAT(devices(1),
              ElementsAre("0000:41:00.0: available card is fuller", "0000:42:00.0: chosen",
                          "0000:43:00.0: available card is fuller"));
  EXPECT_THAT(plan(),
              HasSubstr("ua-gpuward-1  profile 'wide'  0000:42:00.0  mbochs-small  chosen"));
  EXPECT_EQ(status_, 0);
  run("db01", whole_card("0000:41:00.0"));
  EXPECT_THAT(devices(0),
              ElementsAre("0000:41:00.0: unavailable parent 0000:41:00.0: in use by domain 'db01'",
                          "0000:42:00.0: chosen",
                          "0000:43:00.0: available farther from the other GPUs of the domain"));
}

TEST_F(PlanDomainTest, what_another_gpu_of_the_domain_needs_is_left_to_it) {
  for (const char* const card : {"0000:41:00.0", "0000:42:00.0"})
    host_.parent(card).type("mbochs-small", 2);
  host_.instance("0000:41:00.0", "mbochs-small",
                 *parse_uuid("00000000-0000-4000-8000-000000000001"));
  host_.config(
      "[profile small]\ntype = mbochs-small\n"
      "[profile first]\ntype = mbochs-small\ngpu = 0000:41:00.0\n");
  define({{"small"}, {"first"}});
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.0: unavailable no available instance",
                                      "0000:42:00.0: chosen"));
  EXPECT_THAT(devices(1), ElementsAre("0000:41:00.0: chosen"));
}

/// Another type has come to have the name.
TEST_F(PlanDomainTest, where_a_request_cannot_be_settled_anew_it_is_planned_as_it_is) {
  host_.parent("a").type("mtty-1", 2).type("mtty-2", 2);
  for (const char* const type : {"mtty-1", "mtty-2"})
    host_.parent("a").attribute("mdev_supported_types/" + std::string(type) + "/name", "Same");
  define({{"Same", true, Use::mdev, {}, SettledRequest{Use::mdev, "mtty-1"}}});
  const StartedLog log(log::To::terminal);
  testing::internal::CaptureStderr();
  EXPECT_THAT(devices(0), ElementsAre("a: chosen"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("request 'Same'"));
  EXPECT_EQ(status_, 0);
}

/// Of each type the kernel says what fits without the other.
TEST_F(PlanDomainTest, what_another_type_of_the_domain_needs_is_left_to_it) {
  host_.parent("a").type("mtty-1", 2).type("mtty-2", 1);
  host_.parent("b").type("mtty-1", 4);
  host_.config("[profile port]\ntype = mtty-1\n[profile two]\ntype = mtty-2\n");
  define({{"port"}, {"two"}});
  EXPECT_THAT(devices(0),
              ElementsAre("a: available left to another GPU of the domain", "b: chosen"));
  EXPECT_THAT(devices(1), ElementsAre("a: chosen"));
}

/// Pools of 8 and 12 MiB.
TEST_F(PlanDomainTest, memory_that_no_profile_can_use_is_left_where_there_is_least) {
  const auto card = [&](const std::string& name, unsigned six, unsigned eight) {
    FakeDevice& parent = host_.parent(name);
    for (const auto& [type, count] : {std::pair("six", six), std::pair("eight", eight)})
      parent.type(type, count)
          .attribute(
              "mdev_supported_types/" + std::string(type) + "/description",
              "virtual display, " + std::to_string(type[0] == 's' ? 6 : 8) + " MB video memory");
  };
  card("0000:41:00.0", 1, 1);
  card("0000:42:00.0", 2, 1);
  const std::string six = "[profile six]\ntype = six\n", eight = "[profile eight]\ntype = eight\n";
  host_.config(six + eight);
  define({{"six"}});
  EXPECT_THAT(devices(0),
              ElementsAre("0000:41:00.0: available leaves more memory of its card that no profile "
                          "can use",
                          "0000:42:00.0: chosen"));
  define({{"eight"}});
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.0: chosen", HasSubstr("leaves more memory")));
  define({{"six"}, {"eight"}});
  EXPECT_THAT(devices(0)[1], "0000:42:00.0: chosen");
  EXPECT_THAT(devices(1)[0], "0000:41:00.0: chosen");
  host_.config(six);
  define({{"six"}});
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.0: chosen", HasSubstr("card is emptier")));
}

/// Both fill the card up to its limit: neither counts against itself.
TEST_F(PlanDomainTest, a_card_that_the_domain_fills_up_to_max_is_chosen) {
  host_.parent("0000:41:00.0").type("mbochs-small", 4);
  host_.config("[gpu 0000:41:00.0]\nmax = mbochs-small:2\n[profile small]\ntype = mbochs-small\n");
  define({{"small"}, {"small"}});
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.0: chosen"));
  EXPECT_THAT(devices(1), ElementsAre("0000:41:00.0: chosen"));
  EXPECT_EQ(status_, 0);
}

TEST_F(PlanDomainTest, a_virtual_function_of_a_full_card_is_not_chosen) {
  host_.pci_gpu("0000:41:00.0");
  host_.sriov("0000:41:00.0", 1);
  host_.set_vfs("0000:41:00.0", 1);
  add_vendor_vf(host_, "0000:41:00.1");
  host_.config(
      "[gpu 0000:41:00.0]\nuse = vendor-vf\n[profile vgpu]\nuse = vendor-vf\ntype = 1145\n");
  define({{"vgpu", true, Use::vendor_vf, {at("0000:41:00.1")}}});
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.1: chosen"));
  host_.pci_gpu("0000:41:00.1").attribute("nvidia/creatable_vgpu_types", "");
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.1: unavailable GPU has no capacity for another "
                                      "vGPU of profile 'vgpu'"));
  EXPECT_EQ(status_, 1);
}

TEST_F(PlanDomainTest, an_instance_that_exists_on_a_parent_in_use_is_not_available) {
  host_.parent("0000:41:00.0").type("mbochs-small", 4);
  define({{"small"}});
  host_.instance(
      "0000:41:00.0", "mbochs-small",
      instance_uuid(*parse_uuid("d0000000-0000-4000-8000-000000000001"), "ua-gpuward-0"));
  EXPECT_THAT(devices(0), ElementsAre(HasSubstr("0000:41:00.0: chosen instance")));
  run("db01", whole_card("0000:41:00.0"));
  EXPECT_THAT(devices(0),
              ElementsAre(AllOf(HasSubstr("0000:41:00.0: unavailable instance "),
                                HasSubstr("parent 0000:41:00.0: in use by domain 'db01'"))));
}

TEST_F(PlanDomainTest, what_the_domain_has_by_hand_counts_for_max) {
  const Uuid by_hand = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.parent("0000:41:00.0").type("mbochs-small", 4);
  host_.instance("0000:41:00.0", "mbochs-small", by_hand);
  host_.config("[gpu 0000:41:00.0]\nmax = mbochs-small:1\n[profile small]\ntype = mbochs-small\n");
  define({{"small"}});
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.0: chosen"));
  host_.file("/libvirt.xml",
             replaced(*read_file(host_.root().at("/libvirt.xml")), "</devices>",
                      "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address "
                      "uuid='" +
                          to_string(by_hand) + "'/></source></hostdev></devices>"));
  EXPECT_THAT(devices(0),
              ElementsAre(HasSubstr("max = mbochs-small:1 is reached on 0000:41:00.0")));
}

/// Its driver made vGPUs on VFs when it was attached, and makes mdevs now.
TEST_F(PlanDomainTest, a_request_that_another_kind_serves_by_now_is_planned_as_reassign_would) {
  host_.pci_gpu("0000:41:00.0");
  host_.sriov("0000:41:00.0", 1);
  host_.set_vfs("0000:41:00.0", 1);
  add_vendor_vf(host_, "0000:41:00.1");
  const SettledRequest vgpu{Use::vendor_vf, "1145"};
  define({{"NVIDIA L40S-1B", true, Use::vendor_vf, {at("0000:41:00.1")}, vgpu}});
  EXPECT_THAT(devices(0), ElementsAre("0000:41:00.1: chosen"));
  EXPECT_EQ(json::parse(plan(2))["gpus"][0]["reassign"], nullptr);
  EXPECT_EQ(status_, 0);
  host_.pci_gpu("0000:41:00.1").attribute("nvidia/creatable_vgpu_types", "");
  host_.parent("0000:42:00.0")
      .type("nvidia-7", 1)
      .attribute("mdev_supported_types/nvidia-7/name", "NVIDIA L40S-1B");
  EXPECT_THAT(devices(0), ElementsAre("0000:42:00.0: chosen"));
  EXPECT_EQ(status_, 1) << "until it is reassigned";
  EXPECT_EQ(json::parse(plan(2))["gpus"][0]["reassign"],
            (json{{"has", "vendor-vf 1145"}, {"would_get", "mdev nvidia-7"}}));
  EXPECT_THAT(plan(), HasSubstr("GPU 0 has vendor-vf 1145 and would get mdev nvidia-7 as shown; "
                                "run: gpuward reassign web01\n"));
  host_.pci_gpu("0000:41:00.1").attribute("nvidia/creatable_vgpu_types", "1145 : NVIDIA L40S-1B");
  host_.parent("0000:42:00.0").type("nvidia-7", 0);
  plan();
  EXPECT_EQ(status_, 0) << "what it has still serves it";
}

/// A card in MIG mode with a VF: its types are settled and its pool is made from one answer.
TEST_F(PlanDomainTest, a_command_asks_each_card_once) {
  const NvmlDouble nvml(host_.root());
  const NvmlWatch watch(host_.root(), nvml.moved_program());
  host_.sriov("0000:41:00.0", 2);
  host_.set_vfs("0000:41:00.0", 2);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2"}) add_vendor_vf(host_, vf);
  host_.config("[gpu *]\nuse = mig\n[profile part]\nuse = mig\ntype = 1g.5gb\n");
  const Settings settings{host_.root(), "test://" + host_.root().prefix + "/libvirt.xml", 0, true};
  const auto asked_by = [&](const std::function<int()>& command) {
    const std::string before = watch.asked();
    testing::internal::CaptureStdout();
    EXPECT_EQ(command(), 0);
    std::fflush(stdout);
    printed_ = testing::internal::GetCapturedStdout();
    return watch.asked().substr(before.size());
  };
  define({{"1g.5gb", true, Use::mig, {at("0000:41:00.1")}, SettledRequest{Use::mig, "1g.5gb"}}});
  EXPECT_EQ(asked_by([&] { return plan_domain_command(settings, "web01"); }), "list\n");
  EXPECT_THAT(printed_, ContainsRegex("0000:41:00.1 +- +chosen"));
  host_.file("/web01.xml",
             "<domain><name>web02</name><uuid>d0000000-0000-4000-8000-000000000002</uuid>"
             "<os><type machine='q35'>hvm</type></os><devices></devices></domain>");
  ASSERT_TRUE(std::freopen(host_.root().at("/web01.xml").c_str(), "r", stdin));
  Rewrite rewrite;
  rewrite.attach = {"1g.5gb"};
  EXPECT_EQ(asked_by([&] { return rewrite_command(settings, rewrite); }), "list\n");
  EXPECT_THAT(printed_, HasSubstr("function="));
  EXPECT_EQ(asked_by([&] { return attach_command(settings, "web01", {}, ""); }), "list\n");
  EXPECT_EQ(asked_by([&] { return reassign_command(settings, "web01", {}); }), "list\n");
  EXPECT_EQ(asked_by([&] { return defragment_command(settings, "1g.5gb"); }), "list\n");
}

TEST_F(PlanDomainTest, a_domain_without_a_gpu_has_no_plan) {
  define({});
  EXPECT_EQ(plan(), "web01: requests no GPU\n");
}

}  // namespace
}  // namespace gpuward
