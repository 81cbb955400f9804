// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/guards.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "domain/xml_document.hpp"
#include "domain_fixtures.hpp"

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace gpuward {
namespace {

constexpr QemuCapabilities old_qemu{false, true}, new_qemu{true, true};

const std::string pm_off =
    "<pm>\n<suspend-to-mem enabled='no'/>\n<suspend-to-disk enabled='no'/>\n</pm>\n";

std::string gpu(const std::string& alias = "") {
  return "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
         "<address uuid='00000000-1d52-d8f3-2516-782e98ab3fa0'/></source>" +
         (alias.empty() ? "" : "<alias name='" + alias + "'/>") + "</hostdev>\n";
}

std::string override_of(const std::string& alias, const std::string& property) {
  return "<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:device alias='" +
         alias + "'><q:frontend>" + property + "</q:frontend></q:device></q:override>";
}

const std::string off = "<q:property name='enable-migration' type='string' value='off'/>";

/// Lines 1 to 3 are the domain's head, `top` begins in line 4.
std::string domain(const std::string& top, const std::string& devices = "",
                   const std::string& bottom = "") {
  return "<domain type='kvm'>\n<name>web01</name>\n"
         "<uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>\n" +
         top + "<devices>\n" + devices + "</devices>\n" + bottom + "</domain>\n";
}

std::string texts(const std::vector<Gap>& gaps) {
  std::string all;
  for (const Gap& gap : gaps)
    all += std::string(to_string(gap.guard)) + ' ' + std::to_string(gap.line) + ' ' + gap.element +
           (gap.can_be_fixed ? "\n" : " by hand\n");
  return all;
}

/// All hostdevs of the domain taken for GPUs.
std::vector<Gap> gaps(const std::string& xml, QemuCapabilities qemu = new_qemu) {
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  std::vector<const Hostdev*> gpus;
  for (const Hostdev& hostdev : domain.hostdevs) gpus.push_back(&hostdev);
  auto found = guard_gaps({document, gpus, GuardPolicy{}, qemu});
  // of these protection_gpu_hotplug_test.cpp tells
  std::erase_if(found, [](const Gap& gap) { return gap.guard == Guard::gpu_hotplug; });
  return found;
}

std::string found(const std::string& xml, QemuCapabilities qemu = new_qemu) {
  return texts(gaps(xml, qemu));
}

TEST(GuardGaps, AreNoneWhereNothingIsLetThrough) {
  EXPECT_EQ(found(domain(pm_off)), "");
  EXPECT_EQ(found(domain(pm_off, gpu("ua-x"), override_of("ua-x", off))), "");
}

TEST(GuardGaps, MigrationNeedsTheProperty) {
  EXPECT_EQ(found(domain(pm_off, gpu("ua-x"))), "migration 9 hostdev ua-x\n");
  EXPECT_EQ(found(domain(pm_off, gpu("ua-x")), old_qemu), "") << "it blocks by itself";
  EXPECT_EQ(found(domain(pm_off, gpu("ua-x") + gpu("ua-y"), override_of("ua-x", off))),
            "migration 10 hostdev ua-y\n");
  EXPECT_EQ(found(domain(pm_off, gpu("ua-x"),
                         "<override><device alias='ua-x'><frontend>" + replaced(off, "q:", "") +
                             "</frontend></device></override>")),
            "migration 9 hostdev ua-x\n")
      << "not in QEMU's namespace";
}

TEST(GuardGaps, MigrationThatWasSwitchedOnIsForHandsToMend) {
  for (const std::string& property :
       {replaced(off, "'off'", "'on'"), replaced(off, "'off'", "'auto'"),
        replaced(replaced(off, "'string'", "'bool'"), "'off'", "'false'"),
        replaced(off, "'string'", "'remove'")})
    EXPECT_EQ(found(domain(pm_off, gpu("ua-x"), "\n\n" + override_of("ua-x", property))),
              "migration 13 hostdev ua-x by hand\n");
}

TEST(GuardGaps, OfAnOldQemuIsMigrationThatWasSwitchedOn) {
  const std::string on = "<q:property name='x-enable-migration' type='bool' value='true'/>";
  const std::string xml = domain(pm_off, gpu("ua-x"), "\n\n" + override_of("ua-x", on));
  EXPECT_EQ(found(xml, old_qemu), "migration 13 hostdev ua-x by hand\n");
  EXPECT_EQ(found(replaced(xml, "q:device alias='ua-x'", "q:device alias='ua-y'"), old_qemu), "")
      << "another device";
  for (const char* value : {"'false'", "'off'"})
    EXPECT_EQ(found(replaced(xml, "'true'", value), old_qemu), "") << value;
  const auto with_argument = [](const std::string& value) {
    return found(domain(pm_off, gpu("ua-x"),
                        "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
                        "<q:arg value='" +
                            value + "'/></q:commandline>"),
                 old_qemu);
  };
  for (const char* value : {"device.ua-x.x-enable-migration=on", "vfio-pci.x-enable-migration=1",
                            "driver=vfio-pci,property=x-enable-migration,value=on",
                            "{&quot;x-enable-migration&quot;:true}"})
    EXPECT_EQ(with_argument(value), "migration 12 qemu:arg by hand\n") << value;
  for (const char* value :
       {"device.ua-x.x-enable-migration=off", "vfio-pci.x-enable-migration=false",
        "driver=vfio-pci,property=x-enable-migration,value=off", "vfio-pci.x-enable-migration=no",
        "{&quot;x-enable-migration&quot; : false}", "device.ua-nic.x-enable-migration=on"})
    EXPECT_EQ(with_argument(value), "") << value;
}

TEST(GuardGaps, AHostdevWithoutAliasGetsItsNumberFromLibvirt) {
  EXPECT_EQ(found(domain(pm_off, gpu(), override_of("hostdev0", off))), "");
  EXPECT_EQ(found(domain(pm_off, gpu() + gpu(), override_of("hostdev1", off))),
            "migration 9 hostdev hostdev0\n");
  EXPECT_EQ(found(domain(pm_off, gpu("ua-x") + gpu(), override_of("hostdev0", off))),
            "migration 9 hostdev ua-x\n")
      << "one with an alias of its own takes no number";
  EXPECT_EQ(found(domain(pm_off, gpu("hostdev7"), override_of("hostdev0", off))), "")
      << "libvirt drops an alias without ua-";
  EXPECT_EQ(found(domain(pm_off, "<hostdev type='usb'/>" + gpu() + "<interface type='hostdev'/>",
                         override_of("hostdev2", off))),
            "")
      << "interfaces come first";
}

TEST(GuardGaps, PauseIsWhatTheGuestDoesItself) {
  EXPECT_EQ(found(domain("")), "pause 1 pm\n");
  EXPECT_EQ(found(domain("\n<pm/>")), "pause 5 pm\n");
  for (const char* name : {"suspend-to-mem", "suspend-to-disk"}) {
    EXPECT_EQ(found(domain(replaced(pm_off, std::string(name) + " enabled='no'",
                                    std::string(name) + " enabled='yes'"))),
              "pause 4 pm\n");
    EXPECT_EQ(found(domain(replaced(pm_off, std::string(name) + " enabled='no'", name))),
              "pause 4 pm\n");
    EXPECT_EQ(found(domain(replaced(pm_off, '<' + std::string(name) + " enabled='no'/>", ""))),
              "pause 4 pm\n");
  }
}

TEST(GuardGaps, OnlyX86MachinesSuspendThemselves) {
  const auto on = [](const std::string& arch) {
    return found(domain("<os><type arch='" + arch + "'>hvm</type></os>"));
  };
  EXPECT_EQ(on("x86_64"), "pause 1 pm\n");
  EXPECT_EQ(on("i686"), "pause 1 pm\n");
  EXPECT_EQ(on("aarch64"), "");
  EXPECT_EQ(on("s390x"), "");
}

const std::string cells = "<cpu><numa><cell id='0' memory='131072' unit='KiB'/></numa></cpu>";

std::string memory(const std::string& most, const std::string& total = "131072") {
  return "<maxMemory slots='1' unit='KiB'>" + most + "</maxMemory>\n<memory unit='KiB'>" + total +
         "</memory>\n" + cells;
}

std::string dimm(const std::string& model = "dimm", const std::string& requested = "") {
  return "<memory model='" + model + "'><target><size unit='KiB'>131072</size>" +
         (requested.empty() ? "" : "<requested unit='KiB'>" + requested + "</requested>") +
         "</target></memory>\n";
}

TEST(GuardGaps, MemoryWithoutDevicesNeedsNoRoom) {
  EXPECT_EQ(found(domain(pm_off + memory("131072"))), "memory-hotplug 8 maxMemory\n");
  EXPECT_EQ(found(domain(pm_off + "<memory unit='KiB'>131072</memory>")), "");
}

TEST(GuardGaps, MemoryWithDevicesNeedsRoomForTheseOnly) {
  EXPECT_EQ(found(domain(pm_off + memory("262144", "262144"), dimm())), "");
  EXPECT_EQ(found(domain(pm_off + memory("262145", "262144"), dimm())),
            "memory-hotplug 8 maxMemory\n");
  EXPECT_EQ(found(domain(pm_off + replaced(memory("262144", "262144"), "'1'", "'2'"), dimm())),
            "memory-hotplug 8 maxMemory\n");
  EXPECT_EQ(found(domain(pm_off + memory("262144", "262144"), dimm("sgx-epc"))),
            "memory-hotplug 8 maxMemory\n")
      << "that is none of the hot-pluggable";
  EXPECT_THAT(gaps(domain(pm_off + memory("262145", "262144"), dimm()))[0].text,
              HasSubstr("262145 KiB in 1 slots, of which 262144 KiB in 1 are in use"));
}

TEST(GuardGaps, MemoryIsCountedAsLibvirtRoundsItUp) {
  const std::string odd = replaced(memory("263168", "262145"), "'131072'", "'131073'");
  EXPECT_EQ(found(domain(pm_off + odd, dimm())), "") << "the cell takes 132096";
  EXPECT_EQ(found(domain(pm_off + replaced(odd, "263168", "263169"), dimm())),
            "memory-hotplug 8 maxMemory\n");
}

TEST(GuardGaps, MemoryThatCanGrowIsForHandsToMend) {
  const auto with = [](const std::string& requested) {
    return found(domain(pm_off + memory("262144", "262144"), dimm("virtio-mem", requested)));
  };
  EXPECT_EQ(with("131072"), "");
  EXPECT_EQ(with("65536"), "memory-hotplug 11 memory model='virtio-mem' by hand\n");
  EXPECT_EQ(with("rubbish"), "memory-hotplug 11 memory model='virtio-mem' by hand\n");
}

TEST(GuardGaps, ComeInTheOrderOfGuards) {
  EXPECT_EQ(found(fixture("memory-hotplug")), "pause 1 pm\nmemory-hotplug 4 maxMemory\n");
}

TEST(GuardWords, AreTheKeysOfTheConfiguration) {
  const GuardPolicy policy{.migration = Policy::warn,
                           .pause = Policy::allow,
                           .memory_hotplug = Policy::warn,
                           .gpu_hotplug = Policy::allow};
  EXPECT_EQ(to_string(Guard::migration), "migration");
  EXPECT_EQ(to_string(Guard::pause), "pause");
  EXPECT_EQ(to_string(Guard::memory_hotplug), "memory-hotplug");
  EXPECT_EQ(to_string(Guard::gpu_hotplug), "gpu-hotplug");
  EXPECT_EQ(policy_of(policy, Guard::migration), Policy::warn);
  EXPECT_EQ(policy_of(policy, Guard::pause), Policy::allow);
  EXPECT_EQ(policy_of(policy, Guard::memory_hotplug), Policy::warn);
  EXPECT_EQ(policy_of(policy, Guard::gpu_hotplug), Policy::allow);
}

std::string disk(const std::string& policy, const std::string& more = "",
                 const std::string& bus = "virtio") {
  return "<disk type='file' device='disk'><driver name='qemu'" + policy +
         "/><target dev='vda' bus='" + bus + "'/>" + more + "</disk>\n";
}

std::string chosen(const std::string& devices) {
  return texts(configured_pauses(parse_document(domain("", devices))));
}

TEST(ChosenPauses, AreDiskPoliciesAndWatchdogActions) {
  for (const char* policy : {"", " error_policy='stop'", " error_policy='enospace'",
                             " error_policy='report' rerror_policy='stop'"})
    EXPECT_EQ(chosen(disk(policy)), "pause 5 disk vda\n") << policy;
  for (const char* policy : {" error_policy='report'", " error_policy='ignore'",
                             " error_policy='report' rerror_policy='ignore'"})
    EXPECT_EQ(chosen(disk(policy)), "") << policy;
  EXPECT_EQ(chosen("<watchdog model='itco' action='pause'/>"), "pause 5 watchdog\n");
  EXPECT_EQ(chosen("<watchdog model='itco' action='reset'/><watchdog/>"), "");
}

TEST(ChosenPauses, AreNotOfDisksThatAreNeverWritten) {
  EXPECT_EQ(chosen(disk("", "<readonly/>")), "");
  EXPECT_EQ(chosen(disk("", "", "usb")), "");
  EXPECT_EQ(chosen(replaced(disk(""), "device='disk'", "device='cdrom'")), "");
  EXPECT_EQ(chosen(replaced(disk(" error_policy='stop'"), "device='disk'", "device='cdrom'")),
            "pause 5 disk vda\n");
}

TEST(EmulatorOf, IsWhatTheDomainNamesOrLibvirtsDefault) {
  const auto of = [](const std::string& xml) { return emulator_of(parse_document(xml)); };
  EXPECT_EQ(of(domain("", "<emulator> /opt/qemu </emulator>")), "/opt/qemu");
  EXPECT_EQ(of(domain("")), "/usr/bin/qemu-system-x86_64");
  EXPECT_EQ(of(domain("<os><type arch='aarch64'>hvm</type></os>")), "/usr/bin/qemu-system-aarch64");
  EXPECT_EQ(of(domain("<os><type arch='i686'>hvm</type></os>")), "/usr/bin/qemu-system-i386");
}

}  // namespace
}  // namespace gpuward
