// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/qemu_hook.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "base/file.hpp"
#include "base/lock.hpp"
#include "domain/domain.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "lifecycle/settle.hpp"
#include "state/claim_store.hpp"
#include "state/gpu_domain_marker.hpp"
#include "state/paths.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr Deadlines deadlines{milliseconds(60'000), milliseconds(60'000), milliseconds(50)};

const Uuid vm = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid own_instance = instance_uuid(vm, "ua-gpuward-0");
const char* const operations[] = {"prepare", "release", "reconnect", "migrate", "restore"};

constexpr std::string_view good_config = "[profile small]\ntype = mbochs-small\n";
constexpr std::string_view broken_config =
    "[profile small]\ntype = mbochs-small\nplacemnt = spread\n";

const std::string pm_off =
    "  <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>\n";

std::string domain_xml(const std::string& metadata, const std::string& devices) {
  return "<domain type='kvm'>\n  <name>web01</name>\n  <uuid>" + to_string(vm) + "</uuid>\n" +
         metadata + pm_off + "  <devices>\n" + devices + "  </devices>\n</domain>\n";
}

std::string mdev_xml(const Uuid& instance, const std::string& alias) {
  return "    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci'>\n"
         "      <source><address uuid='" +
         to_string(instance) + "'/></source>\n      <alias name='" + alias +
         "'/>\n    </hostdev>\n";
}

const std::string plain_xml = domain_xml("", "    <disk type='file'/>\n");
const std::string usb_xml = domain_xml("", "    <hostdev mode='subsystem' type='usb'/>\n");
const std::string pci_xml = domain_xml(
    "",
    "    <hostdev mode='subsystem' type='pci' managed='yes'><source>"
    "<address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/></source></hostdev>\n");
const std::string hand_written_xml =
    domain_xml("", mdev_xml(*parse_uuid("00000000-0000-4000-8000-000000000009"), "hostdev0"));
const std::string gpu_xml = domain_xml(
    "  <metadata><g:domain xmlns:g='urn:gpuward:domain:1'>"
    "<g:gpu alias='ua-gpuward-0' profile='small'/></g:domain></metadata>\n",
    mdev_xml(own_instance, "ua-gpuward-0"));

struct Answer {
  int status = 0;
  std::string said;
};

class QemuHookTest : public testing::Test {
 protected:
  QemuHookTest() {
    host_.parent("mbochs").type("mbochs-small", 2);
    host_.config(std::string(good_config));
    host_.qemu("7.2.22");
  }
  Answer call(const std::string& operation, const std::string& xml,
              XmlInput::End end = XmlInput::End::whole, const std::string& name = "web01") {
    XmlInput input;
    input.end = end;
    input.text = xml;
    input.may_have_gpu = may_have_gpu(xml);
    input.names_gpuward = names_gpuward(xml);
    input.may_have_gpu_beyond = gpu_beyond_;
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    const int status = run_qemu_hook(host_.root(), {name, operation}, input, deadlines);
    filtered_ = testing::internal::GetCapturedStdout();
    const bool is_filter = operation == "migrate" || operation == "restore";
    EXPECT_TRUE(is_filter || filtered_.empty()) << "stdout is libvirt's";
    return {status, testing::internal::GetCapturedStderr()};
  }
  bool has_instance() { return host_.instances().contains(own_instance); }
  bool has_claim() { return Claims(host_.root()).find(vm).has_value(); }
  void expect_nothing_touched(const Answer& answer) {
    EXPECT_EQ(answer.status, 0);
    EXPECT_EQ(answer.said, "");
    EXPECT_EQ(filtered_, "");
    EXPECT_THAT(host_.writes(), IsEmpty());
  }
  void expect_nothing_happened(const Answer& answer) {
    expect_nothing_touched(answer);
    EXPECT_FALSE(has_claim());
  }
  FakeHost host_;
  bool gpu_beyond_ = false;
  std::string filtered_;  ///< what libvirt takes instead of the XML
};

