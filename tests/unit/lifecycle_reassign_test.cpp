// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/reassign.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "allocation/reassignment.hpp"
#include "allocation_fixtures.hpp"
#include "attach/attach.hpp"
#include "base/error.hpp"
#include "config/gpu_selector.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"
#include "vendor_vgpu_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Pair;

class RepointTest : public testing::Test {
 protected:
  RepointTest() {
    for (const char* address : {"0000:41:00.0", "0000:42:00.0", "0000:43:00.0"})
      host_.pci_gpu(address);
    Profile card;
    card.name = "card";
    card.use = Use::whole;
    Profile small;
    small.name = "small";
    small.types = {"mbochs-small"};
    config_.profiles = {card, small};
  }
  static std::string domain(const std::vector<std::string>& addresses) {
    std::string xml =
        "<domain type='kvm'><name>web01</name><uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>"
        "<devices></devices></domain>";
    for (const std::string& address : addresses)
      xml = attach_gpu(xml, {"card", true, Use::whole, {at(address)}});
    return xml;
  }
  std::string repointed(const std::string& xml, const DeviceUse& use = {}) {
    return repoint(host_.root(), config_, xml, use).xml;
  }
  std::vector<PciAddress> devices(const std::string& xml) {
    return assigned_devices(config_, parse_domain(xml));
  }
  FakeHost host_;
  Config config_;
};

TEST_F(RepointTest, what_points_at_a_free_device_stays) {
  const std::string xml = domain({"0000:42:00.0"});
  EXPECT_EQ(repointed(xml), xml);
  EXPECT_EQ(repointed(xml, {taken({"0000:41:00.0"}), {{at("0000:42:00.0"), 7}}}), xml);
}

TEST_F(RepointTest, what_points_at_a_taken_device_moves) {
  EXPECT_THAT(devices(repointed(domain({"0000:41:00.0"}), {taken({"0000:41:00.0"}), {}})),
              ElementsAre(at("0000:42:00.0")));
}

TEST_F(RepointTest, what_points_at_no_device_of_the_pool_moves) {
  EXPECT_THAT(devices(repointed(domain({"0000:99:00.0"}))), ElementsAre(at("0000:41:00.0")));
}

TEST_F(RepointTest, what_is_managed_otherwise_than_its_profile_stays_and_is_rewritten) {
  const std::string xml = domain({"0000:42:00.0"});
  config_.profiles[0].keep_driver = true;
  host_.pci_gpu("0000:42:00.0").driver("vfio-pci");
  host_.pci_gpu("0000:43:00.0").driver("vfio-pci");
  const std::string kept = repointed(xml);
  EXPECT_THAT(devices(kept), ElementsAre(at("0000:42:00.0")));
  EXPECT_THAT(kept, HasSubstr("managed='no'"));
  EXPECT_EQ(repointed(kept), kept);
  EXPECT_TRUE(pool_domain(config_, parse_domain(xml)).gpus[0].must_be_unmanaged);
  EXPECT_FALSE(pool_domain(config_, parse_domain(kept)).gpus[0].must_be_unmanaged);
  EXPECT_THAT(error_of([&] {
                repoint_to(host_.root(), config_, kept, {}, {"", at("0000:41:00.0")});
              }),
              HasSubstr("does not match profile 'card': device is bound to no driver"));
  config_.profiles[0].keep_driver = false;
  EXPECT_EQ(repointed(kept), xml);
}

TEST_F(RepointTest, what_has_lost_its_own_hostdev_but_no_companion_is_written_anew) {
  std::string xml =
      attach_gpu(domain({}), {"card", true, Use::whole, {at("0000:41:00.0"), {0, 0x41, 0, 1}}});
  const auto begin = xml.find("<hostdev");
  xml.erase(begin, xml.find("</hostdev>", begin) + 10 - begin);
  ASSERT_THAT(xml, HasSubstr("<alias name='ua-gpuward-0-1'/>"));
  const std::string result = repointed(xml);
  EXPECT_THAT(devices(result), ElementsAre(at("0000:41:00.0")));
  EXPECT_EQ(parse_domain(result).hostdevs.size(), 1u);
}

