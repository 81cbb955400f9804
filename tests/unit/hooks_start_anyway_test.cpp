// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.hpp"
#include "domain/domain.hpp"
#include "fake_host.hpp"
#include "hooks/qemu_hook.hpp"
#include "inventory/usage.hpp"
#include "state/claim_store.hpp"
#include "state/gpu_domain_marker.hpp"
#include "state/paths.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"
#include "state/start_permit.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;

const Uuid vm = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid other_vm = *parse_uuid("00000000-1d52-d8f3-2516-782e98ab3fa0");
const PciAddress card = *parse_pci_address("0000:41:00.0");

constexpr std::string_view good_config = "[profile small]\ntype = mbochs-small\n";
constexpr std::string_view broken_config =
    "[profile small]\ntype = mbochs-small\nplacemnt = spread\n[profile card]\nuse = whole\n";

/// Without <pm>, which [guard] pause asks for.
std::string domain_xml(const std::string& metadata, const std::string& devices) {
  return "<domain type='kvm'>\n<name>web01</name>\n<uuid>" + to_string(vm) + "</uuid>\n" +
         metadata + "<devices>\n" + devices + "</devices>\n</domain>\n";
}
std::string asking(const std::string& profile) {
  return "<metadata><g:domain xmlns:g='urn:gpuward:domain:1'><g:gpu alias='ua-gpuward-0' "
         "profile='" +
         profile + "'/></g:domain></metadata>\n";
}
std::string pci_hostdev(const std::string& rest) {
  return "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "
         "bus='0x41' slot='0x00' function='0x0'/></source>" +
         rest + "</hostdev>\n";
}
const std::string mdev_xml =
    domain_xml(asking("small"),
               "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='" +
                   to_string(instance_uuid(vm, "ua-gpuward-0")) +
                   "'/></source><alias name='ua-gpuward-0'/></hostdev>\n");
const std::string pci_xml = domain_xml("", pci_hostdev(""));
const std::string card_xml =
    domain_xml(asking("card"), pci_hostdev("<alias name='ua-gpuward-0'/>"));
/// libvirt takes it, gpuward's own part of it is wrong.
const std::string unparsed_xml = domain_xml("", pci_hostdev("<alias name='ua-gpuward-x'/>"));

class StartAnywayTest : public testing::Test {
 protected:
  StartAnywayTest() {
    host_.parent("mbochs").type("mbochs-small", 2);
    host_.pci_gpu("0000:41:00.0").attribute("reset", "");
    host_.iommu_group(20, {"0000:41:00.0"});
    host_.config(std::string(good_config));
    host_.qemu("7.2.22");  // which has no enable-migration
  }
  /// Exit status; what it printed is in said_.
  int call(const std::string& operation, const std::string& xml,
           XmlInput::End end = XmlInput::End::whole) {
    XmlInput input;
    input.end = end;
    input.text = xml;
    input.may_have_gpu = may_have_gpu(xml);
    input.names_gpuward = names_gpuward(xml);
    testing::internal::CaptureStderr();
    const Deadlines deadlines{milliseconds(60'000), milliseconds(60'000), milliseconds(50)};
    const int status = run_qemu_hook(host_.root(), {"web01", operation}, input, deadlines);
    said_ = testing::internal::GetCapturedStderr();
    return status;
  }
  GrantedStart permit() { return {host_.root(), {vm, "web01", "ticket 4711"}}; }
  std::vector<std::string> refusals() {
    const auto record = started_anyway(host_.root(), vm);
    return record ? record->refusals : std::vector<std::string>();
  }
  std::optional<Claim> claim() { return Claims(host_.root()).find(vm); }
  FakeHost host_;
  std::string said_;
};

TEST_F(StartAnywayTest, what_a_guard_refuses_starts_and_is_shown_until_release) {
  ASSERT_EQ(call("prepare", mdev_xml), 1);
  const auto granted = permit();
  EXPECT_EQ(call("prepare", mdev_xml), 0) << said_;
  EXPECT_TRUE(claim());
  ASSERT_EQ(refusals().size(), 1U);
  EXPECT_THAT(refusals().front(), HasSubstr("blocked by [guard] pause"));
  EXPECT_EQ(call("release", mdev_xml), 0);
  EXPECT_FALSE(started_anyway(host_.root(), vm));
  EXPECT_EQ(call("prepare", mdev_xml), 1) << "the permit is of one start";
}

/// polkit would go on blocking calls for a domain that is shut off.
TEST_F(StartAnywayTest, the_marker_goes_at_release_although_the_record_of_the_permit_stays) {
  {
    const auto granted = permit();
    ASSERT_EQ(call("prepare", mdev_xml), 0) << said_;
  }
  ASSERT_THAT(guarded_domains(host_.root()), testing::ElementsAre(vm));
  const std::string record = host_.root().run("started-anyway/" + to_string(vm));
  remove_file(record);
  make_directories(record + "/cannot-be-unlinked");
  EXPECT_EQ(call("release", mdev_xml), 0);
  EXPECT_TRUE(exists(record));
  EXPECT_THAT(guarded_domains(host_.root()), IsEmpty());
  EXPECT_FALSE(claim());
}