TEST(HandlesTest, what_concerns_a_gpu_and_nothing_else) {
  for (const char* operation : operations) EXPECT_TRUE(handles(operation)) << operation;
  for (const char* operation : {"start", "started", "stopped", "attach", "", "PREPARE", "prepare "})
    EXPECT_FALSE(handles(operation)) << operation;
}

// ---- a GPU on QEMU's command line

std::string command_line(const std::vector<std::string>& devices) {
  std::string xml = "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>";
  for (const std::string& device : devices)
    xml += "<qemu:arg value='-device'/><qemu:arg value='" + device + "'/>";
  return xml + "</qemu:commandline>\n";
}

/// Refused for another reason: that is the one line that virsh shows.
TEST_F(QemuHookTest, a_gpu_on_qemus_command_line_is_guarded) {
  host_.pci_gpu("0000:41:00.0");
  const Answer answer = call("prepare", domain_xml("<maxMemory slots='4'>4096</maxMemory>" +
                                                       command_line({"vfio-pci,host=0000:41:00.0"}),
                                                   ""));
  EXPECT_EQ(answer.status, 1) << "memory-hotplug = block";
  EXPECT_THAT(answer.said, HasSubstr("maxMemory"));
  EXPECT_EQ(std::count(answer.said.begin(), answer.said.end(), '\n'), 1) << answer.said;
}

TEST_F(QemuHookTest, a_gpu_on_qemus_command_line_is_named_where_the_domain_starts) {
  host_.pci_gpu("0000:41:00.0");
  host_.pci_gpu("0000:42:00.0");
  host_.config("[guard]\nmigration = warn\n");
  const std::string long_id = ",id=" + std::string(300, 'x');
  const Answer answer =
      call("prepare", domain_xml(command_line({"vfio-pci,host=0000:41:00.0" + long_id,
                                               "vfio-pci,host=0000:42:00.0" + long_id}),
                                 ""));
  EXPECT_EQ(answer.status, 0) << answer.said;
  EXPECT_THAT(answer.said, StartsWith("gpuward: domain 'web01': domain XML line 4: QEMU command "
                                      "line assigns the GPU 'vfio-pci,host=0000:41:00.0,id="));
  EXPECT_THAT(answer.said, HasSubstr(" (and 1 more), which gpuward neither claims"));
  EXPECT_EQ(std::count(answer.said.begin(), answer.said.end(), '\n'), 1) << answer.said;
  EXPECT_LT(answer.said.size(), 301U) << answer.said;
}