TEST_F(RepointTest, where_none_is_free_it_stays) {
  const DeviceUse all{taken({"0000:41:00.0", "0000:42:00.0", "0000:43:00.0"}), {}};
  const std::string xml = domain({"0000:42:00.0"});
  EXPECT_EQ(repointed(xml, all), xml);
}

TEST_F(RepointTest, two_gpus_of_a_domain_get_two_devices) {
  EXPECT_THAT(devices(repointed(domain({"0000:41:00.0", "0000:41:00.0"}))),
              ElementsAre(at("0000:41:00.0"), at("0000:42:00.0")));
  EXPECT_THAT(
      devices(repointed(domain({"0000:41:00.0", "0000:42:00.0"}), {taken({"0000:41:00.0"}), {}})),
      ElementsAre(at("0000:43:00.0"), at("0000:42:00.0")));
}

TEST_F(RepointTest, two_gpus_never_get_one_device) {
  config_.profiles[0].gpus = {*parse_gpu_selector("0000:41:00.0")};
  for (const auto& addresses : {std::vector<std::string>{"0000:41:00.0", "0000:42:00.0"},
                                {"0000:42:00.0", "0000:41:00.0"},
                                {"0000:41:00.0", "0000:41:00.0"}}) {
    const std::string xml = domain(addresses);
    EXPECT_THAT(error_of([&] { repointed(xml); }),
                HasSubstr("profile 'card' has no available device"));
  }
  const Repointed result =
      repoint(host_.root(), config_, domain({"0000:42:00.0", "0000:43:00.0"}), {});
  EXPECT_THAT(devices(result.xml), ElementsAre(at("0000:41:00.0"), at("0000:43:00.0")));
  EXPECT_THAT(
      result.refused,
      ElementsAre(Pair("ua-gpuward-1", Field(&Reason::problem, HasSubstr("'card' has no")))));
}

TEST_F(RepointTest, a_gpu_never_gets_what_the_domain_has_by_hand) {
  config_.profiles[0].gpus = {*parse_gpu_selector("0000:41:00.0")};
  std::string xml = domain({"0000:42:00.0"});
  xml.insert(xml.find("</devices>"),
             "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x41' "
             "slot='0x00' function='0x0'/></source></hostdev>");
  EXPECT_THAT(error_of([&] { repointed(xml); }),
              HasSubstr("profile 'card' has no available device"));
}

TEST_F(RepointTest, a_gpu_that_stays_keeps_another_from_its_device) {
  Profile other = config_.profiles[0];
  other.name = "other";
  other.gpus = {*parse_gpu_selector("0000:42:00.0")};
  config_.profiles[0].gpus = {*parse_gpu_selector("0000:41:00.0")};
  config_.profiles.push_back(other);
  // GPU 1 is at 42 though its pool has 41 alone, which GPU 0 has; GPU 2 would be moved to 42.
  const std::string xml = attach_gpu(domain({"0000:41:00.0", "0000:42:00.0"}),
                                     {"other", true, Use::whole, {at("0000:43:00.0")}});
  EXPECT_THAT(error_of([&] { repointed(xml); }),
              HasSubstr("two hostdevs would have PCI device 0000:42:00.0"));
}

TEST_F(RepointTest, a_vf_below_an_mdev_that_the_domain_has_by_hand_is_not_assigned_to_it) {
  const std::string card = "0000:51:00.0", vf = "0000:51:00.1", other = "0000:51:00.2";
  const Uuid mdev = *parse_uuid("00000000-0000-4000-8000-000000000001");
  host_.pci_gpu(card);
  host_.sriov(card, 2);
  host_.set_vfs(card, 2);
  host_.parent(vf).type("nvidia-63", 1);
  host_.instance(vf, "nvidia-63", mdev);
  Profile virtual_function;
  virtual_function.name = "vf";
  virtual_function.use = Use::vf;
  config_.profiles.push_back(virtual_function);
  std::string xml = attach_gpu(domain({}), {"vf", true, Use::vf, {at(vf)}});
  xml.insert(xml.find("</devices>"),
             "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='" +
                 to_string(mdev) + "'/></source></hostdev>");
  EXPECT_THAT(devices(repointed(xml)), ElementsAre(at(other)));
}

