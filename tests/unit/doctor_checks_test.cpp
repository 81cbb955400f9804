// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/doctor/findings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.hpp"
#include "base/file.hpp"
#include "domain/domain.hpp"
#include "fake_host.hpp"
#include "inventory/snapshot.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"
#include "state/start_permit.hpp"

namespace gpuward {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
namespace fs = std::filesystem;

const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid web02 = *parse_uuid("00000000-1d52-d8f3-2516-782e98ab3fa0");
const std::string card = "0000:41:00.0";

/// A finding in one line: "problem OBJECT: FOUND | FIX".
std::vector<std::string> told(const Findings& findings) {
  std::vector<std::string> lines;
  for (const Finding& finding : findings)
    lines.push_back((finding.severity == Finding::Severity::problem ? "problem " : "warning ") +
                    finding.object + ": " + finding.found + " | " + finding.fix);
  return lines;
}

class DoctorTest : public testing::Test {
 protected:
  void file(const std::string& path, const std::string& text, unsigned mode = 0644) {
    fs::create_directories(fs::path(root_.at(path)).parent_path());
    write_file_atomically(root_.at(path), text, mode);
    ASSERT_EQ(::chmod(root_.at(path).c_str(), mode), 0);
  }
  Config config(const std::string& text) {
    host_.config(text);
    return load_config(config_files(root_)).config;
  }
  Findings devices(const Config& config) const {
    return check_devices(root_, config, read_host(root_, config));
  }
  Findings iommu(const Config& config) const {
    return check_iommu(root_, config, read_host(root_, config));
  }
  Findings config_findings(const LoadedConfig& loaded, Tristate polkit) const {
    return check_config(root_, loaded, read_host(root_, loaded.config), polkit);
  }
  Findings other_tools(const Config& config) const {
    return check_other_tools(root_, config, read_host(root_, config));
  }
  /// Another domain has it.
  void claim_card(ClaimedDevice::State state) {
    ClaimedDevice device{
        .state = state, .alias = "-", .profile = "-", .instance = {}, .parent = card, .type = "-"};
    device.use = Use::whole;
    device.address = *parse_pci_address(card);
    Claims(root_).make_ready();
    Claims(root_).write({web02, "web02", {device}});
  }
  /// The card, given whole by profile `card`.
  static ClaimedDevice whole_card(ClaimedDevice::State state) {
    ClaimedDevice device{.state = state,
                         .alias = "ua-gpuward-0",
                         .profile = "card",
                         .instance = {},
                         .parent = card,
                         .type = "-"};
    device.use = Use::whole;
    device.address = *parse_pci_address(card);
    return device;
  }
  /// The card is in this IOMMU group.
  void group(const std::string& number, const std::string& type) { group_of(card, number, type); }
  void group_of(const std::string& gpu, const std::string& number, const std::string& type) {
    file("/sys/kernel/iommu_groups/" + number + "/type", type + "\n");
    const std::string link = root_.sys("bus/pci/devices/") + gpu + "/iommu_group";
    fs::remove(link);
    fs::create_symlink("../../../kernel/iommu_groups/" + number, link);
  }