/// A signal must not cost the caller the reason.
TEST_F(QemuHookTest, a_refusal_is_whole_though_its_write_is_interrupted) {
  const std::string xml = "<domain type='kvm'><name>web01</name><devices><hostdev type='mdev'/";
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Fd reader(ends[0]), own_stderr(::dup(STDERR_FILENO));
  ASSERT_EQ(::dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
  ::close(ends[1]);
  host_.interruptions = 4;
  XmlInput input;
  input.text = xml;
  input.may_have_gpu = true;
  const int status = run_qemu_hook(host_.root(), {"web01", "prepare"}, input, deadlines);
  const int left = host_.interruptions;
  host_.interruptions = 0;
  ::dup2(own_stderr.get(), STDERR_FILENO);
  char said[512];
  const ssize_t size = ::read(reader.get(), said, sizeof said);
  EXPECT_EQ(status, 1);
  EXPECT_EQ(left, 0);
  EXPECT_EQ(std::string(said, size > 0 ? static_cast<size_t>(size) : 0), call("prepare", xml).said);
}

TEST_F(QemuHookTest, a_device_of_qemus_command_line_that_is_not_of_vfio_is_no_gpu) {
  for (const std::string device : {"{&quot;driver&quot;:&quot;vfio-user-pci&quot;}",
                                   "pcie-root-port,id=vfio0", "nvme,serial=vfio1"}) {
    const std::string more = "<maxMemory slots='4'>4096</maxMemory>" + command_line({device});
    for (const char* operation : operations)
      expect_nothing_happened(call(operation, domain_xml(more, "")));
    EXPECT_FALSE(has_gpu_now(host_.root(), vm)) << device;
  }
}

// ---- a domain without a GPU

TEST_F(QemuHookTest, without_a_gpu_nothing_happens_in_any_operation) {
  for (const char* operation : operations)
    for (const std::string& xml : {plain_xml, usb_xml, std::string()}) {
      SCOPED_TRACE(std::string(operation) + ": " + xml);
      expect_nothing_happened(call(operation, xml));
    }
}

TEST_F(QemuHookTest, without_a_gpu_a_broken_config_does_not_matter) {
  host_.config(std::string(broken_config));
  for (const char* operation : operations) expect_nothing_happened(call(operation, usb_xml));
}

TEST_F(QemuHookTest, without_a_gpu_broken_xml_does_not_matter) {
  for (const std::string xml :
       {"<domain><hostdev type='usb'", "no XML",
        "<!DOCTYPE x [<!ENTITY a SYSTEM '/etc/passwd'>]><domain>&a;",
        "<domain><hostdev type='usb'/></domain>", "\xff\xfe<hostdev type='scsi'"})
    for (const char* operation : operations) {
      SCOPED_TRACE(std::string(operation) + ": " + xml);
      expect_nothing_happened(call(operation, xml));
    }
}

TEST_F(QemuHookTest, without_a_gpu_xml_that_comes_late_or_is_too_large_does_not_matter) {
  for (const auto end : {XmlInput::End::late, XmlInput::End::too_large})
    for (const char* operation : operations)
      expect_nothing_happened(call(operation, "<domain><hostdev type='usb'>", end));
}

/// From "<hostdev" on up to its type nobody knows what it is.
TEST_F(QemuHookTest, a_cut_in_the_xml_of_a_plain_domain_matters_in_a_hostdev_before_its_type) {
  const size_t begin = usb_xml.find("<hostdev") + 8;
  const std::string type = "type='usb'";
  const size_t end = usb_xml.find(type) + type.size();
  for (size_t size = 0; size < usb_xml.size(); ++size) {
    const Answer answer = call("prepare", usb_xml.substr(0, size), XmlInput::End::late);
    if (size < begin || size >= end)
      expect_nothing_happened(answer);
    else
      EXPECT_THAT(answer.said, HasSubstr("a <hostdev> whose type cannot be read")) << size;
  }
}

TEST_F(QemuHookTest, a_device_beyond_what_is_read_may_be_a_gpu) {
  gpu_beyond_ = true;
  const Answer refused = call("prepare", plain_xml, XmlInput::End::too_large);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.said, HasSubstr("larger than 16 MiB, and a device beyond that may be a GPU"));
}

TEST_F(QemuHookTest, operations_of_other_kinds_are_none_of_its_business) {
  expect_nothing_happened(call("started", gpu_xml));
  expect_nothing_happened(call("-h", gpu_xml));
}

// ---- an mdev that someone wrote by hand

TEST_F(QemuHookTest, an_mdev_written_by_hand_starts_stops_and_is_not_touched) {
  for (const char* operation : {"prepare", "release", "reconnect"})
    expect_nothing_happened(call(operation, hand_written_xml));
}

TEST_F(QemuHookTest, an_mdev_written_by_hand_has_a_mark_while_its_domain_runs) {
  for (const char* begin : {"prepare", "reconnect"}) {
    call(begin, hand_written_xml);
    EXPECT_TRUE(has_gpu_now(host_.root(), vm)) << begin;
    call("release", hand_written_xml);
    EXPECT_FALSE(has_gpu_now(host_.root(), vm)) << begin;
  }
}

TEST_F(QemuHookTest, the_mark_keeps_the_devices_that_the_domain_starts_with) {
  std::string xml(hand_written_xml);
  const std::string with_dimm =
      "<devices><memory model='dimm'><target><size unit='MiB'>128</size></target></memory>";
  xml.replace(xml.find("<devices>"), 9, with_dimm);
  host_.config("[guard]\nmemory-hotplug = allow\n");
  ASSERT_EQ(call("prepare", xml).status, 0);
  const auto started = started_devices(host_.root(), vm);
  ASSERT_TRUE(started);
  ASSERT_EQ(started->memory.size(), 1U);
  EXPECT_EQ(started->memory.front().size, 131072U);
  EXPECT_EQ(started->hostdevs.size(), 1U);
  call("reconnect", hand_written_xml);
  ASSERT_TRUE(started_devices(host_.root(), vm));
  EXPECT_EQ(started_devices(host_.root(), vm)->memory.size(), 1U) << "what it started with stays";
}

