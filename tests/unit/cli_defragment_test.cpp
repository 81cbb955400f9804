// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/defragment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attach/attach.hpp"
#include "base/error.hpp"
#include "cli/commands.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// Cards 41 to 43, of which a profile `big` names only the first, and shut-off domains in libvirt's
/// test driver.
class DefragmentCommandTest : public testing::Test {
 protected:
  DefragmentCommandTest() {
    for (const char* const card : {"0000:41:00.0", "0000:42:00.0", "0000:43:00.0"})
      host_.pci_gpu(card);
    host_.config(
        "[profile any]\nuse = whole\n"
        "[profile big]\nuse = whole\ngpu = 0000:41:00.0\n"
        "[profile small]\ntype = mbochs-small\n");
    claims_.make_ready();
    define({});
  }
  /// web01, web02 …, each with a GPU of a profile at these devices.
  void define(const std::vector<std::vector<std::string>>& domains) {
    std::string text = "<node>";
    for (size_t number = 0; number < domains.size(); ++number) {
      std::string xml =
          "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
          "<name>web0" +
          std::to_string(number + 1) + "</name><uuid>d0000000-0000-4000-8000-00000000000" +
          std::to_string(number + 1) +
          "</uuid><memory>8192</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>"
          "<devices></devices><test:runstate>5</test:runstate></domain>";
      for (const std::string& card : domains[number])
        xml = attach_gpu(xml, {"any", true, use_, {at(card)}});
      text += xml;
    }
    host_.file("/libvirt.xml", text + "</node>");
  }
  std::string plan(const std::string& request, int schema = 0) {
    testing::internal::CaptureStdout();
    status_ = defragment_command(
        {host_.root(), "test://" + host_.root().prefix + "/libvirt.xml", schema, false}, request);
    std::fflush(stdout);
    return testing::internal::GetCapturedStdout();
  }
  void run(const std::string& name, ClaimedDevice device) {
    Claim claim{*parse_uuid("e0000000-0000-4000-8000-000000000009"), name, {}};
    claim.devices.push_back(std::move(device));
    claims_.write(claim);
  }
  FakeHost host_;
  Claims claims_{host_.root()};
  Use use_ = Use::whole;  ///< of the domains
  int status_ = -1;
};

TEST_F(DefragmentCommandTest, prints_the_commands_that_make_room) {
  define({{"0000:41:00.0"}, {"0000:42:00.0"}});
  EXPECT_EQ(plan("any:1"),
            "Room for 1 of 1 more of profile 'any'; no domain has to be reassigned.\n");
  EXPECT_EQ(status_, 0);
  EXPECT_EQ(plan("big"),
            "Room for 0 of 1 more of profile 'big', and for 1 after:\n"
            "gpuward reassign web01 --to 0000:43:00.0\n");
  EXPECT_EQ(status_, 0);
  define({{"0000:41:00.0", "0000:42:00.0"}});
  EXPECT_THAT(plan("big"), HasSubstr("web01 --gpu ua-gpuward-0 --to 0000:43:00.0\n"));
}

/// What it prints, done, makes the room that it promises.
TEST_F(DefragmentCommandTest, the_printed_command_does_what_is_planned) {
  define({{"0000:41:00.0"}});
  const json before = json::parse(plan("big", 2));
  const json& move = before["moves"][0];
  EXPECT_EQ(move["domain"]["name"], "web01");
  EXPECT_EQ(move["from"], "0000:41:00.0");
  EXPECT_EQ(move["command"], "gpuward reassign web01 --to " + move["to"].get<std::string>());
  define({{move["to"].get<std::string>()}});
  const json after = json::parse(plan("big", 2));
  EXPECT_EQ(after["available"], before["possible"]);
  EXPECT_TRUE(after["moves"].empty());
}

TEST_F(DefragmentCommandTest, names_the_domains_in_the_way) {
  define({{"0000:42:00.0"}});
  run("db01", whole_card("0000:41:00.0"));
  const std::string text = plan("big:1");
  EXPECT_THAT(text, HasSubstr("Room for 0 of 1 more of profile 'big'; reassigning shut-off domains "
                              "makes no more.\n"));
  EXPECT_THAT(text, HasSubstr("0000:41:00.0  in use by domain 'db01'"));
  EXPECT_EQ(status_, 1);
  EXPECT_EQ(json::parse(plan("big:1", 2))["not_available"][0]["domain"],
            "e0000000-0000-4000-8000-000000000009");
}

TEST_F(DefragmentCommandTest, a_card_that_a_shut_off_domain_has_by_hand_stays_there) {
  define({{}});
  host_.file("/libvirt.xml",
             replaced(*read_file(host_.root().at("/libvirt.xml")), "</devices>",
                      "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' "
                      "bus='0x41' slot='0x00' function='0x0'/></source></hostdev></devices>"));
  EXPECT_THAT(plan("big:1"),
              HasSubstr("0000:41:00.0  assigned by hand to shut-off domain 'web01'"));
}