  FakeHost host_;
  Root root_ = host_.root();
};

// --- iommu ---

using DoctorIommu = DoctorTest;

TEST_F(DoctorIommu, does_not_matter_without_a_pci_gpu) {
  host_.parent("mtty").type("mtty-2", 12);
  EXPECT_THAT(iommu({}), IsEmpty());
}

TEST_F(DoctorIommu, is_off) {
  host_.pci_gpu(card);
  file("/proc/cmdline", "root=/dev/sda1 quiet");
  file("/proc/cpuinfo", "vendor_id\t: GenuineIntel\n");
  EXPECT_THAT(told(iommu({})),
              ElementsAre(AllOf(HasSubstr("warning " + card + ": IOMMU is disabled"),
                                HasSubstr("add intel_iommu=on to the kernel command line"))));
  EXPECT_THAT(told(iommu(config("[gpu " + card + "]\nuse = whole\n"))),
              ElementsAre(HasSubstr("problem " + card)));
  EXPECT_THAT(iommu(config("[gpu " + card + "]\nuse = off\n")), IsEmpty());
}

TEST_F(DoctorIommu, the_fix_names_what_turned_it_off) {
  host_.pci_gpu(card);
  file("/proc/cmdline", "quiet amd_iommu=off");
  EXPECT_THAT(told(iommu({})), ElementsAre(HasSubstr("remove amd_iommu=off from")));
  file("/proc/cmdline", "quiet intel_iommu=on");
  file("/proc/cpuinfo", "vendor_id\t: GenuineIntel\n");
  EXPECT_THAT(told(iommu({})), ElementsAre(HasSubstr("(VT-d) in the firmware")));
  file("/proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
  EXPECT_THAT(told(iommu({})), ElementsAre(HasSubstr("(AMD-Vi, SMMU) in the")));
}

TEST_F(DoctorIommu, is_on_and_confines_the_card) {
  host_.pci_gpu(card);
  group("7", "DMA-FQ");
  EXPECT_THAT(iommu({}), IsEmpty());
}

TEST_F(DoctorIommu, lets_the_group_through) {
  host_.pci_gpu(card);
  group("7", "identity");
  file("/proc/cmdline", "quiet iommu=pt");
  EXPECT_THAT(told(iommu({})),
              ElementsAre(AllOf(HasSubstr("warning " + card + ": IOMMU group is in pass-through"),
                                HasSubstr("remove iommu=pt from"))));
}

TEST_F(DoctorIommu, says_the_same_of_two_cards_once) {
  const std::string other = "0000:42:00.0";
  host_.pci_gpu(card);
  host_.pci_gpu(other);
  group_of(card, "7", "identity");
  group_of(other, "8", "identity");
  const Findings findings = iommu({});
  EXPECT_EQ(findings.size(), 2U);
  EXPECT_THAT(told(merged(findings)),
              ElementsAre(HasSubstr("warning " + card + ", " + other + ": IOMMU group is in")));
}

TEST_F(DoctorTest, unsafe_interrupts) {
  const std::string parameter = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
  EXPECT_THAT(check_interrupts(root_), IsEmpty());
  file(parameter, "N\n");
  EXPECT_THAT(check_interrupts(root_), IsEmpty());
  file(parameter, "Y\n");
  EXPECT_THAT(told(check_interrupts(root_)), ElementsAre(HasSubstr("problem " + parameter)));
}

// --- other tools ---

using DoctorTools = DoctorTest;

TEST_F(DoctorTools, mdevctl_defines_an_instance_of_a_domain) {
  host_.parent("mtty").type("mtty-2", 12);
  const Uuid instance = instance_uuid(web01, "ua-gpuward-0");
  host_.mdevctl_definition("mtty", instance);
  EXPECT_THAT(other_tools({}), IsEmpty());
  Claim claim{web01, "web01", {}};
  claim.devices.push_back(
      {ClaimedDevice::State::claimed, "ua-gpuward-0", "small", instance, "mtty", "mtty-2"});
  Claims(root_).make_ready();
  Claims(root_).write(claim);
  EXPECT_THAT(told(other_tools({})),
              ElementsAre(AllOf(HasSubstr("problem /etc/mdevctl.d/mtty/" + to_string(instance)),
                                HasSubstr("for domain web01"), HasSubstr("mdevctl undefine"))));
}

TEST_F(DoctorTools, mdevctl_takes_room_at_boot_on_a_parent_of_ours) {
  host_.parent("mtty").type("mtty-2", 12);
  const std::string definition = "/etc/mdevctl.d/mtty/" + to_string(web01);
  file(definition, R"({"mdev_type": "mtty-2", "start": "auto", "attrs": []})");
  const Config ours = config("[profile small]\ntype = mtty-2\n");
  EXPECT_THAT(told(other_tools(ours)), ElementsAre(HasSubstr("warning " + definition)));
  EXPECT_THAT(other_tools(config("[gpu mtty]\nuse = off\n")), IsEmpty());
  for (const char* harmless :
       {R"({"start": "manual"})", "", "nonsense", "[1]", R"({"start": 1})"}) {
    file(definition, harmless);
    EXPECT_THAT(other_tools(ours), IsEmpty()) << harmless;
  }
}

TEST_F(DoctorTools, driverctl_binds_a_gpu) {
  host_.pci_gpu(card);
  file("/etc/driverctl.d/pci-" + card, "vfio-pci\n");
  file("/etc/driverctl.d/pci-0000:42:00.0", "vfio-pci\n");
  EXPECT_THAT(told(other_tools({})),
              ElementsAre(AllOf(HasSubstr("warning /etc/driverctl.d/pci-" + card),
                                HasSubstr("driverctl unset-override " + card))));
  host_.parent(card).type("mbochs-small", 4);
  EXPECT_THAT(told(other_tools({})),
              ElementsAre(HasSubstr("problem /etc/driverctl.d/pci-" + card)));
}

TEST_F(DoctorTools, driverctl_binds_a_gpu_of_a_profile_that_keeps_the_driver) {
  host_.pci_gpu(card).driver("nouveau");
  file("/etc/driverctl.d/pci-" + card, "vfio-pci\n");
  Config config;
  Profile& kept = config.profiles.emplace_back();
  kept.name = "p";
  kept.use = Use::whole;
  kept.keep_driver = true;
  EXPECT_THAT(other_tools(config), IsEmpty());
  EXPECT_THAT(told(devices(config)),
              ElementsAre(AllOf(HasSubstr("problem " + card), HasSubstr("is bound to nouveau"),
                                HasSubstr("driverctl set-override " + card + " vfio-pci"))));
  host_.pci_gpu("0000:42:00.0").driver("vfio-pci");
  EXPECT_THAT(told(devices(config)), ElementsAre(HasSubstr("warning " + card)));
  host_.pci_gpu(card).driver("vfio-pci");
  EXPECT_THAT(devices(config), IsEmpty());
  kept.use = Use::vf;
  EXPECT_THAT(other_tools(config), SizeIs(1)) << "of VFs, not of their card";
}

// --- hooks ---

using DoctorHooks = DoctorTest;
const std::string hooks = "/etc/libvirt/hooks/qemu.d/";

TEST_F(DoctorHooks, ours_is_no_other) {
  file(hook_program, "\177ELF", 0755);
  make_directories(root_.at(hooks));
  fs::create_symlink(root_.at(hook_program), root_.at(hook_link));
  EXPECT_THAT(qemu_hooks(root_), SizeIs(1));
  EXPECT_THAT(check_other_hooks(root_), IsEmpty());
}

TEST_F(DoctorHooks, a_good_script_is_no_finding) {
  file("/bin/sh", "\177ELF", 0755);
  file("/usr/bin/env", "\177ELF", 0755);
  file("/usr/bin/python3", "\177ELF", 0755);
  file(hooks + "10-a", "#!/bin/sh -e\n", 0755);
  file(hooks + "20-b", "#! /usr/bin/env python3\n", 0755);
  file(hooks + "30-c", "\177ELF...", 0755);
  file(hooks + "40-notes", "text", 0644);
  EXPECT_THAT(told(check_other_hooks(root_)), IsEmpty());
}

TEST_F(DoctorHooks, a_script_that_cannot_run_stops_every_domain) {
  file("/bin/sh", "\177ELF", 0755);
  file("/bin/noexec", "\177ELF", 0644);
  file("/usr/bin/env", "\177ELF", 0755);
  const auto trouble = [&](const std::string& text) {
    file(hooks + "10-a", text, 0755);
    const auto lines = told(check_other_hooks(root_));
    return lines.size() == 1 && lines[0].starts_with("problem " + hooks + "10-a: ") ? lines[0]
                                                                                    : "none";
  };
  EXPECT_THAT(trouble("#!/bin/zsh\n"), HasSubstr("interpreter /bin/zsh cannot be run"));
  EXPECT_THAT(trouble("#!/bin/noexec\n"), HasSubstr("interpreter /bin/noexec cannot be run"));
  EXPECT_THAT(trouble("#!/bin/sh\r\n"), HasSubstr("Windows"));
  EXPECT_THAT(trouble("#!/usr/bin/env ruby\n"), HasSubstr("interpreter ruby is not found"));
  EXPECT_THAT(trouble("echo hello\n"), HasSubstr("no #! line"));
  EXPECT_THAT(trouble(""), HasSubstr("no #! line"));
  EXPECT_THAT(trouble("#!\n"), HasSubstr("cannot be run"));
  EXPECT_THAT(trouble("#!"), HasSubstr("cannot be run"));
  EXPECT_EQ(trouble("#!/bin/sh\n"), "none");
}

TEST_F(DoctorHooks, leftovers_run_too) {
  file("/bin/sh", "\177ELF", 0755);
  for (const char* name : {"10-a~", ".10-a.swp", "10-a.dpkg-old", "10-a.bak", "#10-a#"}) {
    file(hooks + name, "#!/bin/sh\n", 0755);
    EXPECT_THAT(told(check_other_hooks(root_)),
                ElementsAre(AllOf(HasSubstr(std::string("warning ") + hooks + name),
                                  HasSubstr("chmod -x"))));
    fs::remove(root_.at(hooks + name));
  }
}

TEST_F(DoctorHooks, what_others_may_write_root_must_not_run) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  file("/bin/sh", "\177ELF", 0755);
  file(hooks + "10-a", "#!/bin/sh\n", 0775);
  EXPECT_THAT(told(check_other_hooks(root_)),
              ElementsAre(HasSubstr("writable by users other than root")));
  file(hooks + "10-a", "#!/bin/sh\n", 0755);
  ASSERT_EQ(::chown(root_.at(hooks + "10-a").c_str(), 1000, 1000), 0);
  EXPECT_THAT(told(check_other_hooks(root_)), ElementsAre(HasSubstr("owned by user 1000")));
}

TEST_F(DoctorHooks, a_second_link_to_ours_and_a_script_named_qemu) {
  file("/bin/sh", "\177ELF", 0755);
  file(hook_program, "\177ELF", 0755);
  make_directories(root_.at(hooks));
  fs::create_symlink(root_.at(hook_program), root_.at(hooks + "60-gpuward"));
  file("/etc/libvirt/hooks/qemu", "#!/bin/sh\n", 0755);
  EXPECT_THAT(
      told(check_other_hooks(root_)),
      ElementsAre(HasSubstr("warning /etc/libvirt/hooks/qemu: "),
                  HasSubstr("problem " + hooks + "60-gpuward: runs gpuward's hook a second")));
}

TEST(DoctorHook, each_state_of_the_link_has_its_fix) {
  HostLayers layers;
  layers.daemon = LibvirtDaemon{"virtqemud", 1, 1};
  layers.link = {HookLink::State::good, hook_program};
  layers.seen = {Tristate::yes, ""};
  EXPECT_THAT(check_hook(layers), IsEmpty());
  layers.seen = {Tristate::unknown, "its link is newer"};
  EXPECT_THAT(told(check_hook(layers)),
              ElementsAre(std::string("problem ") + hook_link +
                          ": its link is newer | systemctl reload virtqemud"));
  const std::pair<HookLink::State, const char*> fixes[] = {
      {HookLink::State::absent, "ln -sfn"},
      {HookLink::State::turned_off, "ignore this if intended"},
      {HookLink::State::foreign, "ln -sfn"},
      {HookLink::State::dangling, "reinstall gpuward"},
      {HookLink::State::not_executable, "chmod 755"}};
  for (const auto& [state, fix] : fixes) {
    layers.link.state = state;
    EXPECT_THAT(told(check_hook(layers)), ElementsAre(HasSubstr(fix)));
  }
}

// --- denials ---

const std::string apparmor =
    "5,812,1234,-;audit: type=1400 audit(1795273200.123:45): apparmor=\"DENIED\" "
    "operation=\"exec\" profile=\"libvirtd\" name=\"/usr/sbin/gpuward-qemu-hook\" pid=1\n";
const std::string avc =
    "type=AVC msg=audit(1795273300.123:46): avc:  denied  { execute } for  pid=1 "
    "comm=\"rpc-virtqemud\" name=\"gpuward-qemu-hook\" permissive=0\n";

TEST(DoctorDenials, of_others_are_not_ours) {
  EXPECT_THAT(find_denials("", 0), IsEmpty());
  EXPECT_THAT(find_denials("apparmor=\"DENIED\" name=\"/usr/bin/x\"\ngpuward-provision: hello\n"
                           "apparmor=\"ALLOWED\" name=\"gpuward\"\n",
                           0),
              IsEmpty());
}

TEST(DoctorDenials, are_counted_and_the_last_is_shown) {
  const std::string second = "audit(1795273201.0:46): apparmor=\"DENIED\" name=\"gpuward-2\"\n";
  EXPECT_THAT(told(find_denials(second + apparmor, 1795273300)),
              ElementsAre(AllOf(HasSubstr("problem AppArmor: "), HasSubstr("2 time(s); last line: "
                                                                           "apparmor=\"DENIED\" "
                                                                           "name=\"gpuward-2\""))));
}

TEST(DoctorDenials, of_selinux_count_only_when_enforced) {
  EXPECT_THAT(told(find_denials(avc, 1795273300)), ElementsAre(HasSubstr("problem SELinux: ")));
  std::string noted = avc;
  noted.replace(noted.find("permissive=0"), 12, "permissive=1");
  EXPECT_THAT(told(find_denials(noted, 1795273300)), ElementsAre(HasSubstr("warning SELinux: ")));
}

TEST(DoctorDenials, a_day_old_may_be_mended) {
  EXPECT_THAT(told(find_denials(apparmor, 1795273200 + 90000)),
              ElementsAre(AllOf(HasSubstr("warning AppArmor"), HasSubstr("not in the last 24"))));
}

TEST(DoctorDenials, rubbish_is_no_denial_and_does_not_reach_the_terminal) {
  EXPECT_THAT(find_denials("gpuward audit(x.y avc: denied\n\n\n", 0), IsEmpty());
  const auto lines = told(find_denials("apparmor=\"DENIED\" gpuward \033[2J\n", 0));
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].find('\033'), std::string::npos);
}