TEST_F(QemuHookTest, a_domain_with_a_claim_has_a_mark_too) {
  ASSERT_EQ(call("prepare", gpu_xml).status, 0);
  EXPECT_TRUE(started_devices(host_.root(), vm));
  call("release", gpu_xml);
  EXPECT_FALSE(has_gpu_now(host_.root(), vm));
}

TEST_F(QemuHookTest, a_gpu_written_by_hand_is_claimed_at_prepare_and_again_at_reconnect) {
  host_.pci_gpu("0000:41:00.0");
  for (const char* begin : {"prepare", "reconnect"}) {
    expect_nothing_touched(call(begin, pci_xml));
    EXPECT_TRUE(has_claim()) << begin;
    expect_nothing_touched(call("release", pci_xml));
    EXPECT_FALSE(has_claim()) << begin;
  }
}

TEST_F(QemuHookTest,
       reconnect_claims_what_is_written_by_hand_also_where_the_mark_cannot_be_looked_at) {
  host_.pci_gpu("0000:41:00.0");
  make_directories(host_.root().run("gpu-domains"));
  const std::string path = host_.root().run("gpu-domains/" + to_string(vm));
  std::filesystem::create_symlink(path, path);  // ELOOP
  expect_nothing_touched(call("reconnect", pci_xml));
  EXPECT_TRUE(has_claim());
}

TEST_F(QemuHookTest, a_refused_or_plain_domain_has_no_mark) {
  for (const char* operation : operations) call(operation, usb_xml);
  host_.config(std::string(broken_config));
  call("prepare", hand_written_xml);
  call("migrate", hand_written_xml);
  EXPECT_FALSE(has_gpu_now(host_.root(), vm));
}

TEST_F(QemuHookTest, a_mark_that_cannot_be_made_refuses_nothing) {
  write_file_atomically(host_.root().at("/run/gpuward"), "in its place");
  EXPECT_EQ(call("prepare", hand_written_xml).status, 0);
  EXPECT_EQ(call("release", hand_written_xml).status, 0);
}

TEST_F(QemuHookTest, a_config_that_others_can_write_refuses_domains_with_a_gpu_and_no_release) {
  ASSERT_EQ(call("prepare", gpu_xml).status, 0);
  ::chmod(host_.root().etc("gpuward/gpuward.conf").c_str(), 0666);
  EXPECT_EQ(call("release", gpu_xml).status, 0);
  EXPECT_FALSE(has_claim());
  for (const std::string& xml : {gpu_xml, hand_written_xml})
    EXPECT_THAT(call("prepare", xml).said,
                HasSubstr("gpuward.conf: others than root may write it; run: chmod go-w"));
  for (const char* operation : operations) EXPECT_EQ(call(operation, usb_xml).said, "");
}

TEST_F(QemuHookTest, an_mdev_written_by_hand_is_refused_with_a_broken_config) {
  host_.config(std::string(broken_config));
  EXPECT_THAT(call("prepare", hand_written_xml).said, HasSubstr("gpuward.conf:3"));
}

TEST_F(QemuHookTest, a_pci_device_that_is_no_gpu_starts_with_a_broken_config_too) {
  host_.pci_gpu("0000:41:00.0").attribute("class", "0x020000");
  host_.config(std::string(broken_config));
  for (const char* operation : operations) expect_nothing_happened(call(operation, pci_xml));
  host_.pci_gpu("0000:41:00.0").attribute("class", "0x030000");
  EXPECT_THAT(call("prepare", pci_xml).said, HasSubstr("gpuward.conf:3"));
}

TEST_F(QemuHookTest, an_mdev_written_by_hand_may_not_come_from_elsewhere) {
  EXPECT_EQ(call("migrate", hand_written_xml).status, 1);
  EXPECT_EQ(call("restore", hand_written_xml).status, 1);
}

