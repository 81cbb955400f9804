// SPDX-License-Identifier: LGPL-2.1-or-later
// What <qemu:commandline> and <qemu:override> refer to stays the same device in every edit, or the
// edit is refused and names the reference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attach/assign.hpp"
#include "attach/attach.hpp"
#include "attach/detach.hpp"
#include "domain/device_names.hpp"
#include "domain_fixtures.hpp"
#include "protection/protect.hpp"

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

namespace gpuward {
namespace {

const std::string usb =
    "\n    <hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>";
const std::string gpu =
    "\n    <hostdev mode='subsystem' type='pci' managed='yes'>\n      <source>\n"
    "        <address domain='0' bus='1' slot='0' function='0'/>\n      </source>\n    </hostdev>";

std::string domain(const std::string& devices) {
  return "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
         "  <name>web01</name>\n  <uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>\n"
         "  <os><type arch='x86_64' machine='q35'>hvm</type></os>\n"
         "  <devices>" +
         devices + "\n  </devices>\n</domain>\n";
}

/// As someone does it who edits the domain: these arguments are written at its end.
std::string with_arguments(const std::string& xml, const std::string& option,
                           const std::string& value) {
  return replaced(xml, "\n</domain>",
                  "\n  <qemu:commandline>\n    <qemu:arg value='" + option +
                      "'/>\n    <qemu:arg value='" + value +
                      "'/>\n  </qemu:commandline>\n</domain>");
}

std::string with_override(const std::string& xml, const std::string& alias) {
  return replaced(xml, "\n</domain>",
                  "\n  <qemu:override>\n    <qemu:device alias='" + alias +
                      "'>\n      <qemu:frontend>\n        <qemu:property name='x-vga' "
                      "type='bool' value='true'/>\n      </qemu:frontend>\n    </qemu:device>\n"
                      "  </qemu:override>\n</domain>");
}

std::string protect_gpus(const std::string& xml, QemuCapabilities qemu = {true, true}) {
  return protect(xml, {GuardPolicy{}, qemu, true},
                 [](const Hostdev& hostdev) { return hostdev.type == Hostdev::Type::pci; });
}

std::string unprotect_error(const std::string& xml) {
  return error_of([&] { unprotect(xml); });
}
std::string detach_error(const std::string& xml) {
  return error_of([&] { detach_gpus(xml); });
}

TEST(References, ToTheAliasThatProtectWroteKeepItThere) {
  const std::string xml = protect_gpus(domain(gpu));
  ASSERT_THAT(xml, HasSubstr("<alias name='ua-gpuguard-0'/>"));
  EXPECT_THAT(
      unprotect_error(with_arguments(xml, "-set", "device.ua-gpuguard-0.x-vga=on")),
      AllOf(HasSubstr("domain 'web01'"), HasSubstr("-set device.ua-gpuguard-0.x-vga=on"),
            HasSubstr("refers to device ua-gpuguard-0, which this change removes or renames"),
            HasSubstr("virsh edit web01")));
  EXPECT_THAT(unprotect_error(with_arguments(xml, "-device", "x,peer=ua-gpuguard-0")),
              HasSubstr("-device x,peer=ua-gpuguard-0"));
  EXPECT_THAT(
      unprotect_error(with_arguments(xml, "-device", R"({"driver":"x","peer":"ua-gpuguard-0"})")),
      HasSubstr("ua-gpuguard-0"));
  const std::string longer = with_arguments(xml, "-set", "device.ua-gpuguard-01.x-vga=on");
  EXPECT_EQ(unprotect(longer),
            with_arguments(domain(gpu), "-set", "device.ua-gpuguard-01.x-vga=on"));
}

TEST(References, ToTheAliasThatProtectWroteAreNoObstacleToProtect) {
  const auto set = [](const std::string& xml) {
    return with_arguments(xml, "-set", "device.ua-gpuguard-0.x-vga=on");
  };
  const auto with_before = [](const std::string& xml, const std::string& device) {
    return replaced(xml, "<devices>", "<devices>" + device);
  };
  const std::string xml = set(protect_gpus(domain(gpu)));
  EXPECT_EQ(protect_gpus(xml), xml);
  const std::string more =
      replaced(xml, "<devices>", "<maxMemory slots='2'>9</maxMemory><devices>");
  EXPECT_THAT(protect_gpus(more), HasSubstr("<alias name='ua-gpuguard-0'/>"));
  // another GPU, before it: the first one keeps its alias
  const std::string other = replaced(gpu, "bus='1'", "bus='2'");
  const std::string two = protect_gpus(with_before(xml, other));
  const Domain both = parse_domain(two);
  ASSERT_EQ(both.hostdevs.size(), 2u);
  EXPECT_EQ(both.hostdevs[0].alias, "ua-gpuguard-1");
  EXPECT_EQ(both.hostdevs[1].alias, "ua-gpuguard-0");
  EXPECT_EQ(protect_gpus(two), two);
  // without a reference to them the aliases go where they are of no use any more
  const std::string plain = protect_gpus(with_before(protect_gpus(domain(gpu)), other));
  const std::string old = protect_gpus(plain, {false, true});
  EXPECT_THAT(old, AllOf(HasSubstr("gpuward:protected"), Not(HasSubstr("ua-gpuguard-"))));
  EXPECT_EQ(unprotect(old), with_before(domain(gpu), other));
  EXPECT_EQ(unprotect(plain), with_before(domain(gpu), other));
  EXPECT_THAT(error_of([&] { protect_gpus(two, {false, true}); }), HasSubstr("ua-gpuguard-0"));
}

TEST(References, OfAnOverrideKeepAnAliasThatProtectNoLongerNeeds) {
  const std::string more =
      replaced(protect_gpus(domain(gpu)), "<qemu:frontend>",
               "<qemu:frontend><qemu:property name='x-vga' type='bool' value='true'/>");
  const std::string old = protect_gpus(more, {false, true});
  EXPECT_THAT(old, AllOf(HasSubstr("<alias name='ua-gpuguard-0'/>"), HasSubstr("x-vga"),
                         Not(HasSubstr("enable-migration"))));
}

TEST(References, WrittenBeforeProtectGetNoDeviceByIt) {
  const std::string before = with_arguments(domain(gpu), "-set", "device.ua-gpuguard-0.x-vga=on");
  EXPECT_THAT(protect_gpus(before), HasSubstr("<alias name='ua-gpuguard-1'/>"));
  EXPECT_EQ(unprotect(protect_gpus(before)), before);
}

TEST(References, ByNumberAreNotMovedToAnotherHostdev) {
  // hostdev0 is the USB device as long as the GPU has the alias of protect.
  for (const std::string& devices : {gpu + usb, usb + gpu}) {
    const std::string xml = protect_gpus(domain(devices));
    const bool moves = devices.starts_with(gpu);
    const std::string set = with_arguments(xml, "-set", "device.hostdev0.x=1");
    const std::string error = unprotect_error(set);
    EXPECT_EQ(error.find("\"-set device.hostdev0.x=1\" refers to device hostdev0, which is another "
                         "device after this change") != error.npos,
              moves)
        << error;
    // one that refers to nothing while the domain is protected
    EXPECT_THAT(unprotect_error(with_arguments(xml, "-set", "device.hostdev1.x=1")),
                HasSubstr("hostdev1"));
    EXPECT_EQ(unprotect_error(with_arguments(xml, "-set", "device.hostdev2.x=1")), "");
  }
  // libvirt does not say anything where an override has no device
  const std::string old = protect_gpus(domain(gpu + usb), {false, true});
  EXPECT_EQ(unprotect_error(with_override(old, "hostdev0")), "") << "no alias of protect";
}

TEST(References, OfAnOverrideCount) {
  const std::string xml = protect_gpus(domain(gpu + usb));
  const std::string other = replaced(xml, "<qemu:override>",
                                     "<qemu:override><qemu:device alias='hostdev0'>"
                                     "<qemu:frontend><qemu:property name='x' type='bool' "
                                     "value='true'/></qemu:frontend></qemu:device>");
  EXPECT_THAT(unprotect_error(other),
              AllOf(HasSubstr("<qemu:device alias='hostdev0'>"), HasSubstr("another device")));
}

TEST(References, ToAGpuAreRefusedAtDetach) {
  const std::string before = domain(usb);
  const std::string one = attach_gpu(before, {"small"});
  EXPECT_THAT(detach_error(with_arguments(one, "-set", "device.ua-gpuward-0.x-vga=on")),
              AllOf(HasSubstr("-set device.ua-gpuward-0.x-vga=on"), HasSubstr("removes")));
  EXPECT_THAT(detach_error(with_override(one, "ua-gpuward-0")),
              HasSubstr("<qemu:device alias='ua-gpuward-0'>"));
  // its own migration property goes with it, what someone added to it does not
  const std::string protected_one =
      protect(attach_gpu(before, {"small"}), {GuardPolicy{}, {true, true}, false},
              [](const Hostdev&) { return true; });
  EXPECT_EQ(detach_gpus(protected_one), before);
  EXPECT_THAT(detach_error(replaced(protected_one, "<qemu:frontend>",
                                    "<qemu:frontend><qemu:property name='x-vga' type='bool' "
                                    "value='true'/>")),
              HasSubstr("<qemu:device alias='ua-gpuward-0'>"));
  // the other of two
  const std::string two =
      with_arguments(attach_gpu(one, {"small"}), "-set", "device.ua-gpuward-1.x-vga=on");
  EXPECT_THAT(error_of([&] { detach_gpus(two, "ua-gpuward-1"); }), HasSubstr("ua-gpuward-1"));
  EXPECT_EQ(error_of([&] { detach_gpus(two, "ua-gpuward-0"); }), "");
}

TEST(References, WrittenBeforeTheGpuAreNoObstacle) {
  const std::string xml = with_arguments(domain(usb), "-set", "device.ua-gpuward-0.x-vga=on");
  EXPECT_THAT(attach_gpu(xml, {"small"}), HasSubstr("<alias name='ua-gpuward-0'/>"));
}

TEST(References, ToTheRootPortOfAGpuAreRefusedAtDetach) {
  const std::string before = domain("<controller type='pci' index='0' model='pcie-root'/>" + usb);
  const GpuToAttach card{"card", true, Use::whole, {{0, 0x41, 0, 0}, {0, 0x41, 0, 1}}};
  const std::string xml = attach_gpu(before, card);
  ASSERT_THAT(xml, HasSubstr("index='1' model='pcie-root-port'"));
  EXPECT_EQ(detach_gpus(xml), before);
  EXPECT_THAT(detach_error(with_arguments(xml, "-device", "x,bus=pci.1,addr=0x2")),
              HasSubstr("-device x,bus=pci.1,addr=0x2"));
  EXPECT_EQ(detach_error(with_arguments(xml, "-device", "x,bus=pci.10")), "");
  // The bus that libvirt is going to add, as the XML does not have it.
  EXPECT_THAT(error_of([&] {
                attach_gpu(with_arguments(before, "-device", "x,bus=pci.1,addr=0x2"), card);
              }),
              AllOf(HasSubstr("pci.1"), HasSubstr("another device")));
}

TEST(References, ToAFunctionThatTheOtherCardLacksAreRefused) {
  const std::string xml = with_arguments(
      attach_gpu(domain(usb), {"card", true, Use::whole, {{0, 0x41, 0, 0}, {0, 0x41, 0, 1}}}),
      "-set", "device.ua-gpuward-0-1.x=1");
  const auto to = [&](const std::vector<PciAddress>& functions) {
    return error_of([&] { assign_device(xml, "ua-gpuward-0", true, functions); });
  };
  EXPECT_EQ(to({{0, 0x42, 0, 0}, {0, 0x42, 0, 1}}), "");
  EXPECT_THAT(to({{0, 0x42, 0, 0}}), HasSubstr("device.ua-gpuward-0-1.x=1"));
  // what protect wrote for that function goes with it
  const std::string closed = protect_gpus(
      attach_gpu(domain(usb), {"card", true, Use::whole, {{0, 0x41, 0, 0}, {0, 0x41, 0, 1}}}));
  ASSERT_THAT(closed, HasSubstr("<qemu:device alias='ua-gpuward-0-1'>"));
  const std::string alone = assign_device(closed, "ua-gpuward-0", true, {{0, 0x42, 0, 0}});
  EXPECT_THAT(alone, AllOf(HasSubstr("<qemu:device alias='ua-gpuward-0'>"),
                           Not(HasSubstr("ua-gpuward-0-1"))));
}

TEST(References, AreNotMovedByTheConsoleThatComesBack) {
  const std::string unix_channel = "<channel type='unix'><target name='a'/></channel>";
  const std::string spice = "<channel type='spicevmc'><target name='b'/></channel>";
  const auto without_console = [&](const std::string& devices) {
    return attach_gpu(domain(devices), {"bare", false});
  };
  const std::string moves = without_console(spice + unix_channel + "<video/>");
  EXPECT_THAT(detach_error(with_arguments(moves, "-set", "device.channel0.x=1")),
              AllOf(HasSubstr("-set device.channel0.x=1"), HasSubstr("another device")));
  EXPECT_THAT(detach_error(with_arguments(moves, "-device", "x,chardev=charchannel0")),
              HasSubstr("chardev=charchannel0"));
  EXPECT_EQ(detach_error(with_arguments(moves, "-set", "device.mychannel0.x=1")), "");
  const std::string stays = without_console(unix_channel + spice + "<video/>");
  EXPECT_EQ(
      detach_gpus(with_arguments(stays, "-set", "device.channel0.x=1")),
      with_arguments(domain(unix_channel + spice + "<video/>"), "-set", "device.channel0.x=1"));
  EXPECT_THAT(detach_error(with_arguments(stays, "-set", "device.channel1.x=1")),
              HasSubstr("channel1"));
  const std::string serial =
      without_console("<serial type='spiceport'/><serial type='pty'/><console type='pty'/>");
  EXPECT_THAT(detach_error(with_arguments(serial, "-set", "device.serial0.x=1")),
              HasSubstr("serial0"));
}

TEST(References, ToADeviceWithAnAliasOfItsOwnThatTheConsoleTakesWithIt) {
  EXPECT_THAT(error_of([] {
                attach_gpu(with_arguments(domain("<video><alias name='ua-v'/></video>"), "-set",
                                          "device.ua-v.x=1"),
                           {"bare", false});
              }),
              AllOf(HasSubstr("-set device.ua-v.x=1"), HasSubstr("removes")));
}

TEST(References, ToOtherDevicesAreNoObstacle) {
  const std::string devices =
      "<disk><alias name='ua-disk0'/></disk><controller type='pci' index='1'/>" + usb + gpu;
  for (const char* reference :
       {"device.ua-disk0.x=1", "device.net0.mac=1", "device.hostdev0.x=1", "device.pci.1.x=1"}) {
    const std::string before = with_arguments(domain(devices), "-set", reference);
    EXPECT_EQ(detach_gpus(attach_gpu(before, {"bare", false})), before) << reference;
    EXPECT_EQ(unprotect(protect_gpus(before)), before) << reference;
  }
}

TEST(References, AreNotLookedForWhereThereIsNoCommandLine) {
  EXPECT_EQ(error_of([] { require_same_devices("no XML", "neither"); }), "");
}

}  // namespace
}  // namespace gpuward