TEST_F(DoctorTest, denials_come_from_the_kernels_log_and_from_auditds) {
  EXPECT_THAT(check_denials(root_, 1795273300), IsEmpty());
  file("/dev/kmsg", apparmor);
  file("/var/log/audit/audit.log", avc);
  EXPECT_THAT(told(check_denials(root_, 1795273300)),
              ElementsAre(HasSubstr("AppArmor"), HasSubstr("SELinux")));
}

// --- configuration ---

TEST_F(DoctorTest, each_mistake_of_the_configuration_is_a_problem) {
  host_.config("[guard]\npause = never\ntypo = 1\n");
  EXPECT_THAT(told(config_findings(load_config(config_files(root_)), Tristate::no)),
              ElementsAre(HasSubstr("gpuward.conf:2: "), HasSubstr("gpuward.conf:3: ")));
}

TEST_F(DoctorTest, NamesWithoutParentAndKeysWithoutEffect) {
  host_.config(
      "[gpu mttyy]\nuse = off\n[profile p]\ntype = t\ngpu = mttz\n[quota *]\nmemory = 1\n");
  EXPECT_THAT(told(config_findings(load_config(config_files(root_)), Tristate::no)),
              AllOf(Contains(AllOf(HasSubstr("problem "),
                                   HasSubstr("'memory' in [quota *] has no effect"))),
                    Contains(AllOf(HasSubstr("warning "),
                                   HasSubstr("gpuward.conf:1: no mdev parent is named 'mttyy'"))),
                    Contains(AllOf(HasSubstr("warning "),
                                   HasSubstr("gpuward.conf:3: no mdev parent is named 'mttz'")))));
}