// ---- what the XML lets through

std::string without_pm(const std::string& xml) {
  const auto at = xml.find(pm_off);
  return xml.substr(0, at) + xml.substr(at + pm_off.size());
}

TEST_F(QemuHookTest, a_gpu_domain_with_a_gap_is_refused_and_nothing_is_touched) {
  for (const std::string& xml : {gpu_xml, hand_written_xml}) {
    const Answer refused = call("prepare", without_pm(xml));
    EXPECT_EQ(refused.status, 1);
    EXPECT_THAT(refused.said,
                AllOf(HasSubstr("domain XML line 1 (pm)"), HasSubstr("blocked by [guard] pause"),
                      EndsWith("run: gpuward protect web01\n")));
    EXPECT_THAT(host_.writes(), IsEmpty());
    EXPECT_FALSE(has_claim());
  }
}

TEST_F(QemuHookTest, a_gap_that_is_warned_of_or_allowed_is_none) {
  for (const char* policy : {"warn", "allow"}) {
    host_.config("[guard]\npause = " + std::string(policy) + "\n" + std::string(good_config));
    expect_nothing_happened(call("prepare", without_pm(hand_written_xml)));
  }
}

TEST_F(QemuHookTest, a_whole_gpu_written_by_hand_is_guarded_other_devices_are_not) {
  host_.pci_gpu("0000:41:00.0");
  expect_nothing_touched(call("prepare", pci_xml));
  EXPECT_TRUE(has_claim());
  expect_nothing_touched(call("release", pci_xml));
  EXPECT_FALSE(has_claim());
  EXPECT_THAT(call("prepare", without_pm(pci_xml)).said, HasSubstr("gpuward protect"));
  host_.pci_gpu("0000:41:00.0").attribute("class", "0x010802");
  expect_nothing_happened(call("prepare", without_pm(pci_xml)));
  host_.config("[gpu 0000:41:00.0]\nuse = whole\n" + std::string(good_config));
  EXPECT_THAT(call("prepare", without_pm(pci_xml)).said, HasSubstr("gpuward protect"));
}

TEST_F(QemuHookTest, what_is_asked_of_the_xml_is_what_its_qemu_can_do) {
  const std::string off = domain_xml(
      "<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>"
      "<q:device alias='hostdev0'><q:frontend>"
      "<q:property name='enable-migration' type='string' value='off'/>"
      "</q:frontend></q:device></q:override>",
      mdev_xml(*parse_uuid("00000000-0000-4000-8000-000000000009"), "hostdev0"));
  expect_nothing_happened(call("prepare", hand_written_xml));
  EXPECT_THAT(call("prepare", off).said, HasSubstr("does not have before 8.1"));
  const std::string on =
      replaced(replaced(off, "'enable-migration'", "'x-enable-migration'"), "'off'", "'on'");
  EXPECT_THAT(call("prepare", on).said,
              AllOf(HasSubstr("sets x-enable-migration to 'on', blocked by [guard] migration"),
                    HasSubstr("virsh edit")));
  const auto is_demanded = [&] {
    EXPECT_THAT(call("prepare", hand_written_xml).said,
                AllOf(HasSubstr("(hostdev hostdev0)"), HasSubstr("enable-migration=off"),
                      HasSubstr("blocked by [guard] migration")));
    expect_nothing_happened(call("prepare", off));
  };
  host_.qemu("8.2.0");
  is_demanded();
  // Of an unknown version, as others may write to it, and as it is not there.
  const std::string emulator = host_.root().prefix + "/usr/bin/qemu-system-x86_64";
  ::chmod(emulator.c_str(), 0777);
  is_demanded();
  ::unlink(emulator.c_str());
  is_demanded();
}

// ---- a domain of ours

TEST_F(QemuHookTest, prepare_creates_and_release_removes) {
  const Answer prepared = call("prepare", gpu_xml);
  EXPECT_EQ(prepared.status, 0);
  EXPECT_EQ(prepared.said, "");
  EXPECT_TRUE(has_instance());
  EXPECT_TRUE(has_claim());
  const Answer released = call("release", gpu_xml);
  EXPECT_EQ(released.status, 0);
  EXPECT_EQ(released.said, "");
  EXPECT_FALSE(has_instance());
  EXPECT_FALSE(has_claim());
}

