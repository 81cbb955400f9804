// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attach/assign.hpp"
#include "attach/attach.hpp"
#include "attach/clone.hpp"
#include "attach/detach.hpp"
#include "base/error.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"
#include "domain_fixtures.hpp"
#include "protection/protect.hpp"

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace gpuward {
namespace {

const PciAddress gpu{0, 0x41, 0, 0}, audio{0, 0x41, 0, 1}, usb{0, 0x41, 0, 2};
const PciAddress other{0, 0x42, 0, 0}, other_audio{0, 0x42, 0, 1};
const PciAddress vf{0x10000, 0x43, 0x10, 4};

GpuToAttach whole(const std::vector<PciAddress>& functions) {
  return {"big", true, Use::whole, functions};
}

/// "ALIAS ADDRESS managed" of each PCI hostdev of ours.
std::vector<std::string> hostdevs(const std::string& xml) {
  std::vector<std::string> found;
  for (const Hostdev& hostdev : parse_domain(xml).hostdevs)
    if (hostdev.address && hostdev.alias.starts_with(alias_prefix))
      found.push_back(hostdev.alias + ' ' + to_string(*hostdev.address) +
                      (hostdev.managed ? " managed" : ""));
  return found;
}

/// Guest addresses of our hostdevs, "BUS:SLOT.FUNCTION", and whether more functions may follow.
std::vector<std::string> guest_addresses(const std::string& xml) {
  std::vector<std::string> found;
  const Document document = parse_document(xml);
  for (const Element& device : document.root.child("devices")->children) {
    const Element* const alias = device.child("alias");
    const Element* const address = device.child("address");
    if (device.name != "hostdev" || !alias || !address) continue;
    if (!alias->attribute("name")->starts_with(alias_prefix)) continue;
    const auto place = pci_address_of(*address);
    found.push_back(std::to_string(place->bus) + ':' + std::to_string(place->slot) + '.' +
                    std::to_string(place->function) +
                    (address->attribute("multifunction") == "on" ? " more" : ""));
  }
  return found;
}

/// On i440FX functions share a slot of a bus, and this domain has none; libvirt would add no
/// bridge.
constexpr const char* full = "pc-slots-all-taken";

std::vector<std::string> all_but_full() {
  auto names = fixtures();
  std::erase(names, full);
  return names;
}

class EachDomainWithPci : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(RewritePci, EachDomainWithPci, testing::ValuesIn(all_but_full()),
                         test_name);

TEST_P(EachDomainWithPci, IsTheSameAgainAfterDetach) {
  const std::string before = fixture(GetParam());
  EXPECT_EQ(detach_gpus(attach_gpu(before, whole({gpu}))), before);
  EXPECT_EQ(detach_gpus(attach_gpu(before, whole({gpu, audio, usb}))), before);
  EXPECT_EQ(detach_gpus(attach_gpu(attach_gpu(before, whole({gpu, audio})), {"small"})), before);
}

TEST_P(EachDomainWithPci, IsTheSameAgainAfterItMoved) {
  const std::string before = fixture(GetParam());
  const std::string attached = attach_gpu(before, whole({gpu, audio}));
  for (const auto& functions : {std::vector{other, other_audio}, std::vector{other}}) {
    const std::string moved = assign_device(attached, "ua-gpuward-0", true, functions);
    EXPECT_NE(moved, attached);
    EXPECT_EQ(detach_gpus(moved), before);
  }
}

/// As `gpuward protect` does it with a QEMU that has enable-migration; without a look at pci.0, on
/// which some machines have no room.
std::string protected_cards(const std::string& xml, bool for_good) {
  GuardPolicy policy;
  policy.gpu_hotplug = Policy::allow;
  return protect(xml, {policy, {true, true}, for_good},
                 [](const Hostdev& hostdev) { return hostdev.alias.starts_with(alias_prefix); });
}

TEST_P(EachDomainWithPci, CardsOfTwoFunctionsAreDetachedOneByOneWhenProtected) {
  const std::string before = fixture(GetParam());
  for (const bool for_good : {false, true}) {
    const auto protect_cards = [&](const std::string& xml) {
      return protected_cards(xml, for_good);
    };
    const std::string one = protect_cards(attach_gpu(before, whole({gpu, audio})));
    ASSERT_THAT(one, HasSubstr("device alias='ua-gpuward-0-1'"));
    const std::string two = protect_cards(attach_gpu(one, whole({other, other_audio})));
    for (const auto& [first, second] :
         {std::pair{"ua-gpuward-1", "ua-gpuward-0"}, {"ua-gpuward-0", "ua-gpuward-1"}}) {
      const std::string left = detach_gpus(two, first);
      EXPECT_THAT(left, Not(HasSubstr(first)));
      EXPECT_THAT(left, HasSubstr("device alias='" + std::string(second) + "-1'"));
      const std::string none = detach_gpus(left, second);
      EXPECT_EQ(for_good ? unprotect(none) : none, before) << for_good << first;
    }
    const std::string none = detach_gpus(one, "ua-gpuward-0");
    EXPECT_EQ(for_good ? unprotect(none) : none, before) << for_good;
  }
}

TEST(DetachPci, TakesAlongWhatProtectWroteOfAHostdevWithoutAGpu) {
  const std::string before = fixture(fixtures().front());
  const std::string one = protected_cards(attach_gpu(before, whole({gpu, audio})), false);
  std::string two = protected_cards(attach_gpu(one, whole({other, other_audio})), false);
  const auto begin = two.find("<gpuward:gpu alias='ua-gpuward-1'");
  ASSERT_NE(begin, two.npos);
  two.erase(begin, two.find("/>", begin) + 2 - begin);
  EXPECT_THAT(detach_gpus(two, "ua-gpuward-1"), Not(HasSubstr("ua-gpuward-1")));
}

TEST(DetachPci, TakesAlongWhatProtectWroteWhereTheMetadataIsGone) {
  std::string xml =
      protected_cards(attach_gpu(fixture(fixtures().front()), whole({gpu, audio})), false);
  const auto begin = xml.find("<metadata>");
  ASSERT_NE(begin, xml.npos);
  xml.erase(begin, xml.find("</metadata>") + 11 - begin);
  EXPECT_THAT(detach_gpus(xml), Not(HasSubstr("ua-gpuward")));
}

TEST(AttachPci, OneFunctionIsPlacedByLibvirt) {
  const std::string xml = attach_gpu(fixture(fixtures().front()), whole({gpu}));
  EXPECT_THAT(hostdevs(xml), ElementsAre("ua-gpuward-0 0000:41:00.0 managed"));
  EXPECT_THAT(guest_addresses(xml), IsEmpty());
}

TEST(AttachPci, NvidiasVfStaysWithItsDriver) {
  const std::string xml = attach_gpu(fixture(fixtures().front()),
                                     {"quarter", true, Use::vendor_vf, {vf}, {}, pci_model, false});
  EXPECT_THAT(hostdevs(xml), ElementsAre("ua-gpuward-0 10000:43:10.4"));
}

TEST_P(EachDomainWithPci, IsUnmanagedWhereTheHostBindsTheDriverAndManagedAgain) {
  GpuToAttach card = whole({gpu, audio});
  const std::string managed = attach_gpu(fixture(GetParam()), card);
  card.managed = false;
  const std::string kept = attach_gpu(fixture(GetParam()), card);
  EXPECT_THAT(hostdevs(kept),
              ElementsAre("ua-gpuward-0 0000:41:00.0", "ua-gpuward-0-1 0000:41:00.1"));
  EXPECT_EQ(assign_device(managed, "ua-gpuward-0", false, {gpu, audio}), kept);
  EXPECT_EQ(assign_device(kept, "ua-gpuward-0", true, {gpu, audio}), managed);
  EXPECT_EQ(assign_device(kept, "ua-gpuward-0", false, {gpu, audio}), kept);
  EXPECT_THAT(hostdevs(assign_device(managed, "ua-gpuward-0", false, {other, other_audio})),
              ElementsAre("ua-gpuward-0 0000:42:00.0", "ua-gpuward-0-1 0000:42:00.1"));
  EXPECT_THAT(hostdevs(assign_device(managed, "ua-gpuward-0", false, {other})),
              ElementsAre("ua-gpuward-0 0000:42:00.0"));
  EXPECT_EQ(detach_gpus(kept), fixture(GetParam()));
}

TEST(AttachPci, FunctionsShareASlotOfTheGuest) {
  const std::string hand =
      "<domain type='kvm'><name>w</name><uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>"
      "<os><type machine='MACHINE'>hvm</type></os><devices>CONTROLLERS</devices></domain>";
  const auto with = [&](const std::string& machine, const std::string& devices) {
    std::string xml = hand;
    xml.replace(xml.find("MACHINE"), 7, machine);
    xml.replace(xml.find("CONTROLLERS"), 11, devices);
    return attach_gpu(xml, whole({gpu, audio}));
  };
  EXPECT_THAT(guest_addresses(with("q35", "")), ElementsAre("1:0.0 more", "1:0.1"));
  EXPECT_THAT(with("q35", ""), HasSubstr("<controller type='pci' index='1' "
                                         "model='pcie-root-port'/>"));
  const std::string ports =
      "<controller type='pci' index='0' model='pcie-root'/>"
      "<controller type='pci' index='3' model='pcie-root-port'/>";
  EXPECT_THAT(guest_addresses(with("pc-q35-7.2", ports)), ElementsAre("4:0.0 more", "4:0.1"));
  EXPECT_THAT(guest_addresses(with("pc-i440fx-7.2", "")), ElementsAre("0:30.0 more", "0:30.1"));
  EXPECT_THAT(guest_addresses(with("pc", "<video><address type='pci' slot='0x1e'/></video>")),
              ElementsAre("0:29.0 more", "0:29.1"));
}

TEST(AttachPci, FunctionsThatFindNoSlotAreRefused) {
  const std::string before = fixture(full);
  EXPECT_THROW(attach_gpu(before, whole({gpu, audio})), Error);
  EXPECT_EQ(detach_gpus(attach_gpu(before, whole({gpu}))), before);
}

std::string q35_with(const std::string& devices) {
  return "<domain>\n  <name>a</name>\n  <uuid>1bf994d7-60c6-58f8-b824-2cbeb72f91c7</uuid>\n"
         "  <os>\n    <type machine='pc-q35-9.2'>hvm</type>\n  </os>\n  <devices>\n" +
         devices + "    <memballoon model='none'/>\n  </devices>\n</domain>\n";
}

TEST(AttachPci, TakesNoGuestBusThatIsInUse) {
  const std::string before = q35_with(
      "    <hostdev mode='subsystem' type='pci'>\n      <source>\n"
      "        <address domain='0' bus='3' slot='0' function='0'/>\n      </source>\n"
      "      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\n"
      "    </hostdev>\n");
  const std::string after = attach_gpu(before, whole({gpu, audio}));
  EXPECT_THAT(after, HasSubstr("index='2' model='pcie-root-port'"));
  EXPECT_EQ(detach_gpus(after), before);
}

TEST(AttachPci, LeavesRootPortsThatLibvirtNumbersLater) {
  std::string ports = "    <controller type='pci' model='pcie-root'/>\n";
  for (int i = 0; i < 6; ++i) ports += "    <controller type='pci' model='pcie-root-port'/>\n";
  const std::string after = attach_gpu(q35_with(ports), whole({gpu, audio}));
  EXPECT_THAT(after, HasSubstr("index='7' model='pcie-root-port'"));
  std::string numbered =
      replaced(after, "type='pci' model='pcie-root'", "type='pci' index='0' model='pcie-root'");
  for (int i = 1; i <= 6; ++i) {
    const std::string port = "type='pci' model='pcie-root-port'";
    numbered.replace(numbered.find(port), port.size(),
                     "type='pci' index='" + std::to_string(i) + "' model='pcie-root-port'");
  }
  const std::string left = detach_gpus(numbered);
  EXPECT_THAT(left, HasSubstr("index='6'"));
  EXPECT_THAT(left, Not(HasSubstr("index='7'")));
}

TEST(AttachPci, TakesItsRootPortAlongAfterAnMdev) {
  const std::string before = q35_with("");
  const std::string mdev = attach_gpu(before, GpuToAttach{"small"});
  EXPECT_EQ(detach_gpus(attach_gpu(mdev, whole({gpu, audio}))), before);
}

std::string root_port(const std::string& index, const std::string& place) {
  return "    <controller type='pci' index='" + index +
         "' model='pcie-root-port'>\n"
         "      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' " +
         place + "/>\n    </controller>\n";
}

const std::string single = "function='0x0'";
const std::string made_multifunction = "function='0x0' multifunction='on'";

/// libvirt puts a new root port into the slot of the one that is there, as its function 1, and
/// changes that one (seen with libvirt 9.0 and 11.3).
std::string port_shares_slot(const std::string& attached) {
  const std::string attached_port =
      "    <controller type='pci' index='2' model='pcie-root-port'/>\n";
  return replaced(replaced(attached, attached_port, root_port("2", "function='0x1'")),
                  root_port("1", single), root_port("1", made_multifunction));
}

/// The same, where libvirt adds the port.
std::string libvirt_adds_port(const std::string& attached) {
  return replaced(attached, root_port("1", single),
                  root_port("1", made_multifunction) + root_port("2", "function='0x1'"));
}

TEST(DetachPci, TakesMultifunctionFromAPortThatSharedItsSlotWithOurs) {
  const std::string before = q35_with(root_port("1", single));
  EXPECT_EQ(detach_gpus(port_shares_slot(attach_gpu(before, whole({gpu, audio})))), before);
  EXPECT_EQ(detach_gpus(libvirt_adds_port(attach_gpu(before, whole({gpu})))), before);
  EXPECT_EQ(detach_gpus(libvirt_adds_port(attach_gpu(before, {"small"}))), before);
}

TEST(DetachPci, TakesMultifunctionAwayWithTheLastGpu) {
  const std::string before = q35_with(root_port("1", single));
  const std::string two = attach_gpu(libvirt_adds_port(attach_gpu(before, {"small"})), {"small"});
  const std::string one = detach_gpus(two, "ua-gpuward-0");
  EXPECT_THAT(one, HasSubstr(root_port("1", made_multifunction)));
  EXPECT_EQ(detach_gpus(one, "ua-gpuward-1"), before);
}

TEST(DetachPci, TakesMultifunctionAwayAfterProtectMadeThePort) {
  const std::string before = q35_with(root_port("1", single));
  const std::string attached =
      protect(attach_gpu(before, {"small"}), Protection{}, [](const auto&) { return true; });
  const std::string port =
      "    <controller type='pci' index='2' model='pcie-root-port'>\n"
      "      <target hotplug='off'/>\n    </controller>\n";
  const std::string address = "      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' ";
  const std::string completed =
      replaced(replaced(attached, port,
                        "    <controller type='pci' index='2' model='pcie-root-port'>\n"
                        "      <target hotplug='off'/>\n" +
                            address + "function='0x1'/>\n    </controller>\n"),
               root_port("1", single), root_port("1", made_multifunction));
  EXPECT_EQ(detach_gpus(completed), before);
}

TEST(DetachPci, LeavesMultifunctionThatWasThereBefore) {
  for (const std::string place :
       {"function='0x0' multifunction='on'", "function='0x0' multifunction='off'"}) {
    const std::string before = q35_with(root_port("1", place));
    const std::string completed =
        replaced(attach_gpu(before, {"small"}), root_port("1", place),
                 root_port("1", place) + root_port("2", "function='0x1'"));
    EXPECT_EQ(detach_gpus(completed), before);
  }
}

TEST(DetachPci, LeavesMultifunctionWhereAnotherFunctionStays) {
  const std::string before = q35_with(root_port("1", single));
  const std::string later = root_port("2", "function='0x1'") + root_port("3", "function='0x2'");
  const std::string disk =
      "    <disk>\n      <address type='pci' domain='0x0000' bus='0x03' slot='0x00' "
      "function='0x0'/>\n    </disk>\n";
  const std::string completed = replaced(attach_gpu(before, {"small"}), root_port("1", single),
                                         root_port("1", made_multifunction) + later + disk);
  EXPECT_EQ(detach_gpus(completed), q35_with(root_port("1", made_multifunction) + later + disk));
}

TEST(DetachPci, TakesMultifunctionAwayOnceWhereTheRecordNamesAPortTwice) {
  const std::string before = q35_with(root_port("1", single));
  const std::string completed = libvirt_adds_port(attach_gpu(before, {"small"}));
  EXPECT_EQ(detach_gpus(replaced(completed, "'0000:00:01.0'", "'0000:00:01.0 0000:00:01.0'")),
            before);
}

TEST(DetachPci, LeavesMultifunctionWhereTheRecordNamesNoPort) {
  const std::string before = q35_with(root_port("1", single));
  const std::string completed = libvirt_adds_port(attach_gpu(before, {"small"}));
  for (const std::string record : {"", "x", "0000:00:02.0", "0000:00:01.1"})
    EXPECT_EQ(detach_gpus(replaced(completed, "single-ports='0000:00:01.0'",
                                   "single-ports='" + record + "'")),
              q35_with(root_port("1", made_multifunction)))
        << record;
}

TEST(AttachPci, IsRefusedWithoutAPciBus) {
  for (const std::string machine : {"isapc", "microvm"}) {
    const std::string before = replaced(q35_with(""), "pc-q35-9.2", machine);
    EXPECT_THAT(error_of([&] { attach_gpu(before, {"small"}); }),
                HasSubstr("machine type '" + machine + "' has no PCI bus"));
  }
}

TEST(PointGpu, MovesSourcesAlone) {
  const std::string xml = attach_gpu(fixture(fixtures().front()), whole({gpu, audio}));
  const std::string moved = assign_device(xml, "ua-gpuward-0", true, {other, other_audio});
  EXPECT_THAT(hostdevs(moved), ElementsAre("ua-gpuward-0 0000:42:00.0 managed",
                                           "ua-gpuward-0-1 0000:42:00.1 managed"));
  EXPECT_EQ(guest_addresses(moved), guest_addresses(xml));
  EXPECT_EQ(moved.size(), xml.size());
  EXPECT_EQ(assign_device(moved, "ua-gpuward-0", true, {gpu, audio}), xml);
}

TEST(PointGpu, OfAnotherShapeIsWrittenAnew) {
  const std::string xml = attach_gpu(fixture(fixtures().front()), whole({gpu, audio}));
  const std::string alone = assign_device(xml, "ua-gpuward-0", true, {other});
  EXPECT_THAT(hostdevs(alone), ElementsAre("ua-gpuward-0 0000:42:00.0 managed"));
  const std::string back = assign_device(alone, "ua-gpuward-0", true, {gpu, audio, usb});
  EXPECT_THAT(hostdevs(back), ElementsAre("ua-gpuward-0 0000:41:00.0 managed",
                                          "ua-gpuward-0-1 0000:41:00.1 managed",
                                          "ua-gpuward-0-2 0000:41:00.2 managed"));
}

TEST(PointGpu, OfAnotherShapeStaysInItsSlotOfTheGuest) {
  const std::string xml = attach_gpu(fixture(fixtures().front()), whole({gpu, audio}));
  const auto slot = guest_addresses(xml);
  ASSERT_EQ(slot.size(), 2u);
  const std::string alone = assign_device(xml, "ua-gpuward-0", true, {other});
  EXPECT_THAT(guest_addresses(alone), ElementsAre(slot[0].substr(0, slot[0].find(' '))));
  const std::string back = assign_device(alone, "ua-gpuward-0", true, {gpu, audio});
  EXPECT_EQ(guest_addresses(back), guest_addresses(xml));
  EXPECT_EQ(detach_gpus(back), fixture(fixtures().front()));
}

TEST(PointGpu, LeavesOtherGpusAlone) {
  const std::string xml =
      attach_gpu(attach_gpu(fixture(fixtures().front()), whole({gpu})), whole({audio}));
  EXPECT_THAT(
      hostdevs(assign_device(xml, "ua-gpuward-1", true, {other})),
      ElementsAre("ua-gpuward-0 0000:41:00.0 managed", "ua-gpuward-1 0000:42:00.0 managed"));
  EXPECT_THROW(assign_device(xml, "ua-gpuward-2", true, {other}), Error);
}

/// Without the hostdev of this alias, as its author may remove it.
std::string without_hostdev(std::string xml, const std::string& alias) {
  const auto name = xml.find("<alias name='" + alias + "'/>");
  EXPECT_NE(name, xml.npos);
  const auto begin = xml.rfind("<hostdev", name);
  return xml.erase(begin, xml.find("</hostdev>", begin) + 10 - begin);
}

TEST(PointGpu, OfWhichACompanionAloneIsLeftIsWrittenAnew) {
  const std::string xml =
      without_hostdev(attach_gpu(fixture(fixtures().front()), whole({gpu, audio})), "ua-gpuward-0");
  for (const auto& functions : {std::vector{other}, std::vector{gpu}, std::vector{audio}})
    EXPECT_THAT(hostdevs(assign_device(xml, "ua-gpuward-0", true, functions)),
                ElementsAre("ua-gpuward-0 " + to_string(functions.front()) + " managed"));
}

TEST(PointGpu, OfWhichTwoCompanionsAreLeftIsWrittenAnew) {
  const std::string xml = without_hostdev(
      attach_gpu(fixture(fixtures().front()), whole({gpu, audio, usb})), "ua-gpuward-0");
  const PciAddress first{0, 0x42, 0, 1}, second{0, 0x42, 0, 2};
  EXPECT_THAT(
      hostdevs(assign_device(xml, "ua-gpuward-0", true, {first, second})),
      ElementsAre("ua-gpuward-0 0000:42:00.1 managed", "ua-gpuward-0-2 0000:42:00.2 managed"));
}

TEST(PointGpu, AddsWhatIsMissing) {
  std::string xml = attach_gpu(fixture(fixtures().front()), whole({gpu}));
  const auto begin = xml.find("<hostdev mode='subsystem' type='pci'");
  xml.erase(begin, xml.find("</hostdev>", begin) + 10 - begin);
  EXPECT_THAT(hostdevs(assign_device(xml, "ua-gpuward-0", true, {vf})),
              ElementsAre("ua-gpuward-0 10000:43:10.4 managed"));
}

TEST(MendGpus, LeavesPciDevicesToWhoKnowsTheHost) {
  const std::string xml = attach_gpu(fixture(fixtures().front()), whole({gpu, audio}));
  const auto is_mdev = [](const GpuRequest&) { return false; };
  EXPECT_EQ(update_instance_uuids(xml, is_mdev), xml);
}

TEST(GpuAlias, CompanionsAreTheirGpus) {
  EXPECT_EQ(gpu_alias("ua-gpuward-12"), "ua-gpuward-12");
  EXPECT_EQ(gpu_alias("ua-gpuward-12-3"), "ua-gpuward-12");
  EXPECT_EQ(gpu_alias("hostdev0"), "hostdev0");
}

TEST(HostdevAlias, OfACompanionHasAFunction) {
  const std::string xml = attach_gpu(fixture(fixtures().front()), whole({gpu, audio}));
  for (const std::string bad : {"ua-gpuward-0-8", "ua-gpuward-0-", "ua-gpuward-0-11",
                                "ua-gpuward-0-1-1", "ua-gpuward--1"}) {
    std::string text = xml;
    text.replace(text.find("'ua-gpuward-0-1'") + 1, 14, bad);
    EXPECT_THROW(parse_domain(text), Error) << bad;
  }
}

/// A GPU may be another function than 0 of its slot.
TEST(HostdevAlias, OfACompanionMayHaveFunction0) {
  const std::string xml = attach_gpu(fixture(fixtures().front()), whole({audio, gpu}));
  EXPECT_NE(xml.find("'ua-gpuward-0-0'"), std::string::npos);
  EXPECT_EQ(parse_domain(xml).requests.size(), 1u);
  EXPECT_EQ(detach_gpus(xml, "ua-gpuward-0"), fixture(fixtures().front()));
}

}  // namespace
}  // namespace gpuward