TEST_F(DoctorTest, the_rights_of_the_configuration) {
  if (::geteuid() != 0) GTEST_SKIP() << "files belong to another user than root";
  const auto rights = [&](Tristate polkit) { return told(config_findings({}, polkit)); };
  file("/etc/gpuward/gpuward.conf", "", 0644);
  ASSERT_EQ(::chmod(root_.etc("gpuward").c_str(), 0755), 0);
  EXPECT_THAT(rights(Tristate::yes), IsEmpty());
  file("/etc/gpuward/gpuward.conf", "", 0640);
  EXPECT_THAT(rights(Tristate::no), ElementsAre(HasSubstr("warning /etc/gpuward/gpuward.conf: ")));
  EXPECT_THAT(rights(Tristate::yes), ElementsAre(HasSubstr("problem /etc/gpuward/gpuward.conf: ")));
  file("/etc/gpuward/gpuward.conf", "", 0664);
  EXPECT_THAT(rights(Tristate::no),
              ElementsAre(HasSubstr(
                  "others than root may write it | chmod go-w /etc/gpuward/gpuward.conf")));
  file("/etc/gpuward/gpuward.conf", "", 0644);
  ASSERT_EQ(::chown(root_.etc("gpuward/gpuward.conf").c_str(), 1000, 0), 0);
  EXPECT_THAT(rights(Tristate::no), ElementsAre(HasSubstr("belongs to user 1000")));
  file("/etc/gpuward/gpuward.conf", "", 0644);
  ASSERT_EQ(::chmod(root_.etc("gpuward").c_str(), 0700), 0);
  EXPECT_THAT(rights(Tristate::yes), ElementsAre(HasSubstr("chmod 755 /etc/gpuward")));
}

// --- guards ---

TEST(DoctorGuards, the_service_is_missed_where_a_guard_is_wanted) {
  HostLayers layers;
  layers.guard_service = Tristate::yes;
  EXPECT_THAT(check_guards(layers, {}), IsEmpty());
  layers.guard_service = Tristate::no;
  EXPECT_THAT(told(check_guards(layers, {})), ElementsAre(HasSubstr("problem gpuward-guard")));
  const GuardPolicy allow{Policy::allow, Policy::allow, Policy::allow, Policy::allow, false};
  EXPECT_THAT(check_guards(layers, allow), IsEmpty());
}

TEST(DoctorGuards, polkit_is_looked_at_only_where_libvirt_asks_it) {
  HostLayers layers;
  layers.guard_service = Tristate::yes;
  layers.polkit = {Tristate::no, "/etc/libvirt/libvirtd.conf", false, Tristate::no, false};
  EXPECT_THAT(check_guards(layers, {}), IsEmpty());
  layers.polkit.driver = Tristate::yes;
  EXPECT_THAT(told(check_guards(layers, {})),
              ElementsAre(HasSubstr("10-gpuward.rules"), HasSubstr("/usr/sbin/gpuward-polkit")));
  layers.daemon = LibvirtDaemon{"libvirtd", 1, 1};
  layers.polkit = {Tristate::yes, "/etc/libvirt/libvirtd.conf", true, Tristate::yes, true};
  EXPECT_THAT(told(check_guards(layers, {})),
              ElementsAre(HasSubstr("warning /etc/libvirt/libvirtd.conf: changed after")));
}