TEST_F(QemuHookTest, the_guard_is_asked_when_the_claim_on_a_device_of_a_pool_has_come_or_gone) {
  host_.config("[profile big]\nuse = whole\n");
  host_.pci_gpu("0000:41:00.0");
  host_.iommu_group(20, {"0000:41:00.0"});
  const std::string xml = domain_xml(
      "  <metadata><g:domain xmlns:g='urn:gpuward:domain:1'>"
      "<g:gpu alias='ua-gpuward-0' profile='big'/></g:domain></metadata>\n",
      "    <hostdev mode='subsystem' type='pci' managed='yes'><source>"
      "<address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/></source>"
      "<alias name='ua-gpuward-0'/></hostdev>\n");
  Claims(host_.root()).make_ready();
  const auto guard =
      Lock::acquire(host_.root().run("lock"), lock_number::reassignment, milliseconds(0));
  const std::string file = paths::reassignment_request(host_.root(), vm);
  for (const std::string operation : {"prepare", "release"}) {
    std::optional<bool> saw_claim;
    std::jthread answer([&](const std::stop_token& end) {
      while (!exists(file))
        if (end.stop_requested()) return;
      saw_claim = has_claim();
      remove_file(file);
    });
    EXPECT_EQ(call(operation, xml).said, "");
    answer.request_stop();
    answer.join();
    EXPECT_EQ(saw_claim, operation == "prepare") << operation;
  }
}

TEST_F(QemuHookTest, the_guard_is_not_asked_for_an_mdev) {
  Claims(host_.root()).make_ready();
  const auto guard =
      Lock::acquire(host_.root().run("lock"), lock_number::reassignment, milliseconds(0));
  const std::string claims = host_.root().run("claims");
  const Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(watch.get(), claims.c_str(), IN_MOVED_TO), 0);
  for (const char* operation : {"prepare", "release"})
    EXPECT_EQ(call(operation, gpu_xml).status, 0);
  char buffer[4096];
  const ssize_t size = ::read(watch.get(), buffer, sizeof buffer);
  ASSERT_GT(size, 0) << "its claim";
  EXPECT_THAT(std::string(buffer, static_cast<size_t>(size)),
              testing::Not(HasSubstr(std::string(paths::reassignment_prefix))));
}

TEST_F(QemuHookTest, release_twice_or_after_a_refusal_is_well) {
  for (int i = 0; i < 2; ++i) EXPECT_EQ(call("release", gpu_xml).status, 0);
}

TEST_F(QemuHookTest, a_refusal_is_one_line_that_names_program_domain_and_cause) {
  host_.config("");
  const Answer refused = call("prepare", gpu_xml);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.said, AllOf(StartsWith("gpuward: domain 'web01': "), EndsWith("\n"),
                                  HasSubstr("profile 'small'")));
  EXPECT_EQ(std::count(refused.said.begin(), refused.said.end(), '\n'), 1);
  EXPECT_FALSE(has_instance());
  EXPECT_FALSE(has_claim());
}

TEST_F(QemuHookTest, no_room_is_a_refusal) {
  host_.instance("mbochs", "mbochs-small", *parse_uuid("00000000-0000-4000-8000-000000000001"));
  host_.instance("mbochs", "mbochs-small", *parse_uuid("00000000-0000-4000-8000-000000000002"));
  const Answer refused = call("prepare", gpu_xml);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.said, HasSubstr("no available instance of mbochs-small on mbochs"));
}

TEST_F(QemuHookTest, a_broken_config_refuses_with_file_and_line_and_releases_all_the_same) {
  EXPECT_EQ(call("prepare", gpu_xml).status, 0);
  host_.config(std::string(broken_config));
  EXPECT_EQ(call("release", gpu_xml).status, 0);
  EXPECT_FALSE(has_instance());
  const Answer refused = call("prepare", gpu_xml);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.said, HasSubstr("gpuward.conf:3"));
  EXPECT_THAT(refused.said, HasSubstr("gpuward check"));
  EXPECT_FALSE(has_claim());
}