TEST_F(StartAnywayTest, a_start_that_nothing_refuses_uses_no_permit) {
  host_.config("[guard]\npause = allow\n" + std::string(good_config));
  const auto granted = permit();
  EXPECT_EQ(call("prepare", mdev_xml), 0) << said_;
  EXPECT_FALSE(started_anyway(host_.root(), vm));
}

TEST_F(StartAnywayTest, a_record_of_an_earlier_run_is_not_of_this_start) {
  make_directories(host_.root().run("started-anyway"));
  record_started_anyway(host_.root(), {vm, "web01", "last week", 1});
  host_.config("[guard]\npause = allow\n" + std::string(good_config));
  EXPECT_EQ(call("prepare", mdev_xml), 0) << said_;
  EXPECT_FALSE(started_anyway(host_.root(), vm));
}

TEST_F(StartAnywayTest, an_arrival_is_no_start) {
  const auto granted = permit();
  EXPECT_EQ(call("restore", mdev_xml), 1);
  EXPECT_EQ(call("migrate", mdev_xml), 1);
}

TEST_F(StartAnywayTest, a_broken_configuration_and_a_guard_are_both_recorded) {
  host_.config(std::string(broken_config));
  ASSERT_EQ(call("prepare", mdev_xml), 1);
  const auto granted = permit();
  EXPECT_EQ(call("prepare", mdev_xml), 0) << said_;
  ASSERT_EQ(refusals().size(), 2U);
  EXPECT_THAT(refusals()[0], HasSubstr("gpuward.conf:3"));
  EXPECT_THAT(refusals()[1], HasSubstr("blocked by [guard] pause"));
}

TEST_F(StartAnywayTest, with_a_broken_configuration_a_device_is_quarantined_at_release) {
  for (const std::string& config : {std::string(broken_config), std::string("[profile card")}) {
    SCOPED_TRACE(config);
    host_.config(config);
    ASSERT_EQ(call("prepare", card_xml), 1);
    const auto granted = permit();
    ASSERT_EQ(call("prepare", card_xml), 0) << said_;
    ASSERT_TRUE(claim());
    EXPECT_EQ(claim()->devices.front().address, card);
    EXPECT_EQ(call("release", card_xml), 1);
    EXPECT_THAT(said_, HasSubstr("quarantine"));
    Claims(host_.root()).drop(vm);
    EXPECT_TRUE(clear_quarantine_record(host_.root(), card));
  }
}

/// A request that names no profile has no scrub program, whatever the configuration says.
TEST_F(StartAnywayTest, with_a_broken_configuration_one_without_a_profile_is_released_as_always) {
  host_.config(std::string(broken_config));
  const auto granted = permit();
  const std::string xml = domain_xml(
      "<metadata><g:domain xmlns:g='urn:gpuward:domain:1'><g:gpu alias='ua-gpuward-0' "
      "profile='whole' use='whole'/></g:domain></metadata>\n",
      pci_hostdev("<alias name='ua-gpuward-0'/>"));
  ASSERT_EQ(call("prepare", xml), 0) << said_;
  ASSERT_TRUE(claim());
  EXPECT_EQ(claim()->devices.front().scrub, "");
  EXPECT_EQ(call("release", xml), 0) << said_;
  EXPECT_FALSE(claim());
}

TEST_F(StartAnywayTest, with_a_broken_configuration_one_by_hand_is_released_as_always) {
  host_.config(std::string(broken_config));
  const auto granted = permit();
  ASSERT_EQ(call("prepare", pci_xml), 0) << said_;
  EXPECT_EQ(call("release", pci_xml), 0) << said_;
  EXPECT_FALSE(claim());
}

TEST_F(StartAnywayTest, an_mdev_of_a_profile_that_is_lost_cannot_be_created) {
  host_.config("[profile small");
  const auto granted = permit();
  EXPECT_EQ(call("prepare", mdev_xml), 1);
  EXPECT_THAT(said_, HasSubstr("profile 'small' is not defined"));
}

TEST_F(StartAnywayTest, xml_that_cannot_be_parsed_starts_with_the_devices_of_its_text) {
  ASSERT_EQ(call("prepare", unparsed_xml), 1);
  const auto granted = permit();
  ASSERT_EQ(call("prepare", unparsed_xml), 0) << said_;
  ASSERT_TRUE(claim());
  EXPECT_EQ(claim()->devices.front().address, card);
  EXPECT_TRUE(has_gpu_now(host_.root(), vm));
  EXPECT_THAT(refusals(), testing::ElementsAre(HasSubstr("alias 'ua-gpuward-x' is not")));
  EXPECT_EQ(call("release", unparsed_xml), 1) << "its scrub program is unknown";
  EXPECT_THAT(said_, HasSubstr("quarantine"));
  EXPECT_FALSE(started_anyway(host_.root(), vm));
  EXPECT_FALSE(exists(paths::gpu_domain(host_.root(), vm)));
}