// --- domains ---

std::string domain_xml(const std::string& devices, const std::string& more = "") {
  return "<domain type='qemu'><name>web01</name><uuid>" + to_string(web01) +
         "</uuid><memory>1024</memory><pm><suspend-to-mem enabled='no'/>"
         "<suspend-to-disk enabled='no'/></pm>" +
         more + "<devices>" + devices + "</devices></domain>";
}

std::string mdev_xml(const std::string& alias) {
  return "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address "
         "uuid='00000000-0000-4000-8000-000000000001'/></source><alias name='" +
         alias + "'/></hostdev>";
}

/// Of QEMU 7.2, which has no enable-migration.
class DoctorOfDomains : public DoctorTest {
 protected:
  DoctorOfDomains() { host_.qemu("7.2.22"); }
};

/// Up to where its alias may be.
const std::string pci_xml =
    "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "
    "bus='0x41' slot='0x00' function='0x0'/></source>";

TEST_F(DoctorTest, a_domain_without_a_gpu_is_no_concern) {
  EXPECT_THAT(check_domain(root_, {}, "web01",
                           domain_xml("", "<maxMemory slots='4'>4096</maxMemory>"), false),
              IsEmpty());
}

/// As the hook warns at each start, of a domain whose hostdevs are no GPUs.
TEST_F(DoctorOfDomains, a_gpu_on_qemus_command_line) {
  host_.pci_gpu(card);
  const auto with = [](const std::string& arguments) {
    return domain_xml("",
                      "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>" +
                          arguments + "</qemu:commandline>");
  };
  EXPECT_THAT(
      told(check_domain(
          root_, {}, "web01",
          with("<qemu:arg value='-device'/><qemu:arg value='vfio-pci,host=" + card + "'/>"), true)),
      Contains(AllOf(HasSubstr("warning web01: line 1: QEMU command line assigns the GPU "
                               "'vfio-pci,host=" +
                               card + "'"),
                     HasSubstr("virsh edit web01"))));
  EXPECT_THAT(
      told(check_domain(root_, {}, "web01",
                        with("<qemu:arg value='-readconfig'/><qemu:arg value='/x'/>"), true)),
      ElementsAre(HasSubstr("the file of -readconfig is not searched")));
}

TEST_F(DoctorOfDomains, a_gpu_domain_that_the_hook_would_refuse) {
  const std::string room = "<maxMemory slots='4'>4096</maxMemory>";
  const auto open_port = AllOf(HasSubstr("warning web01: domain starts with a warning"),
                               HasSubstr("hot-plug"), HasSubstr("gpuward protect --all"));
  EXPECT_THAT(told(check_domain(root_, {}, "web01", domain_xml(mdev_xml("ua-mine")), false)),
              ElementsAre(open_port));
  EXPECT_THAT(told(check_domain(root_, {}, "web01", domain_xml(mdev_xml("ua-mine"), room), false)),
              ElementsAre(AllOf(HasSubstr("problem web01: domain will not start"),
                                HasSubstr("maxMemory"), HasSubstr("gpuward protect web01")),
                          open_port));
  Config config;
  config.guard.gpu_hotplug = Policy::allow;
  EXPECT_THAT(check_domain(root_, config, "web01", domain_xml(mdev_xml("ua-mine")), false),
              IsEmpty());
  config.guard.memory_hotplug = Policy::warn;
  EXPECT_THAT(
      told(check_domain(root_, config, "web01", domain_xml(mdev_xml("ua-mine"), room), false)),
      ElementsAre(HasSubstr("warning web01: domain starts with a warning")));
  config.guard.memory_hotplug = Policy::allow;
  EXPECT_THAT(check_domain(root_, config, "web01", domain_xml(mdev_xml("ua-mine"), room), false),
              IsEmpty());
}

/// `gpuward protect web01` and `virsh edit web01` find no definition.
TEST_F(DoctorOfDomains, of_a_transient_domain_the_fix_is_for_its_file) {
  const std::string room = "<maxMemory slots='4'>4096</maxMemory>";
  const auto findings =
      check_domain(root_, {}, "web01", domain_xml(mdev_xml("ua-mine"), room), false);
  EXPECT_THAT(told(findings), ElementsAre(EndsWith(" | gpuward protect web01"),
                                          HasSubstr(" | gpuward protect web01, while")));
  const std::string file = ", of the file that the domain is created from";
  EXPECT_THAT(told(of_transient_domain(findings)),
              testing::Each(EndsWith(" | gpuward protect ./FILE" + file)));
  using Severity = Finding::Severity;
  const auto fix = [](const std::string& of) {
    return of_transient_domain({{Severity::problem, "domains", "web01", "found", of}})[0].fix;
  };
  EXPECT_EQ(fix("virsh edit web01"), "edit the XML" + file);
  EXPECT_EQ(fix("gpuward attach web01"), "gpuward rewrite < FILE" + file);
  EXPECT_EQ(fix("gpuward detach web01"), "edit the XML" + file);
  EXPECT_EQ(fix("gpuward reconcile"), "gpuward reconcile");
}

TEST_F(DoctorOfDomains, an_iommu_of_the_guest_beside_several_functions_of_one_group) {
  for (const char* address : {"0000:41:00.0", "0000:41:00.1"}) host_.pci_gpu(address);
  host_.iommu_group(7, {"0000:41:00.0", "0000:41:00.1"});
  std::string devices = "<iommu model='intel'/>";
  for (const char* function : {"0x0", "0x1"})
    devices += std::string(
                   "<hostdev mode='subsystem' type='pci' managed='yes'><source><address "
                   "domain='0x0000' bus='0x41' slot='0x00' function='") +
               function + "'/></source></hostdev>";
  const auto conflict = HasSubstr("group 7 used in multiple address spaces");
  EXPECT_THAT(told(check_domain(root_, {}, "web01", domain_xml(devices), false)),
              Contains(conflict));
  devices.erase(0, devices.find("<hostdev"));
  EXPECT_THAT(told(check_domain(root_, {}, "web01", domain_xml(devices), false)),
              Not(Contains(conflict)));
}