TEST_F(QemuHookTest, broken_xml_with_our_marks_is_refused_at_every_cut) {
  const size_t first_mark = gpu_xml.find("urn:gpuward:domain:1") + 20;
  for (size_t size = first_mark; size + 10 < gpu_xml.size(); size += 7) {
    const Answer refused = call("prepare", gpu_xml.substr(0, size), XmlInput::End::late);
    EXPECT_EQ(refused.status, 1) << size;
    EXPECT_THAT(refused.said, HasSubstr("libvirt stopped writing it"));
  }
  EXPECT_FALSE(has_instance());
}

TEST_F(QemuHookTest, xml_that_is_too_large_with_our_marks_is_refused) {
  const Answer refused = call("prepare", gpu_xml, XmlInput::End::too_large);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.said, HasSubstr("16 MiB"));
}

TEST_F(QemuHookTest, entities_in_a_domain_of_ours_are_refused) {
  const Answer refused =
      call("prepare", "<!DOCTYPE domain [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>" + gpu_xml);
  EXPECT_EQ(refused.status, 1);
  EXPECT_FALSE(has_instance());
}

TEST_F(QemuHookTest, release_finds_the_claim_by_name_when_the_xml_is_broken) {
  for (const std::string& xml :
       {gpu_xml.substr(0, gpu_xml.size() / 2), std::string("<hostdev"), std::string("rubbish")}) {
    ASSERT_EQ(call("prepare", gpu_xml).status, 0);
    EXPECT_EQ(call("release", xml, XmlInput::End::late).status, 0);
    EXPECT_FALSE(has_instance()) << xml;
    EXPECT_FALSE(has_claim()) << xml;
    EXPECT_FALSE(has_gpu_now(host_.root(), vm)) << xml;
  }
}

TEST_F(QemuHookTest, release_with_broken_xml_leaves_other_domains_alone) {
  ASSERT_EQ(call("prepare", gpu_xml).status, 0);
  EXPECT_EQ(call("release", "rubbish", XmlInput::End::late, "web02").status, 0);
  EXPECT_TRUE(has_instance());
  EXPECT_TRUE(has_claim());
  EXPECT_TRUE(started_devices(host_.root(), vm));
}

TEST_F(QemuHookTest, release_removes_what_a_killed_process_wrote_of_the_claim) {
  ASSERT_EQ(call("prepare", gpu_xml).status, 0);
  host_.file("/run/gpuward/claims/" + to_string(vm) + ".tmp4711", "half of a cl");
  EXPECT_EQ(call("release", gpu_xml).status, 0);
  EXPECT_THAT(list_directory(paths::claims(host_.root())), IsEmpty());
}

TEST_F(QemuHookTest, release_tells_what_stays_in_quarantine) {
  ASSERT_EQ(call("prepare", gpu_xml).status, 0);
  host_.opens(4711, "qemu-system-x86", own_instance);
  const Answer kept = call("release", gpu_xml);
  EXPECT_EQ(kept.status, 1);
  EXPECT_THAT(kept.said, HasSubstr("a process of the host"));
  EXPECT_THAT(kept.said, Not(HasSubstr("4711"))) << "the caller may be anyone";
  EXPECT_THAT(kept.said, HasSubstr("gpuward reconcile"));
  EXPECT_TRUE(has_claim());
}

TEST_F(QemuHookTest, release_takes_what_the_claim_names_not_what_the_xml_names) {
  ASSERT_EQ(call("prepare", gpu_xml).status, 0);
  EXPECT_EQ(call("release", plain_xml).status, 0) << "it was detached meanwhile";
  EXPECT_FALSE(has_instance());
}

