// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/qemu_commandline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "domain/qemu_override.hpp"

using testing::ElementsAre;
using testing::IsEmpty;

namespace gpuward {
namespace {

std::string with(const std::string& inside) {
  return "<domain xmlns:qemu='" + std::string(qemu_namespace) + "'>" + inside + "</domain>";
}

std::string arguments(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += "\n<qemu:arg value='" + value + "'/>";
  return with("<qemu:commandline>" + text + "</qemu:commandline>");
}

std::string override_of(const std::string& alias, const std::string& property,
                        const std::string& value) {
  return "<qemu:override><qemu:device alias='" + alias + "'><qemu:frontend><qemu:property name='" +
         property + "' type='string' value='" + value +
         "'/></qemu:frontend></qemu:device></qemu:override>";
}

std::vector<std::string> devices_in(const std::string& xml) {
  std::vector<std::string> texts;
  for (const CommandLineDevice& device : command_line_devices(parse_document(xml)))
    texts.push_back(device.text);
  return texts;
}

std::string reference_in(const std::string& xml) {
  return alias_reference(parse_document(xml), "hostdev");
}

TEST(CommandLineDevices, AreFoundInBothSpellings) {
  for (const char* option : {"-device", "--device"})
    EXPECT_THAT(devices_in(arguments({option, "vfio-pci,host=0000:01:00.0"})),
                ElementsAre("vfio-pci,host=0000:01:00.0"));
  EXPECT_THAT(devices_in(arguments({"-device", "driver=vfio-pci,sysfsdev=/sys/x"})),
              ElementsAre("driver=vfio-pci,sysfsdev=/sys/x"));
}

TEST(CommandLineDevices, AreFoundInJson) {
  EXPECT_EQ(
      devices_in(arguments({"-device", "{\"driver\":\"vfio-pci\",\"host\":\"01:00.0\"}"})).size(),
      1u);
  EXPECT_EQ(devices_in(arguments({"-device", "{\"driver\":\"\\u0076fio-pci\"}"})).size(), 1u);
}

TEST(CommandLineDevices, AreFoundByTheDriverAlone) {
  for (const char* device :
       {"vfio-pci-nohotplug,sysfsdev=/sys/x", "vfio-ap,sysfsdev=/sys/x", "vfio-ccw,sysfsdev=/sys/x",
        "id=a,host=01:00.0,driver=vfio-pci", "{ \"host\": \"01:00.0\", \"driver\" : \"vfio-pci\" }",
        "{&apos;driver&apos;:&apos;vfio-pci&apos;}", "{\"d\\u0072iver\":\"vfio-pci\"}",
        "{\"driver\":\"vfio-p"})
    EXPECT_EQ(devices_in(arguments({"-device", device})).size(), 1u) << device;
  for (const char* device :
       {"{\"driver\":\"vfio-user-pci\",\"socket\":{\"path\":\"/x\",\"type\":\"unix\"}}",
        "vfio-user-pci,socket.path=/x", "pcie-root-port,id=vfio0", "nvme,serial=vfio-pci",
        "nvme,serial=a,,driver=vfio-pci", "{\"driver\":\"nvme\",\"serial\":\"vfio-pci\"}",
        "{\"driver\":\"nvme\",\"serial\":\"\\u0041\"}"})
    EXPECT_THAT(devices_in(arguments({"-device", device})), IsEmpty()) << device;
}

TEST(CommandLineDevices, AreFoundWhereASourceIsSet) {
  EXPECT_THAT(devices_in(arguments({"-set", "device.hostdev0.host=0000:02:00.0"})),
              ElementsAre("device.hostdev0.host=0000:02:00.0"));
  EXPECT_THAT(devices_in(with(override_of("hostdev0", "host", "0000:02:00.0"))),
              ElementsAre("host=0000:02:00.0"));
  EXPECT_THAT(devices_in(with(override_of("hostdev0", "sysfsdev", "/sys/x"))),
              ElementsAre("sysfsdev=/sys/x"));
}

TEST(CommandLineDevices, AreNotWhatElseIsThere) {
  EXPECT_THAT(devices_in(arguments({"-fw_cfg", "name=opt/x,string=1", "-device", "edu", "-set",
                                    "device.hostdev0.x-pci-sub-vendor-id=0x1043"})),
              IsEmpty());
  EXPECT_THAT(devices_in(with(override_of("hostdev0", "x-vga", "on"))), IsEmpty());
}

TEST(Readconfig, IsFoundByItsLine) {
  EXPECT_EQ(readconfig_line(parse_document(arguments({"-readconfig", "/etc/x"}))), 2);
  EXPECT_EQ(readconfig_line(parse_document(arguments({"-device", "edu"}))), 0);
}

TEST(AliasReference, IsAWordOfItsOwn) {
  EXPECT_EQ(reference_in(arguments({"-set", "device.hostdev0.x=1"})), "-set device.hostdev0.x=1");
  EXPECT_EQ(reference_in(with(override_of("hostdev12", "x", "y"))),
            "<qemu:device alias='hostdev12'>");
  EXPECT_EQ(reference_in(arguments({"-set", "device.ua-hostdev0.x=1"})), "");
  EXPECT_EQ(reference_in(arguments({"-set", "device.hostdevice.x=1"})), "");
}

TEST(MigrationProperty, IsTheOneThatDoesNotSwitchItOff) {
  const std::string off = override_of("hostdev0", "enable-migration", "off"),
                    on = override_of("hostdev0", "enable-migration", "on");
  const auto is_off_in = [](const std::string& overrides) {
    const std::string xml = with(overrides);
    const Document document = parse_document(xml);
    return is_off(*migration_property(document, "hostdev0"));
  };
  EXPECT_TRUE(is_off_in(off));
  EXPECT_TRUE(is_off_in(off + off));
  EXPECT_FALSE(is_off_in(off + on)) << "in libvirt the last one wins";
  EXPECT_FALSE(is_off_in(on + off));
}

}  // namespace
}  // namespace gpuward