TEST_F(DoctorOfDomains, a_gpu_of_ours_that_nobody_asked_for) {
  EXPECT_THAT(told(check_domain(root_, {}, "web01", domain_xml(mdev_xml("ua-gpuward-0")), false)),
              ElementsAre(AllOf(HasSubstr("problem web01: domain will not start"),
                                HasSubstr("not in the domain's gpuward metadata")),
                          HasSubstr("hot-plug")));
}

/// A domain that was cloned, a broken request, XML that cannot be parsed: in the hook's words.
TEST_F(DoctorOfDomains, what_the_hook_refuses_is_told_with_its_text_and_its_remedy) {
  const Config config = this->config("[guard]\ngpu-hotplug = allow\n[profile small]\ntype = t\n");
  const std::string asks =
      "<metadata><g:domain xmlns:g='urn:gpuward:domain:1'><g:gpu alias='ua-gpuward-0' "
      "profile='small'/></g:domain></metadata>";
  EXPECT_THAT(
      told(check_domain(root_, config, "web01", domain_xml(mdev_xml("ua-gpuward-0"), asks), true)),
      ElementsAre(AllOf(HasSubstr("(cloned XML?)"), HasSubstr(" | gpuward attach web01"))));
  std::string own = domain_xml(mdev_xml("ua-gpuward-0"), asks);
  own.replace(own.find("00000000-0000-4000-8000-000000000001"), 36,
              to_string(instance_uuid(web01, "ua-gpuward-0")));
  EXPECT_THAT(
      told(check_domain(root_, config, "web01", own, true)),
      ElementsAre(AllOf(HasSubstr("problem web01: domain will not start"),
                        HasSubstr("no GPU allowed by profile 'small' supports type t | "))));
  EXPECT_THAT(check_domain(root_, config, "web01", own, false), IsEmpty())
      << "it runs with its devices";
  const std::string unparsed = domain_xml(pci_xml + "<alias name='ua-gpuward-x'/></hostdev>");
  EXPECT_THAT(told(check_domain(root_, config, "web01", unparsed, true)),
              ElementsAre(HasSubstr("problem web01: domain will not start: ")));
}

TEST_F(DoctorOfDomains, harden_asks_for_no_more_than_the_hook) {
  Config config;
  config.guard.gpu_hotplug = Policy::allow;
  const std::string disk =
      "<disk type='file'><driver name='qemu' type='raw' error_policy='stop'/></disk>";
  EXPECT_THAT(check_domain(root_, config, "web01", domain_xml(mdev_xml("ua-mine") + disk), false),
              IsEmpty());
  config.guard.harden = true;
  EXPECT_THAT(
      told(check_domain(root_, config, "web01", domain_xml(mdev_xml("ua-mine") + disk), false)),
      ElementsAre(HasSubstr("error_policy")));
}

TEST_F(DoctorOfDomains, a_device_that_another_domain_has_is_a_warning_of_a_domain_that_is_off) {
  host_.pci_gpu(card);
  const Config config = this->config("[guard]\ngpu-hotplug = allow\n");
  const std::string xml = domain_xml(pci_xml + "</hostdev>");
  EXPECT_THAT(check_domain(root_, config, "web01", xml, true), IsEmpty());
  claim_card(ClaimedDevice::State::claimed);
  EXPECT_THAT(told(check_domain(root_, config, "web01", xml, true)),
              ElementsAre(AllOf(HasSubstr("warning web01: domain would not start now"),
                                HasSubstr(card), HasSubstr("in use by domain 'web02'"))));
  EXPECT_THAT(check_domain(root_, config, "web01", xml, false), IsEmpty());
  write_file_atomically(root_.run("claims/" + to_string(web02)), "rubbish\n");
  EXPECT_THAT(told(check_domain(root_, config, "web01", xml, true)),
              ElementsAre(AllOf(HasSubstr("problem web01: domain will not start"),
                                HasSubstr("cannot be read"))));
}

TEST_F(DoctorOfDomains, a_gpu_of_a_running_domain_that_nobody_claimed) {
  host_.pci_gpu(card);
  const std::string xml = domain_xml(pci_xml + "<alias name='hostdev1'/></hostdev>");
  const std::string problem = "running domain has GPU " + card +
                              " ('hostdev1') without a claim: it was added while the domain runs, "
                              "it was no GPU by the configuration then, or the hook did not run at "
                              "its start | virsh shutdown web01";
  EXPECT_THAT(told(check_unclaimed(root_, {}, xml, {}, {})),
              ElementsAre("problem web01: " + problem));
  Config config;
  config.guard.gpu_hotplug = Policy::warn;
  EXPECT_THAT(told(check_unclaimed(root_, config, xml, {}, {})),
              ElementsAre("warning web01: " + problem));
  auto claims = std::vector<Claim>{{parse_domain(xml).uuid, "web01", {}}};
  EXPECT_THAT(check_unclaimed(root_, {}, xml, claims, claims), SizeIs(1)) << "of another GPU";
  claims[0].devices.emplace_back();
  claims[0].devices[0].use = Use::whole;
  claims[0].devices[0].address = *parse_pci_address(card);
  EXPECT_THAT(check_unclaimed(root_, {}, xml, claims, claims), IsEmpty());
  EXPECT_THAT(check_unclaimed(root_, {}, xml, {}, claims), IsEmpty()) << "it started";
  EXPECT_THAT(check_unclaimed(root_, {}, xml, claims, {}), IsEmpty()) << "it stopped";
  claims[0].domain = web02;
  EXPECT_THAT(check_unclaimed(root_, {}, xml, claims, claims), SizeIs(1));
  EXPECT_THAT(check_unclaimed(root_, {}, "<domain><hostdev", {}, {}), IsEmpty());
}