TEST_F(RepointTest, a_gpu_whose_edit_is_refused_is_no_obstacle_to_the_others) {
  const PciAddress companion{0, 0x41, 0, 1}, busy = at("0000:42:00.0");
  std::string xml =
      attach_gpu(domain({}), {"card", true, Use::whole, {at("0000:41:00.0"), companion}});
  const auto with_reference = [](std::string text) {
    return text.insert(text.rfind("</domain>"),
                       "<qemu:commandline "
                       "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg "
                       "value='-set'/><qemu:arg value='device.ua-gpuward-0-1.x=1'/>"
                       "</qemu:commandline>");
  };
  const std::string alone = with_reference(xml);
  const DeviceUse use{taken({"0000:41:00.0", "0000:42:00.0"}), {}};
  EXPECT_THROW(repointed(alone, use), Error) << "nothing else to move";
  const std::string both = with_reference(attach_gpu(xml, {"card", true, Use::whole, {busy}}));
  host_.pci_gpu("0000:44:00.0");
  const Repointed result = repoint(host_.root(), config_, both, use);
  EXPECT_THAT(result.refused,
              ElementsAre(Pair("ua-gpuward-0", Field(&Reason::problem, HasSubstr("-set")))));
  const auto now = devices(result.xml);
  ASSERT_EQ(now.size(), 2u);
  EXPECT_EQ(now[0], at("0000:41:00.0")) << "its companion is referred to";
  EXPECT_NE(now[1], busy);
}

// ---- to a device that is named

TEST_F(RepointTest, a_gpu_goes_to_the_device_that_is_named) {
  const auto to = [&](const std::string& xml, const std::string& alias, const std::string& device,
                      const DeviceUse& use = {}) {
    return repoint_to(host_.root(), config_, xml, use, {alias, at(device)});
  };
  const std::string one = domain({"0000:41:00.0"}), two = domain({"0000:41:00.0", "0000:42:00.0"});
  EXPECT_THAT(devices(to(one, "", "0000:43:00.0")), ElementsAre(at("0000:43:00.0")));
  EXPECT_EQ(to(one, "", "0000:41:00.0"), one) << "where it is already";
  EXPECT_THAT(devices(to(two, "ua-gpuward-1", "0000:43:00.0")),
              ElementsAre(at("0000:41:00.0"), at("0000:43:00.0")));
  const auto refusal = [&](const auto&... arguments) {
    return error_of([&] { to(arguments...); });
  };
  const DeviceUse use{taken({"0000:43:00.0"}), {}};
  EXPECT_THAT(refusal(one, "", "0000:43:00.0", use),
              HasSubstr("GPU 0: 0000:43:00.0 cannot be assigned: web has it"));
  EXPECT_THAT(refusal(one, "", "0000:44:00.0"),
              HasSubstr("0000:44:00.0 does not match profile 'card': device does not exist"));
  EXPECT_THAT(refusal(two, "ua-gpuward-1", "0000:41:00.0"),
              HasSubstr("cannot be assigned: device assigned to another GPU of this domain"));
  EXPECT_THAT(refusal(two, "", "0000:43:00.0"),
              HasSubstr("several GPUs have a PCI device: ua-gpuward-0, ua-gpuward-1"));
  EXPECT_THAT(refusal(two, "ua-gpuward-7", "0000:43:00.0"), HasSubstr("no GPU 'ua-gpuward-7'"));
  EXPECT_THAT(refusal(attach_gpu(domain({}), {"small"}), "", "0000:43:00.0"),
              HasSubstr("no GPU of the domain has a PCI device"));
}

