// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/gpu_hotplug.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "attach/assign.hpp"
#include "attach/attach.hpp"
#include "attach/detach.hpp"
#include "domain/guest_pci.hpp"
#include "domain_fixtures.hpp"
#include "protection/protect.hpp"

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace gpuward {
namespace {

bool any(const Hostdev&) {
  return true;
}

/// gpu-hotplug alone.
Protection only(Policy policy = Policy::block, bool strict = false) {
  GuardPolicy guard{Policy::allow, Policy::allow, Policy::allow, policy};
  guard.gpu_hotplug_strict = strict;
  return {guard, {true, true}, false};
}

const Protection strict = only(Policy::block, true);

std::string closed(const std::string& xml, const Protection& protection = only()) {
  return protect(xml, protection, any);
}

std::vector<Gap> gaps(const std::string& xml, const Protection& protection = only()) {
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  std::vector<const Hostdev*> gpus;
  for (const Hostdev& hostdev : domain.hostdevs) gpus.push_back(&hostdev);
  return gaps_to_close(document, gpus, protection.policy, protection.qemu);
}

std::string text_of(const std::vector<Gap>& gaps) {
  std::string text;
  for (const Gap& gap : gaps)
    text += gap.element + ": " + gap.text + (gap.can_be_fixed ? "\n" : " by hand\n");
  return text;
}

std::string domain(const std::string& machine, const std::string& devices) {
  return "<domain type='kvm'>\n  <name>web01</name>\n"
         "  <uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>\n"
         "  <os>\n    <type arch='x86_64' machine='" +
         machine + "'>hvm</type>\n  </os>\n  <devices>\n" + devices + "  </devices>\n</domain>\n";
}

std::string at(unsigned bus, unsigned slot = 0, unsigned function = 0) {
  char text[120];
  std::snprintf(text, sizeof text,
                "<address type='pci' domain='0x0000' bus='0x%02x' slot='0x%02x' function='0x%x'/>",
                bus, slot, function);
  return text;
}

std::string mdev(const std::string& address) {
  return "    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>\n      <source>\n        "
         "<address uuid='00000000-1d52-d8f3-2516-782e98ab3fa0'/>\n      </source>\n" +
         (address.empty() ? "" : "      " + address + '\n') + "    </hostdev>\n";
}

std::string pci(unsigned function, const std::string& address) {
  return "    <hostdev mode='subsystem' type='pci' managed='yes'>\n      <source>\n        "
         "<address domain='0x0000' bus='0x41' slot='0x00' function='0x" +
         std::to_string(function) + "'/>\n      </source>\n      " + address + "\n    </hostdev>\n";
}

std::string controller(unsigned index, const std::string& model, const std::string& inside = "") {
  const std::string tag =
      "    <controller type='pci' index='" + std::to_string(index) + "' model='" + model + '\'';
  return inside.empty() ? tag + "/>\n" : tag + ">\n      " + inside + "\n    </controller>\n";
}

std::string nic(const std::string& address) {
  return "    <interface type='network'>\n      " + address + "\n    </interface>\n";
}

const std::string root = controller(0, "pcie-root");

/// Closes, and checks that it is closed, stays so and can be undone.
std::string checked(const std::string& before, const Protection& protection = only()) {
  const std::string after = closed(before, protection);
  EXPECT_NE(after, before);
  EXPECT_THAT(gaps(after, protection), IsEmpty());
  EXPECT_EQ(closed(after, protection), after);
  EXPECT_EQ(unprotect(after), before);
  const std::string opened = closed(after, only(Policy::allow));
  EXPECT_THAT(opened, Not(HasSubstr("<target hotplug='off'/>")));
  EXPECT_EQ(unprotect(opened), before);
  return after;
}

std::string refusal(const std::string& xml, const Protection& protection = only()) {
  try {
    closed(xml, protection);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// ---- q35

TEST(GpuHotplug, ClosesThePortOfTheGpuAlone) {
  const std::string xml =
      checked(domain("q35", root + controller(1, "pcie-root-port", "<target chassis='1'/>") +
                                controller(2, "pcie-root-port", "<target chassis='2'/>") +
                                controller(3, "pcie-root-port") + mdev(at(2)) + nic(at(1))));
  EXPECT_THAT(xml, AllOf(HasSubstr("<target chassis='2' hotplug='off'/>"),
                         HasSubstr("<target chassis='1'/>"),
                         HasSubstr("index='3' model='pcie-root-port'/>")));
}

TEST(GpuHotplug, UndoesATargetHoweverItWasWritten) {
  for (const std::string inside :
       {"", "<target/>", "<target hotplug='on'/>", "<target hotplug=\"on\" chassis='3'/>",
        "<model name='pcie-root-port'/>", "<!-- none -->"})
    EXPECT_THAT(
        checked(domain("q35", root + controller(1, "pcie-root-port", inside) + mdev(at(1)))),
        HasSubstr("hotplug"));
}

TEST(GpuHotplug, OfAClosedPortIsNoneOfOurs) {
  const std::string xml =
      domain("q35", root + controller(1, "pcie-root-port", "<target hotplug='off'/>") +
                        mdev(at(1)) + nic(at(1, 0, 1)));
  EXPECT_THAT(gaps(xml), IsEmpty());
  EXPECT_EQ(closed(xml), xml);
}

/// libvirt refuses such XML: the address is its author's to correct, not protect's to replace.
TEST(GpuHotplug, LeavesAnAddressThatIsNotOne) {
  for (const char* const address :
       {"<address type='pci' domain='1x0000' bus='0x01' slot='0x00' function='0x0'/>",
        "<address type='pci' domain='0x0000' bus='0x100' slot='0x00' function='0x0'/>",
        "<address bus='0x01' slot='0x20'/>"})
    for (const char* const machine : {"q35", "pc"})
      EXPECT_THAT(refusal(domain(machine, mdev(address))),
                  AllOf(HasSubstr("guest <address> is not a PCI address"),
                        HasSubstr("run: virsh edit web01")));
}

/// With elements of QEMU's namespace, prefix q, in a line of their own.
std::string with_qemu(const std::string& xml, const std::string& elements) {
  return replaced(
      replaced(xml, "<domain ", "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0' "),
      "</domain>", elements + "\n</domain>");
}

std::string override_of(const std::string& alias, const std::string& value) {
  return "<q:override><q:device alias='" + alias +
         "'><q:frontend><q:property name='hotplug' type='bool' value='" + value +
         "'/></q:frontend></q:device></q:override>";
}

TEST(GpuHotplug, ThatAnOverrideSwitchesOnIsForHands) {
  const std::string off = "<target hotplug='off'/>";
  const std::string xml = domain(
      "q35", root + controller(1, "pcie-root-port", off) +
                 controller(2, "pcie-root-port", "<alias name='ua-p'/>" + off) + mdev(at(1)));
  const std::string on = with_qemu(xml, override_of("pci.1", "true"));
  EXPECT_THAT(refusal(on), AllOf(HasSubstr("sets hotplug of its PCI port, 'true'"),
                                 HasSubstr("virsh edit web01")));
  ASSERT_EQ(gaps(on).size(), 1u);
  EXPECT_EQ(gaps(on)[0].line, std::ranges::count(on.substr(0, on.find("q:property")), '\n') + 1);
  for (const char* value : {"false", "off"})
    EXPECT_THAT(gaps(with_qemu(xml, override_of("pci.1", value))), IsEmpty()) << value;
  EXPECT_THAT(gaps(with_qemu(xml, override_of("ua-p", "true"))), IsEmpty()) << "another port";
  EXPECT_THAT(text_of(gaps(with_qemu(xml, override_of("ua-p", "true")), strict)),
              HasSubstr("PCI controller 2: devices can be added"));
  EXPECT_THAT(
      gaps(with_qemu(replaced(xml, "bus='0x01'", "bus='0x02'"), override_of("ua-p", "true"))),
      testing::SizeIs(1));
  EXPECT_THAT(
      gaps(with_qemu(replaced(xml, "bus='0x01'", "bus='0x02'"), override_of("pci.2", "true"))),
      IsEmpty())
      << "libvirt calls the port ua-p";
}

TEST(GpuHotplug, ThatAnArgumentSwitchesOnOnPcIsForHands) {
  const auto with = [](const std::string& value, const std::string& address) {
    return with_qemu(
        domain("pc", controller(0, "pci-root", "<target hotplug='off'/>") + mdev(address)),
        "<q:commandline><q:arg value='-global'/><q:arg value='" + value + "'/></q:commandline>");
  };
  for (const std::string& address : {std::string(), at(0, 5)}) {
    for (const char* value : {"PIIX4_PM.acpi-root-pci-hotplug=on",
                              "driver=PIIX4_PM,property=acpi-root-pci-hotplug,value=on"})
      EXPECT_THAT(refusal(with(value, address)), HasSubstr("sets acpi-root-pci-hotplug of pci.0"));
    EXPECT_THAT(gaps(with("PIIX4_PM.acpi-root-pci-hotplug=off", address)), IsEmpty());
  }
}

TEST(GpuHotplug, ARootWithoutAnIndexIsTheRoot) {
  for (const auto& [machine, model] : {std::pair{"pc", "pci-root"}, {"q35", "pcie-root"}}) {
    const std::string xml = domain(machine, "    <controller type='pci' model='" +
                                                std::string(model) + "'/>\n" + mdev(at(0, 5)));
    const std::string after = closed(xml);
    EXPECT_THAT(gaps(after), IsEmpty()) << machine;
    EXPECT_EQ(std::string(machine) == "pc",
              after.find("model='pci-root'>\n      <target hotplug='off'/>") != after.npos);
    EXPECT_THAT(after, Not(HasSubstr("type='pci' index='0'"))) << "there is one root";
    EXPECT_EQ(unprotect(after), xml);
  }
}

TEST(GpuHotplug, NeedsNothingOnARootBusOfPcie) {
  for (const std::string& xml :
       {domain("q35", root + mdev(at(0, 5))), domain("pc-q35-9.0", mdev(at(0, 5))),
        domain("q35", root + controller(1, "dmi-to-pci-bridge", at(0, 0x1e)) + mdev(at(1, 1))),
        domain("q35", root + mdev("<address type='unassigned'/>")),
        domain("s390-ccw-virtio", mdev("<address type='ccw'/>"))})
    EXPECT_EQ(closed(xml), xml);
}

TEST(GpuHotplug, GivesAGpuWithoutAddressAPortOfItsOwn) {
  for (const std::string address : {"", "<address type='pci'/>", "<address type='pci' />"})
    for (const std::string& before :
         {root + controller(4, "pcie-root-port") + mdev(address),
          mdev(address) + root + controller(4, "pcie-root-port"), nic(at(4)) + mdev(address)})
      EXPECT_THAT(
          checked(domain("q35", before)),
          AllOf(HasSubstr("index='5' model='pcie-root-port'>\n      <target hotplug='off'/>"),
                HasSubstr("domain='0x0000' bus='0x05' slot='0x00' function='0x0'")));
}

TEST(GpuHotplug, ClosesAllPortsUpToTheRoot) {
  const std::string xml =
      checked(domain("q35", root + controller(1, "pcie-root-port", at(0, 1)) +
                                controller(2, "pcie-switch-upstream-port", at(1)) +
                                controller(3, "pcie-switch-downstream-port", at(2)) +
                                controller(4, "pcie-switch-downstream-port", at(2, 1)) +
                                mdev(at(3)) + nic(at(4))));
  const Document document = parse_document(xml);
  std::string off;
  for (const Element& device : document.root.child("devices")->children)
    if (device.child("target")) off += std::string(*device.attribute("index"));
  EXPECT_EQ(off, "13") << "without the first, the whole switch can be removed";
}

TEST(GpuHotplug, CompanionsMayBeOnThePortOfTheGpu) {
  const std::string xml =
      domain("q35", root + controller(1, "pcie-root-port") + pci(0, at(1)) + pci(1, at(1, 0, 1)));
  const IsGpu first = [](const Hostdev& hostdev) { return hostdev.address->function == 0; };
  EXPECT_THAT(protect(xml, only(), first), HasSubstr("hotplug='off'"));
  checked(xml);
}

TEST(GpuHotplug, RefusesAPortWithOthers) {
  EXPECT_THAT(refusal(domain(
                  "q35", root + controller(1, "pcie-root-port") + mdev(at(1)) + nic(at(1, 0, 1)))),
              AllOf(HasSubstr("interface (line "), HasSubstr("whose hot-plug would be disabled"),
                    HasSubstr("<controller type='pci' index='2' model='pcie-root-port'>"),
                    HasSubstr("bus='0x02' slot='0x00'")));
}

TEST(GpuHotplug, RefusesWhatIsBehindABridge) {
  const std::string q35 =
      domain("q35", root + controller(1, "pcie-to-pci-bridge", at(0, 2)) + mdev(at(1, 1)));
  EXPECT_THAT(refusal(q35), AllOf(HasSubstr("pcie-to-pci-bridge"), HasSubstr("XML cannot disable"),
                                  HasSubstr("index='2' model='pcie-root-port'")));
  const std::string pc = domain("pc", controller(1, "pci-bridge", at(0, 2)) + mdev(at(1, 1)));
  EXPECT_THAT(refusal(pc), AllOf(HasSubstr("pci-bridge"),
                                 HasSubstr("<address type='pci' domain='0x0000' bus='0x00' "
                                           "slot='0x1f' function='0x0'/>")));
  EXPECT_THAT(refusal(domain("q35", root + mdev(at(9)))), HasSubstr("PCI controller with index"));
  EXPECT_THAT(refusal(domain("q35", root + controller(1, "pcie-root-port", at(2)) +
                                        controller(2, "pcie-root-port", at(1)) + mdev(at(1)))),
              HasSubstr("form a loop"));
}

// ---- pc: all or nothing

TEST(GpuHotplug, ClosesTheWholeRootBusOfPc) {
  for (const std::string& devices :
       {mdev(at(0, 5)), mdev(""), controller(0, "pci-root") + mdev(at(0, 5)),
        nic(at(0, 4)) + controller(0, "pci-root") + mdev("")})
    for (const std::string machine : {"pc", "pc-i440fx-9.0", ""})
      EXPECT_THAT(checked(domain(machine, devices)),
                  HasSubstr("index='0' model='pci-root'>\n      <target hotplug='off'/>"));
}

/// NICs in the slots of pci.0 up to this one; slot 1 is the chipset's.
std::string nics_up_to(unsigned last) {
  std::string text;
  for (unsigned slot = 2; slot <= last; ++slot) text += nic(at(0, slot));
  return text;
}

// As libvirt 9.0 was seen to place them: with one slot left and no bridge the GPU is behind one.
TEST(GpuHotplug, WithoutRoomOnTheRootBusOfPcIsForHands) {
  const std::string bridge = controller(1, "pci-bridge", at(0, 0x1f));
  struct Case {
    std::string devices;
    unsigned moves;  ///< devices to move behind a bridge; 0 where there is room
  };
  for (const Case& each :
       {Case{nics_up_to(0x1d) + mdev(""), 0}, Case{nics_up_to(0x1e) + mdev(""), 1},
        Case{nics_up_to(0x1f) + mdev(""), 2}, Case{nics_up_to(0x1d) + mdev("") + mdev(""), 1},
        Case{nics_up_to(0x1d) + bridge + mdev(""), 0},
        Case{nics_up_to(0x1e) + bridge + mdev(""), 1},
        Case{nics_up_to(0x1e) + bridge + mdev(at(1, 1)), 1}}) {
    const std::string xml = domain("pc", each.devices);
    if (each.moves == 0)
      checked(xml);
    else
      EXPECT_THAT(refusal(xml),
                  AllOf(HasSubstr("pci-bridge"), HasSubstr("gpu-hotplug = warn"),
                        HasSubstr("move " + std::to_string(each.moves) + " other device"),
                        HasSubstr("<address type='pci' domain='0x0000' bus='0x01' slot='0x0")))
          << each.devices;
    EXPECT_EQ(closed(xml, only(Policy::warn)), xml);
  }
}

TEST(GpuHotplug, OfOtherRootBusesIsForHands) {
  EXPECT_THAT(refusal(domain("pseries", controller(0, "pci-root") + mdev(at(0, 5)))),
              HasSubstr("gpu-hotplug = "));
}

// ---- strict

TEST(GpuHotplug, StrictClosesEveryPort) {
  const std::string before =
      domain("q35", root + controller(1, "pcie-root-port") + controller(2, "pcie-root-port") +
                        controller(3, "pcie-root-port") + mdev(at(2)) + nic(at(1)));
  const std::string xml = checked(before, strict);
  const Document document = parse_document(xml);
  for (const Element& device : document.root.child("devices")->children)
    if (device.attribute("model") == "pcie-root-port") {
      EXPECT_EQ(device.child("target")->attribute("hotplug"), "off");
    }
  EXPECT_EQ(closed(xml), closed(before)) << "no longer strict";
  EXPECT_THAT(text_of(gaps(closed(before), strict)), HasSubstr("PCI controller 1: "));
}

TEST(GpuHotplug, StrictRefusesBridges) {
  EXPECT_THAT(refusal(domain("q35", root + controller(1, "pcie-root-port") +
                                        controller(2, "pcie-to-pci-bridge") + mdev(at(1))),
                      strict),
              AllOf(HasSubstr("PCI controller 2"), HasSubstr("remove the pcie-to-pci-bridge")));
}

TEST(GpuHotplug, WithoutAGpuNothingIsClosed) {
  const std::string xml = domain("q35", root + controller(1, "pcie-root-port") + nic(at(1)));
  EXPECT_EQ(closed(xml, strict), xml);
}

// ---- with what libvirt writes in between

/// What `virsh define` makes of a port of ours.
std::string completed(const std::string& xml) {
  const std::string target = "<target hotplug='off'/>";
  const std::string port = "model='pcie-root-port'>\n      ";
  const auto at_port = xml.find(port + target);
  if (at_port == xml.npos) return xml;
  const auto at_target = at_port + port.size();
  return xml.substr(0, at_target) +
         "<model name='pcie-root-port'/>\n      <target chassis='7' port='0x9' hotplug='off'/>\n"
         "      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x6'/>" +
         xml.substr(at_target + target.size());
}

class EachHotplug : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Protect, EachHotplug, testing::ValuesIn(fixtures()), test_name);

TEST_P(EachHotplug, DetachIsExactAfterLibvirtCompletedIt) {
  const std::string before = fixture(GetParam());
  for (const Protection& protection : {only(), strict}) {
    const std::string two_gpus = attach_gpu(attach_gpu(before, {"small"}), {"small"});
    if (!refusal(two_gpus, protection).empty()) continue;
    const std::string one = completed(closed(attach_gpu(before, {"small"}), protection));
    EXPECT_EQ(closed(one, protection), one);
    EXPECT_EQ(detach_gpus(one), detach_gpus(closed(before, protection)));
    const std::string two = completed(closed(attach_gpu(one, {"small"}), protection));
    EXPECT_THAT(gaps(two, protection), IsEmpty());
    EXPECT_EQ(detach_gpus(two), detach_gpus(one));
    for (const char* alias : {"ua-gpuward-0", "ua-gpuward-1"})
      EXPECT_EQ(detach_gpus(closed(detach_gpus(two, alias), protection)), detach_gpus(two))
          << alias;
  }
}

// ---- what gpuward 0.1.0 attached, with libvirt's ports

ClosedPorts closed_by_itself(const std::string& xml) {
  return close_ports_of_gpus(xml, any);
}

class EachAttached : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Protect, EachAttached, testing::ValuesIn(fixtures("attached")), test_name);

TEST_P(EachAttached, ClosesPortsAsProtectDoesOrNone) {
  const std::string bare = fixture("attached/" + GetParam());
  Protection old;  // as 0.1.0 did
  old.policy.gpu_hotplug = Policy::allow;
  old.qemu = {true, true};
  for (const std::string& before : {bare, protect(bare, old, any)}) {
    const ClosedPorts closed = closed_by_itself(before);
    EXPECT_EQ(closed_by_itself(closed.xml).ports.size(), 0);
    EXPECT_EQ(unprotect(closed.xml), unprotect(before));
    EXPECT_EQ(detach_gpus(closed.xml), detach_gpus(before));
    if (GetParam().starts_with("q35-minimal")) {
      EXPECT_EQ(closed.ports.size(), GetParam() == "q35-minimal.3" ? 3 : 1);
      EXPECT_EQ(closed.ports.front().alias, "ua-gpuward-0");
      EXPECT_THAT(gaps(closed.xml), IsEmpty());
      EXPECT_EQ(protect(closed.xml, only(), any), protect(before, only(), any));
    }
    if (GetParam().starts_with("pc-")) {
      EXPECT_EQ(closed.xml, before);
    }
  }
}

std::string with_metadata(const std::string& xml, const std::string& inside = "") {
  return replaced(xml, "  <os>",
                  "  <metadata>\n    <gpuward:domain xmlns:gpuward='urn:gpuward:domain:1'>" +
                      inside + "</gpuward:domain>\n  </metadata>\n  <os>");
}

TEST(GpuHotplug, ByItselfOnlyPortsOfAGpuAloneAreClosed) {
  const std::string port = controller(1, "pcie-root-port");
  const std::string alone = domain("q35", root + port + pci(0, at(1)) + pci(1, at(1, 0, 1)));
  EXPECT_EQ(closed_by_itself(with_metadata(alone)).ports.size(), 1) << "functions of one card";
  for (const std::string& xml :
       {alone,  // no metadata
        with_metadata(domain("pc", mdev(at(0, 5)))),
        with_metadata(domain("q35", root + mdev(at(0, 5)))),
        with_metadata(domain("q35", root + port + mdev(at(1)) + nic(at(1, 0, 1)))),
        with_metadata(domain("q35", root + port + nic(at(1)))),
        with_metadata(domain("q35", root + port + mdev(at(1)) + mdev(at(1, 0, 1)))),
        with_metadata(domain("q35", root + controller(1, "pcie-to-pci-bridge") + mdev(at(1, 1)))),
        with_metadata(
            domain("q35", root + port + controller(2, "pcie-switch-upstream-port", at(1)) +
                              controller(3, "pcie-switch-downstream-port", at(2)) + mdev(at(3)))),
        with_metadata(alone,
                      "<gpuward:protected by='attach'><gpuward:port index='1' hotplug=''/>"
                      "</gpuward:protected>")})
    EXPECT_EQ(closed_by_itself(xml).xml, xml);
}

TEST(GpuHotplug, AGuestAddressIsNeverChanged) {
  const std::string first = completed(closed(attach_gpu(fixture("q35-minimal"), {"small"})));
  Protection all = only();
  all.policy.pause = Policy::block;
  for (const std::string& later :
       {closed(first, all), closed(first, strict), closed(attach_gpu(first, {"small"}), all),
        closed(first, only(Policy::warn))}) {
    const auto address_of = [](const std::string& xml) {
      const Document document = parse_document(xml);
      const Domain domain = read_domain(document);
      return *pci_address_of(*document.root.child("devices")
                                  ->children[find_hostdev(domain, "ua-gpuward-0")->place]
                                  .child("address"));
    };
    EXPECT_EQ(address_of(later), address_of(first));
    EXPECT_EQ(detach_gpus(later), fixture("q35-minimal"));
  }
}

TEST(GpuHotplug, CompanionsThatCameIntoThePlaceLeaveWithTheGpu) {
  const std::string before = fixture("q35-minimal");
  const PciAddress one{0, 0x41, 0, 0}, two{0, 0x42, 0, 0}, two_1{0, 0x42, 0, 1};
  const std::string alone = attach_gpu(before, {"card", true, Use::whole, {one}});
  for (const std::string& xml :
       {alone, replaced(alone, "<alias name='ua-gpuward-0'/>",
                        "<alias name='ua-gpuward-0'/>\n      <address type='pci'/>")}) {
    const std::string placed = closed(xml);
    ASSERT_THAT(placed, HasSubstr("gpuward:place"));
    const std::string moved = assign_device(placed, "ua-gpuward-0", true, {two, two_1});
    ASSERT_THAT(moved, HasSubstr("multifunction='on'"));
    const std::string opened = unprotect(moved);
    const Document document = parse_document(opened);
    const auto& devices = document.root.child("devices")->children;
    const Domain domain = read_domain(document);
    ASSERT_EQ(domain.hostdevs.size(), 2u);
    for (const Hostdev& hostdev : domain.hostdevs) {
      const Element* const address = devices[hostdev.place].child("address");
      EXPECT_TRUE(!address || address->attributes.size() == 1) << hostdev.alias;
    }
    EXPECT_THAT(opened, Not(HasSubstr("multifunction='on'/>\n    </hostdev>")));
    EXPECT_EQ(next_pci_controller(devices),
              next_pci_controller(parse_document(before).root.child("devices")->children))
        << "the port of the place is gone";
    EXPECT_EQ(detach_gpus(moved), before);
  }
}

TEST(GpuHotplug, WhatWasMovedSinceStaysWhereItIs) {
  const std::string before = domain("q35", root + controller(1, "pcie-root-port") + mdev(""));
  std::string moved = closed(before);
  moved.replace(moved.find("bus='0x02'"), 10, "bus='0x01'");
  const std::string after = unprotect(moved);
  EXPECT_THAT(after, AllOf(HasSubstr("bus='0x01'"), Not(HasSubstr("index='2'"))));
}

}  // namespace
}  // namespace gpuward