TEST_F(DoctorTest, a_domain_that_is_off_and_was_not_released) {
  claim_card(ClaimedDevice::State::claimed);
  const auto claims = claimed_devices(root_).claims;
  EXPECT_THAT(check_released(claims, claims, {web02}), IsEmpty());
  EXPECT_THAT(told(check_released(claims, claims, {})),
              ElementsAre("problem web02: domain is shut off, but " + card +
                          " was not released and cannot be assigned to another domain | gpuward "
                          "reconcile"));
}

/// Listed while it was shut off.
TEST_F(DoctorTest, a_domain_that_starts_or_stops_while_doctor_runs_was_not_left_unreleased) {
  claim_card(ClaimedDevice::State::claimed);
  const auto claims = claimed_devices(root_).claims;
  EXPECT_THAT(check_released({}, claims, {}), IsEmpty()) << "it started";
  EXPECT_THAT(check_released(claims, {}, {}), IsEmpty()) << "it stopped";
  auto other = claims;
  other[0].devices[0].address.slot = 1;
  EXPECT_THAT(check_released(other, claims, {}), IsEmpty()) << "it started with another card";
  other = claims;
  other[0].devices[0].state = ClaimedDevice::State::quarantined;
  EXPECT_THAT(check_released(other, claims, {}), IsEmpty()) << "cleared, then it started";
}

TEST_F(DoctorTest, a_domain_that_was_started_anyway) {
  EXPECT_THAT(check_started_anyway(root_), IsEmpty());
  make_directories(root_.run("started-anyway"));
  record_started_anyway(root_, {web01, "web01", "ticket 4711", 1, "", {"a guard", "another"}});
  EXPECT_THAT(told(check_started_anyway(root_)),
              ElementsAre(AllOf(HasSubstr("warning web01: domain was started anyway"),
                                HasSubstr("ticket 4711), although: a guard; another"))));
  write_file_atomically(root_.run("started-anyway/" + to_string(web02)), "rubbish\n");
  EXPECT_THAT(told(check_started_anyway(root_)), SizeIs(2));
}

TEST(DoctorFindings, the_same_of_several_objects_is_one_line) {
  using Severity = Finding::Severity;
  const Findings findings{{Severity::warning, "iommu", "0000:41:00.0", "off", "restart"},
                          {Severity::problem, "iommu", "0000:42:00.0", "off", "restart"},
                          {Severity::warning, "iommu", "0000:43:00.0", "off", "restart"}};
  EXPECT_THAT(told(merged(findings)),
              ElementsAre("warning 0000:41:00.0, 0000:43:00.0: off | restart",
                          "problem 0000:42:00.0: off | restart"));
}

// --- devices ---

using DoctorDevices = DoctorTest;

TEST_F(DoctorDevices, all_is_well) {
  host_.sriov(card, 4);
  EXPECT_THAT(devices(config("[gpu " + card + "]\nuse = vf\n")), IsEmpty());
}

TEST_F(DoctorDevices, a_driver_that_offers_vgpus_as_mdevs_is_not_for_mig) {
  host_.sriov(card, 2);
  host_.set_vfs(card, 2);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2"})
    host_.parent(vf).type("nvidia-474", 1);
  const std::string mig = "[gpu " + card + "]\nuse = mig\n";
  EXPECT_THAT(told(devices(config(mig))),
              ElementsAre("problem " + card +
                          ": use = mig is not supported where the driver offers vGPUs as mdevs | "
                          "set use = mdev and create GPU instances with: nvidia-smi mig -i " +
                          card + " -cgi PROFILE -C"));
  EXPECT_THAT(devices(config("[gpu " + card + "]\nuse = mdev\n")), IsEmpty());
  const std::string first = "[gpu 0000:41:00.1]\nuse = mdev\n";
  EXPECT_THAT(devices(config(mig + first)), SizeIs(1)) << "the other VF";
  EXPECT_THAT(devices(config(mig + first + "[gpu 0000:41:00.2]\nuse = mdev\n")), IsEmpty());
}

TEST_F(DoctorDevices, quarantine_is_told) {
  Claims claims(root_);
  claims.make_ready();
  ClaimedDevice device = whole_card(ClaimedDevice::State::quarantined);
  claims.write({web01, "web01", {device}});
  EXPECT_THAT(
      told(devices({})),
      ElementsAre(HasSubstr("problem " + card + ": quarantined after use by domain 'web01'")));
  device.state = ClaimedDevice::State::claimed;
  claims.write({web01, "web01", {device}});
  EXPECT_THAT(devices({}), IsEmpty());
}

/// reconcile does nothing for it.
TEST_F(DoctorDevices, quarantine_of_a_domain_that_may_run_ends_with_its_release) {
  Claims claims(root_);
  claims.make_ready();
  ClaimedDevice other = whole_card(ClaimedDevice::State::claimed);
  other.alias = "ua-gpuward-1";
  other.address.bus++;
  const ClaimedDevice device = whole_card(ClaimedDevice::State::quarantined);
  claims.write({web01, "web01", {device, other}});
  EXPECT_THAT(told(devices({})),
              ElementsAre(AllOf(HasSubstr("problem " + card + ": quarantined after use by"),
                                EndsWith(" | virsh shutdown web01 (if it is shut off: gpuward "
                                         "reconcile)"))));
  claims.write({web01, "web01", {device}});
  EXPECT_THAT(told(devices({})), ElementsAre(HasSubstr(" | gpuward reconcile (")));
}