TEST_F(RepointTest, a_gpu_is_not_assigned_by_name_what_the_domain_has_by_hand) {
  std::string xml = domain({"0000:42:00.0"});
  xml.insert(xml.find("</devices>"),
             "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x41' "
             "slot='0x00' function='0x0'/></source></hostdev>");
  EXPECT_THAT(error_of([&] {
                repoint_to(host_.root(), config_, xml, {}, {"", at("0000:41:00.0")});
              }),
              HasSubstr("0000:41:00.0 cannot be assigned: already assigned to this domain"));
}

TEST_F(RepointTest, a_gpu_does_not_go_to_a_card_without_capacity) {
  host_.sriov("0000:41:00.0", 2);
  host_.set_vfs("0000:41:00.0", 2);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2"}) add_vendor_vf(host_, vf);
  config_ = vendor_vgpu_config("0000:41:00.0");
  const std::string xml = attach_gpu(
      domain({}), {"vgpu", true, Use::vendor_vf, {at("0000:41:00.1")}, {}, pci_model, false});
  const auto move = [&] {
    return repoint_to(host_.root(), config_, xml, {}, {"", at("0000:41:00.2")});
  };
  EXPECT_THAT(devices(move()), ElementsAre(at("0000:41:00.2")));
  host_.pci_gpu("0000:41:00.2").attribute("nvidia/creatable_vgpu_types", "");
  EXPECT_THAT(error_of(move), HasSubstr("0000:41:00.2 cannot be assigned: GPU has no capacity for "
                                        "another vGPU of profile 'vgpu'"));
}

TEST_F(RepointTest, an_empty_pool_is_told_with_the_reason) {
  config_.profiles[0].gpus = {*parse_gpu_selector("10de:2236")};
  try {
    repointed(domain({"0000:41:00.0"}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("profile 'card' has no device on this host"));
  }
}

TEST_F(RepointTest, mdevs_are_none_of_it) {
  const std::string xml = attach_gpu(domain({}), {"small"});
  EXPECT_EQ(repointed(xml), xml);
  EXPECT_TRUE(devices(xml).empty());
}

TEST_F(RepointTest, taken_is_what_others_claimed_what_was_given_once_and_what_is_open) {
  const Claims claims(host_.root());
  claims.make_ready();
  Claim claim{*parse_uuid("6b1d3c52-9c07-4f10-8f6e-000000000002"), "db02", {}};
  ClaimedDevice held{
      ClaimedDevice::State::claimed, "ua-gpuward-0", "card", {}, "0000:41:00.0", "-"};
  held.use = Use::whole;
  held.address = at("0000:41:00.0");
  claim.devices = {held};
  claims.write(claim);
  const Uuid web01 = *parse_uuid("6b1d3c52-9c07-4f10-8f6e-000000000001");
  EXPECT_THAT(taken_devices(host_.root(), web01), ElementsAre(Key(at("0000:41:00.0"))));
  EXPECT_THAT(taken_devices(host_.root(), claim.domain), IsEmpty());

  mark_used(host_.root(), at("0000:42:00.0"), Uuid{}, "db03");
  host_.iommu_group(7, {"0000:43:00.0"});
  host_.process(4711, "qemu-system-x86", {"/dev/vfio/7"});
  EXPECT_THAT(
      taken_devices(host_.root(), web01),
      ElementsAre(Key(at("0000:41:00.0")), Key(at("0000:42:00.0")), Key(at("0000:43:00.0"))));
  host_.iommu_group(8, {"0000:41:00.0"});
  host_.process(4712, "qemu-system-x86", {"/dev/vfio/8"});
  EXPECT_THAT(taken_devices(host_.root(), claim.domain),
              ElementsAre(Key(at("0000:42:00.0")), Key(at("0000:43:00.0"))))
      << "what it has itself is not taken";
  EXPECT_TRUE(clear_used(host_.root(), at("0000:42:00.0")));
  EXPECT_FALSE(clear_used(host_.root(), at("0000:42:00.0")));
}

}  // namespace
}  // namespace gpuward