/// One VF leaves the others of its card to be assigned.
TEST_F(DefragmentCommandTest, a_virtual_function_by_hand_is_one) {
  define({{}});
  host_.sriov("0000:41:00.0", 3);
  host_.set_vfs("0000:41:00.0", 3);
  host_.config("[profile part]\nuse = vf\n");
  EXPECT_EQ(json::parse(plan("part:3", 2))["possible"], 3);
  host_.file("/libvirt.xml",
             replaced(*read_file(host_.root().at("/libvirt.xml")), "</devices>",
                      "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' "
                      "bus='0x41' slot='0x00' function='0x1'/></source></hostdev></devices>"));
  EXPECT_EQ(json::parse(plan("part:3", 2))["possible"], 2);
}

TEST_F(DefragmentCommandTest, an_iommu_group_is_counted_once) {
  host_.iommu_group(7, {"0000:41:00.0", "0000:42:00.0"});
  EXPECT_EQ(json::parse(plan("any:3", 2))["possible"], 2);
}

/// An L40S has room for two of 24Q; a shut-off domain is to have one of them.
TEST_F(DefragmentCommandTest, what_a_shut_off_domain_is_to_have_takes_its_room) {
  for (const std::string card : {"0000:41:00", "0000:42:00"}) {
    host_.sriov(card + ".0", 3);
    host_.set_vfs(card + ".0", 3);
    for (const char* const vf : {".1", ".2", ".3"})
      host_.pci_gpu(card + vf)
          .attribute("nvidia/current_vgpu_type", "0")
          .attribute("nvidia/creatable_vgpu_types", "1155 : NVIDIA L40S-24Q");
  }
  host_.config(
      "[profile any]\nuse = vendor-vf\ntype = 1155\n"
      "[profile first]\nuse = vendor-vf\ntype = 1155\ngpu = 0000:41:00.0\n");
  use_ = Use::vendor_vf;
  define({{"0000:41:00.1"}, {"0000:42:00.1"}});
  EXPECT_EQ(plan("first:2"),
            "Room for 1 of 2 more of profile 'first', and for 2 after:\n"
            "gpuward reassign web01 --to 0000:42:00.2\n");
  EXPECT_EQ(json::parse(plan("any:4", 2))["possible"], 2);
  define({{"0000:41:00.1"}, {"0000:42:00.1", "0000:42:00.2"}});
  EXPECT_THAT(plan("first:2"), HasSubstr("Room for 1 of 2 more of profile 'first'; reassigning "
                                         "shut-off domains makes no more.\n"));
}

/// Of a type that the card does not list now it is not known what it takes.
TEST_F(DefragmentCommandTest, beside_a_type_that_is_not_listed_there_may_be_less_room) {
  host_.sriov("0000:41:00.0", 2);
  host_.set_vfs("0000:41:00.0", 2);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2"})
    host_.pci_gpu(vf)
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types", "1155 : NVIDIA L40S-24Q");
  host_.config(
      "[profile any]\nuse = vendor-vf\ntype = 1150\n"
      "[profile half]\nuse = vendor-vf\ntype = 1155\n");
  use_ = Use::vendor_vf;
  define({{"0000:41:00.1"}});
  EXPECT_THAT(plan("half:1"), HasSubstr("Room for at most 1 of 1 more"));
}

TEST(RoomPlanTest, what_is_not_known_is_said) {
  RoomPlan plan{"profile 'small'", 4, {}};
  plan.devices.available = plan.devices.possible = 2;
  plan.is_at_most = true;
  plan.unknown = {at("0000:41:00.0")};
  EXPECT_EQ(text_of(plan),
            "Room for at most 2 of 4 more of profile 'small'; reassigning shut-off domains makes "
            "no more.\n"
            "Capacity of 0000:41:00.0 is not known: each of its free VFs is counted.\n");
  EXPECT_EQ(json_of(plan)["unknown_capacity"], json::array({"0000:41:00.0"}));
  EXPECT_EQ(json_of(plan)["at_most"], true);
}

TEST_F(DefragmentCommandTest, of_mdevs_it_says_who_would_make_room) {
  const Uuid uuid = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.parent("mbochs").type("mbochs-small", 2);
  EXPECT_EQ(plan("small:2"),
            "Room for 2 of 2 more of profile 'small'; no domain has to be reassigned.\n");
  host_.instance("mbochs", "mbochs-small", uuid);
  run("db01", {.alias = "ua-gpuward-0",
               .profile = "small",
               .instance = uuid,
               .parent = "mbochs",
               .type = "mbochs-small"});
  EXPECT_EQ(plan("small:1"),
            "Room for 1 of 1 more of profile 'small'; no domain has to be reassigned.\n");
  const std::string text = plan("small:2");
  EXPECT_THAT(text, HasSubstr("Room for 1 of 2 more of profile 'small'"));
  EXPECT_THAT(text, HasSubstr("domain 'db01'"));
  EXPECT_EQ(status_, 1);
}

TEST_F(DefragmentCommandTest, what_nothing_serves_is_refused) {
  const auto refusal = [&](const std::string& request) {
    return error_of([&] { defragment_command({host_.root(), "", 0, false}, request); });
  };
  EXPECT_THAT(refusal("small:1"), HasSubstr("no GPU of this host can have an instance of it"));
  host_.pci_gpu("0000:41:00.0")
      .pci_id(0x1002, 0x74a1)
      .driver("amdgpu")
      .attribute("mem_info_vram_total", "4294967296");
  host_.config("[profile part]\nmemory = 4096MiB\n");
  EXPECT_THAT(refusal("part:1"), HasSubstr("may be served in several ways; run: gpuward fit"));
}

}  // namespace
}  // namespace gpuward