TEST_F(QemuHookTest, release_of_a_claim_that_cannot_be_read_tells_and_leaves_all_to_the_admin) {
  ASSERT_EQ(call("prepare", gpu_xml).status, 0);
  const std::string file = host_.root().run("claims/") + to_string(vm);
  write_file_atomically(file, "rubbish\n");
  const Answer answer = call("release", gpu_xml);
  EXPECT_EQ(answer.status, 1);
  EXPECT_THAT(answer.said, HasSubstr(file + " line 1: "));
  EXPECT_EQ(read_file(file), "rubbish\n");
  EXPECT_TRUE(has_instance());
}

TEST_F(QemuHookTest, reconnect_never_fails_whatever_is_found) {
  EXPECT_EQ(call("reconnect", gpu_xml).status, 0) << "there is no instance";
  EXPECT_EQ(call("reconnect", gpu_xml.substr(0, 300), XmlInput::End::late).status, 0);
  EXPECT_EQ(call("reconnect", gpu_xml, XmlInput::End::too_large).status, 0);
  Claims(host_.root()).make_ready();
  write_file_atomically(host_.root().run("claims/") + to_string(vm), "rubbish\n");
  EXPECT_EQ(call("reconnect", gpu_xml).status, 0) << "the claim is broken";
  host_.config(std::string(broken_config));
  const Answer answer = call("reconnect", gpu_xml);
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.said, "");
}

TEST_F(QemuHookTest, reconnect_writes_a_lost_claim_again) {
  ASSERT_EQ(call("prepare", gpu_xml).status, 0);
  Claims(host_.root()).drop(vm);
  EXPECT_EQ(call("reconnect", gpu_xml).status, 0);
  EXPECT_TRUE(has_claim());
}

TEST_F(QemuHookTest, coming_from_elsewhere_is_refused_by_default) {
  for (const char* operation : {"migrate", "restore"}) {
    const Answer refused = call(operation, gpu_xml);
    EXPECT_EQ(refused.status, 1) << operation;
    EXPECT_THAT(refused.said, HasSubstr("blocked on this host"));
  }
}

TEST_F(QemuHookTest, coming_from_elsewhere_is_the_configurations_choice) {
  for (const char* policy : {"warn", "allow"}) {
    host_.config("[guard]\nmigration = " + std::string(policy) + "\n" + std::string(good_config));
    for (const char* operation : {"migrate", "restore"})
      for (const std::string& xml : {gpu_xml, hand_written_xml}) {
        EXPECT_EQ(call(operation, xml).status, 0) << operation;
        EXPECT_EQ(filtered_, "") << "its instance is its own, or its author's";
      }
  }
}

TEST_F(QemuHookTest, what_comes_from_elsewhere_gets_its_own_instance) {
  host_.config("[guard]\nmigration = allow\n" + std::string(good_config));
  std::string arriving = gpu_xml;
  arriving.replace(arriving.find(to_string(own_instance)), 36,
                   "00000000-0000-4000-8000-000000000009");
  for (const char* operation : {"migrate", "restore"}) {
    EXPECT_EQ(call(operation, arriving).status, 0);
    EXPECT_EQ(filtered_, gpu_xml);
  }
}

TEST_F(QemuHookTest, what_comes_from_elsewhere_gets_no_more_devices) {
  host_.config("[guard]\nmigration = allow\n" + std::string(good_config));
  const auto begin = gpu_xml.find("    <hostdev"), end = gpu_xml.find("  </devices>");
  EXPECT_EQ(call("migrate", gpu_xml.substr(0, begin) + gpu_xml.substr(end)).status, 0);
  EXPECT_EQ(filtered_, "");
}

TEST_F(QemuHookTest, coming_from_elsewhere_with_a_broken_config_is_refused) {
  host_.config(std::string(broken_config));
  EXPECT_THAT(call("migrate", gpu_xml).said, HasSubstr("gpuward.conf:3"));
}

TEST_F(QemuHookTest, names_with_blanks_dashes_and_quotes_are_told_as_they_are) {
  for (const std::string name : {"-rf", "two words", "it's \"one\"", "Gr\u00fc\u00dfe"})
    EXPECT_THAT(call("migrate", gpu_xml, XmlInput::End::whole, name).said,
                StartsWith("gpuward: domain '" + name + "': "));
}

}  // namespace
}  // namespace gpuward