TEST_F(StartAnywayTest, an_mdev_of_xml_that_cannot_be_parsed_is_claimed_and_checked) {
  const Uuid instance = *parse_uuid("11111111-1d52-d8f3-2516-782e98ab3fa0");
  host_.instance("mbochs", "mbochs-small", instance);
  for (const std::string model : {"model='vfio-pci'", ""}) {
    SCOPED_TRACE(model);
    const std::string xml = domain_xml(
        "", "<hostdev mode='subsystem' type='mdev' " + model + "><source><address uuid='" +
                to_string(instance) + "'/></source><alias name='ua-gpuward-x'/></hostdev>\n");
    std::optional<GrantedStart> granted;
    granted.emplace(host_.root(), StartPermit{vm, "web01", "ticket 4711"});
    ASSERT_EQ(call("prepare", xml), 0) << said_;
    ASSERT_TRUE(claim());
    EXPECT_EQ(claim()->devices.front().instance, instance);
    EXPECT_EQ(call("release", xml), 0) << said_;
    ClaimedDevice device{
        .alias = "-", .profile = "-", .instance = instance, .parent = "mbochs", .type = "-"};
    Claims(host_.root()).write({other_vm, "web02", {device}, {}, true});
    granted.reset();
    granted.emplace(host_.root(), StartPermit{vm, "web01", "ticket 4711"});
    EXPECT_EQ(call("prepare", xml), 1);
    EXPECT_THAT(said_, HasSubstr("in use by domain 'web02'"));
    Claims(host_.root()).drop(other_vm);
  }
}

TEST_F(StartAnywayTest, a_mark_that_cannot_be_read_does_not_keep_a_claim_from_its_release) {
  host_.config("[guard]\npause = allow\n");
  ASSERT_EQ(call("prepare", pci_xml), 0) << said_;
  make_directories(paths::single_use(host_.root()) + "/0000:42:00.0");
  EXPECT_EQ(call("release", unparsed_xml), 0) << said_;
  EXPECT_FALSE(claim());
}

TEST_F(StartAnywayTest, xml_whose_devices_cannot_be_known_stays_refused) {
  const auto granted = permit();
  EXPECT_EQ(call("prepare", unparsed_xml, XmlInput::End::late), 1);
  EXPECT_EQ(call("prepare", unparsed_xml, XmlInput::End::too_large), 1);
  std::string no_slot = unparsed_xml;
  no_slot.replace(no_slot.find("slot='0x00'"), 11, "slot='junk'");
  EXPECT_EQ(call("prepare", no_slot), 1);
  EXPECT_FALSE(started_anyway(host_.root(), vm));
}

TEST_F(StartAnywayTest, a_device_in_use_is_never_given) {
  const auto refused = [&](const std::string& xml) {
    const auto granted = permit();
    EXPECT_EQ(call("prepare", xml), 1);
    call("release", xml);
    EXPECT_FALSE(claim());
    EXPECT_FALSE(started_anyway(host_.root(), vm)) << "release ends the record";
    return said_;
  };
  ClaimedDevice device{.alias = "ua-gpuward-0",
                       .profile = "card",
                       .instance = {},
                       .parent = "0000:41:00.0",
                       .type = "-"};
  device.use = Use::whole;
  device.address = card;
  for (const auto state : {ClaimedDevice::State::claimed, ClaimedDevice::State::quarantined}) {
    device.state = state;
    Claims(host_.root()).make_ready();
    Claims(host_.root()).write({other_vm, "web02", {device}});
    for (const std::string& xml : {pci_xml, card_xml, unparsed_xml}) refused(xml);
  }
  Claims(host_.root()).drop(other_vm);
  mark_used(host_.root(), card, other_vm, "web02");
  for (const std::string& xml : {pci_xml, card_xml, unparsed_xml}) refused(xml);
  clear_used(host_.root(), card);
  write_file_atomically(host_.root().run("claims/" + to_string(other_vm)), "rubbish\n");
  for (const std::string& xml : {pci_xml, card_xml, unparsed_xml, mdev_xml}) refused(xml);
}

TEST_F(StartAnywayTest, a_domain_without_a_gpu_looks_for_no_permit) {
  const auto granted = permit();
  EXPECT_EQ(call("prepare", domain_xml("", "<hostdev mode='subsystem' type='usb'/>\n")), 0);
  std::string why;
  EXPECT_TRUE(use_start_permit(host_.root(), vm, "web01", why));
}

}  // namespace
}  // namespace gpuward