/// After a restart of the host, before reconcile.
TEST_F(DoctorDevices, quarantine_that_no_claim_names_is_told) {
  const ClaimedDevice device = whole_card(ClaimedDevice::State::claimed);
  record_quarantine(root_, {web01, "web01", {}}, device);
  EXPECT_THAT(
      told(devices({})),
      ElementsAre(HasSubstr("problem " + card + ": quarantined after use by domain 'web01'"),
                  HasSubstr("warning " + card + ": quarantine after use by domain 'web01' is " +
                            "recorded by PCI address")));
}

TEST_F(DoctorDevices, a_single_use_of_one_of_two_cards_with_one_number_is_told) {
  const std::string second = "0000:4f:00.0";
  host_.pci_gpu(card).attribute("unique_id", "3c6f0a1b2d4e5f60");
  host_.pci_gpu(second).attribute("unique_id", "3c6f0a1b2d4e5f60");
  mark_used(root_, *parse_pci_address(card), web01, "web01");
  EXPECT_THAT(told(devices({})),
              ElementsAre(HasSubstr("warning " + card +
                                    ": single use by domain 'web01' is recorded by PCI address, "
                                    "as another card reports the same serial number")));
}

TEST_F(DoctorDevices, a_single_use_that_goes_by_address_is_told) {
  mark_used(root_, *parse_pci_address(card), web01, "web01");
  EXPECT_THAT(told(devices({})),
              ElementsAre(HasSubstr("warning " + card +
                                    ": single use by domain 'web01' is recorded by "
                                    "PCI address, as the card reports no UUID or serial number")));
  clear_used(root_, *parse_pci_address(card));
  host_.pci_gpu(card).attribute("unique_id", "3c6f0a1b2d4e5f60");
  mark_used(root_, *parse_pci_address(card), web01, "web01");
  EXPECT_THAT(devices({}), IsEmpty());
}

TEST_F(DoctorDevices, a_quarantine_that_goes_by_address_is_reported) {
  const ClaimedDevice device = whole_card(ClaimedDevice::State::quarantined);
  record_quarantine(root_, {web01, "web01", {device}}, device);
  EXPECT_THAT(
      told(devices({})),
      Contains(AllOf(HasSubstr("warning " + card +
                               ": quarantine after use by domain 'web01' is recorded by PCI "
                               "address"),
                     HasSubstr("run: gpuward clear " + card))));
  clear_quarantine_record(root_, device.address);
  host_.pci_gpu(card).attribute("unique_id", "3c6f0a1b2d4e5f60");
  record_quarantine(root_, {web01, "web01", {device}}, device);
  EXPECT_THAT(told(devices({})), testing::Not(Contains(HasSubstr("recorded by"))));
}

TEST_F(DoctorDevices, hardware_that_expect_refuses_is_told_once) {
  const std::string text = "[gpu " + card + "]\nuse = vf\nexpect = subsystem:10de:ffff\n";
  host_.sriov(card, 4);
  EXPECT_THAT(
      told(devices(config(text))),
      ElementsAre(AllOf(HasSubstr("problem " + card + ": device " + card),
                        HasSubstr("not the expected GPU"), HasSubstr("expects subsystem:10de:ffff"),
                        HasSubstr(" | reinstall that card"))));
}

/// As of a card that a guest has.
TEST_F(DoctorDevices, a_mark_that_cannot_be_read_is_a_warning) {
  host_.pci_gpu(card).pci_id(0x10de, 0x2235);
  const std::string text = "[gpu uuid=4dea22b3-1d52-d8f3-2516-782e98ab3fa0]\nuse = off\n";
  EXPECT_THAT(told(devices(config(text))),
              ElementsAre(AllOf(HasSubstr("warning " + card + ": device " + card),
                                HasSubstr("whose UUID cannot be read"))));
}

TEST_F(DoctorDevices, vfs_that_are_not_as_wanted_are_told) {
  host_.sriov(card, 4);
  EXPECT_THAT(told(devices(config("[gpu " + card + "]\nuse = vf\nvfs = 2\n"))),
              ElementsAre("problem " + card + ": configuration is not applied: VFs of " + card +
                          ": from 0 to 2 | gpuward apply"));
  EXPECT_THAT(told(devices(config("[gpu " + card + "]\nuse = vf\nvfs = 8\n"))),
              ElementsAre(HasSubstr("vfs = 8 exceeds sriov_totalvfs (4)")));
}

/// `apply` does not change these.
TEST_F(DoctorDevices, vfs_that_are_not_as_wanted_while_one_is_in_use_are_a_warning) {
  host_.sriov(card, 4);
  host_.set_vfs(card, 4);
  ClaimedDevice device = whole_card(ClaimedDevice::State::claimed);
  device.use = Use::vf;
  device.address.function = 1;
  Claims(root_).make_ready();
  Claims(root_).write({web01, "web01", {device}});
  EXPECT_THAT(told(devices(config("[gpu " + card + "]\nuse = vf\nvfs = 2\n"))),
              ElementsAre("warning " + card + ": configuration is not applied: VFs of " + card +
                          ": from 4 to 2: 0000:41:00.1 is in use by domain 'web01' | shut that "
                          "domain down or stop that process, then run: gpuward apply"));
}

TEST_F(DoctorDevices, a_scrub_program_that_cannot_be_run_is_told) {
  const std::string text = "[profile card]\nuse = whole\nscrub = ";
  EXPECT_THAT(devices(config(text + "/bin/true\n")), IsEmpty());
  for (const char* bad : {"/no/such", "/etc", "/etc/passwd"})
    EXPECT_THAT(told(devices(config(text + bad + "\n"))),
                ElementsAre(HasSubstr("problem " + std::string(bad) +
                                      ": scrub program of [profile card] is missing")));
}

}  // namespace
}  // namespace gpuward
