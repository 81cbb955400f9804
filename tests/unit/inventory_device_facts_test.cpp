// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/device_facts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.hpp"
#include "fake_host.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using State = DeviceFact::State;

const Uuid web = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const Uuid instance = *parse_uuid("00000000-0000-4000-8000-000000000001");

ClaimedDevice mdev() {
  return {.alias = "ua-gpuward-0",
          .profile = "small",
          .instance = instance,
          .parent = "mtty",
          .type = "mtty-1"};
}

ClaimedDevice vf(Use use, const std::string& type = "-") {
  ClaimedDevice device = whole_card("0000:41:00.1");
  device.use = use;
  device.parent = "0000:41:00.0";
  device.type = type;
  return device;
}

/// "what: state", each.
std::vector<std::string> states(const DeviceFacts& facts) {
  std::vector<std::string> lines;
  for (const DeviceFact& fact : facts) lines.push_back(fact.what + ": " + state_word(fact.state));
  return lines;
}

const DeviceFact& find(const DeviceFacts& facts, const std::string& what) {
  static const DeviceFact none{.what = "no such fact"};
  for (const DeviceFact& fact : facts)
    if (fact.what == what) return fact;
  ADD_FAILURE() << "no fact " << what;
  return none;
}

/// What a device of VFIO's has where all is well.
DeviceReadings good() {
  DeviceReadings found;
  found.process.text = "process 4711 (qemu-system-x86)";
  found.process_uuid.text = to_string(web);
  found.driver.text = "vfio-pci";
  found.group.text = "7";
  found.group_type.text = "DMA-FQ";
  found.host_bound.text = "";
  return found;
}

TEST(DeviceFactsTest, all_is_ok_where_the_kernel_has_what_is_claimed) {
  EXPECT_THAT(states(compare(whole_card("0000:41:00.0"), ExpectedQuota{}, good())),
              ElementsAre("driver: ok", "IOMMU group: ok", "IOMMU group type: ok",
                          "IOMMU group members: ok", "process: ok"));
}

TEST(DeviceFactsTest, each_that_is_something_else_differs) {
  const auto state_with = [](const std::string& what, const auto& change) {
    DeviceReadings found = good();
    change(found);
    return find(compare(whole_card("0000:41:00.0"), ExpectedQuota{}, found), what).state;
  };
  EXPECT_EQ(state_with("driver", [](auto& found) { found.driver.text = "nvidia"; }),
            State::differs);
  EXPECT_EQ(state_with("driver", [](auto& found) { found.driver.text.reset(); }), State::differs);
  EXPECT_EQ(state_with("driver",
                       [](auto& found) {
                         found.driver.text = "nvgrace-gpu-vfio-pci";
                         found.vfio.text = "vfio0";
                       }),
            State::ok);
  EXPECT_EQ(state_with("IOMMU group", [](auto& found) { found.group.text.reset(); }),
            State::differs);
  EXPECT_EQ(state_with("IOMMU group type", [](auto& found) { found.is_noiommu = true; }),
            State::differs);
  EXPECT_EQ(state_with("IOMMU group members",
                       [](auto& found) { found.host_bound.text = "0000:42:00.0"; }),
            State::differs);
  EXPECT_EQ(state_with("process", [](auto& found) { found.process_uuid.text = ""; }),
            State::differs)
      << "the process of another domain";
  EXPECT_EQ(state_with("process", [](auto& found) { found.process_uuid.text.reset(); }),
            State::unknown);
  EXPECT_EQ(state_with("process", [](auto& found) { found.process.text.reset(); }), State::differs);
}

TEST(DeviceFactsTest, what_cannot_be_read_is_unknown_and_not_ok) {
  DeviceReadings found = good();
  found.driver = {{}, "Permission denied"};
  found.group_type.text.reset();
  found.host_bound.text.reset();
  found.process = {{}, "/proc/1/fd: Permission denied"};
  const DeviceFacts facts = compare(whole_card("0000:41:00.0"), ExpectedQuota{}, found);
  EXPECT_THAT(states(facts),
              ElementsAre("driver: unknown", "IOMMU group: ok", "IOMMU group type: unknown",
                          "IOMMU group members: unknown", "process: unknown"));
  EXPECT_EQ(facts[0].reason, "Permission denied");
  EXPECT_EQ(state_of(facts), State::unknown);
  found.group.text.reset();
  EXPECT_EQ(state_of(compare(whole_card("0000:41:00.0"), ExpectedQuota{}, found)), State::differs);
}

TEST(DeviceFactsTest, whether_a_driver_is_one_of_vfios_may_be_unknown) {
  DeviceReadings found = good();
  found.vfio = {{}, "Permission denied"};
  const auto driver = [&] {
    return find(compare(whole_card("0000:41:00.0"), ExpectedQuota{}, found), "driver");
  };
  EXPECT_EQ(driver().state, State::ok) << "vfio-pci is known by its name";
  found.driver.text = "nvgrace-gpu-vfio-pci";
  EXPECT_EQ(driver().state, State::unknown);
  EXPECT_EQ(driver().reason, "whether nvgrace-gpu-vfio-pci is one: Permission denied");
  found.vfio = {};
  EXPECT_EQ(driver().state, State::differs);
}

TEST(DeviceFactsTest, a_vgpu_has_the_type_of_the_claim_byte_for_byte) {
  DeviceReadings found = good();
  for (const auto& [text, state] :
       std::vector<std::pair<std::string, State>>{{"1153", State::ok},
                                                  {"1154", State::differs},
                                                  {"0", State::differs},
                                                  {"01153", State::differs}}) {
    found.vgpu_type.text = text;
    found.vgpu_type_word = "current_vgpu_type";
    EXPECT_EQ(find(compare(vf(Use::vendor_vf, "1153"), ExpectedQuota{}, found), "current_vgpu_type")
                  .state,
              state)
        << text;
  }
}

TEST(DeviceFactsTest, a_vf_has_the_quota_of_the_configuration) {
  DeviceReadings found = good();
  found.vf_profile = {{"vram_quota", {"2147483648", {}}},
                      {"exec_quantum_ms", {"20", {}}},
                      {"preempt_timeout_us", {{}, "Input/output error"}}};
  const auto facts = compare(vf(Use::vf), ExpectedQuota{VfQuota{20U, 500U, 2047U}, {}}, found);
  EXPECT_EQ(find(facts, "vram_quota").state, State::ok) << "rounded up to 2 MiB";
  EXPECT_EQ(find(facts, "exec_quantum_ms").state, State::ok);
  EXPECT_EQ(find(facts, "preempt_timeout_us").reason, "Input/output error");
  const auto other = find(compare(vf(Use::vf), {{25U, {}, {}}, {}}, found), "exec_quantum_ms");
  EXPECT_EQ(other.state, State::differs);
  EXPECT_EQ(other.expected, "25");
  EXPECT_EQ(other.found, "20");
  EXPECT_EQ(find(compare(vf(Use::vf), {{}, "errors"}, found), "quota of the VF").reason, "errors");
  found.vf_profile["exec_quantum_ms"] = {};
  EXPECT_EQ(find(compare(vf(Use::vf), {{20U, {}, {}}, {}}, found), "exec_quantum_ms").state,
            State::unknown);
  found.vf_profile.clear();
  EXPECT_EQ(find(compare(vf(Use::vf), {{20U, {}, {}}, {}}, found), "exec_quantum_ms").state,
            State::unknown);
}

/// Services that a port does not have are hard-wired.
TEST(DeviceFactsTest, all_that_a_port_can_isolate_is_switched_on) {
  DeviceReadings found = good();
  const PciAddress port = at("0000:40:01.0");
  found.ports = {{port, uint16_t{0x1d}, uint16_t{0x1d}, {}}};
  EXPECT_EQ(state_of(compare(whole_card("0000:41:00.0"), ExpectedQuota{}, found)), State::ok);
  found.ports = {{port, uint16_t{0x0d}, uint16_t{0x0d}, {}}};
  EXPECT_EQ(state_of(compare(whole_card("0000:41:00.0"), ExpectedQuota{}, found)), State::ok);
  found.ports = {{port, uint16_t{0x1d}, uint16_t{0x0d}, {}}};
  const auto facts = compare(whole_card("0000:41:00.0"), ExpectedQuota{}, found);
  EXPECT_EQ(find(facts, "ACS of port 0000:40:01.0").expected,
            "SrcValid ReqRedir CmpltRedir UpstreamFwd");
  EXPECT_EQ(find(facts, "ACS of port 0000:40:01.0").found, "SrcValid ReqRedir CmpltRedir");
  EXPECT_EQ(state_of(facts), State::differs);
  found.ports = {{port, {}, {}, "port has no ACS capability"}};
  EXPECT_EQ(state_of(compare(whole_card("0000:41:00.0"), ExpectedQuota{}, found)), State::unknown);
}

// ---- reading

std::string command_line_of(const Uuid& domain) {
  using namespace std::string_literals;
  return "qemu-system-x86_64\0-uuid\0"s + to_string(domain) + "\0-display\0none\0"s;
}

TEST(DeviceFactsReadingTest, an_mdev_is_read_by_its_uuid) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 4).type("mtty-2", 2);
  const auto facts = [&] {
    return compare(mdev(), ExpectedQuota{},
                   read_back(host.root(), web, mdev(), {}, OpenDevices(host.root())));
  };
  EXPECT_THAT(states(facts()),
              ElementsAre("UUID: differs", "parent: differs", "type: differs", "process: differs"));
  host.instance("mtty", "mtty-2", instance);
  host.opens(4711, "qemu-system-x86", instance);
  host.file("/proc/4711/cmdline", command_line_of(web));
  EXPECT_THAT(states(facts()),
              ElementsAre("UUID: ok", "parent: ok", "type: differs", "process: ok"));
  EXPECT_EQ(facts()[2].found, "mtty-2");
  EXPECT_EQ(facts()[3].found, "process 4711 (qemu-system-x86)");
  host.file("/proc/4711/cmdline", command_line_of(instance));
  EXPECT_EQ(facts()[3].state, State::differs);
}

TEST(DeviceFactsReadingTest, a_pci_device_is_read_with_its_group_and_the_vf_profile) {
  FakeHost host;
  host.sriov("0000:41:00.0", 2);
  host.set_vfs("0000:41:00.0", 2);
  host.pci_gpu("0000:41:00.2").driver("vfio-pci");
  host.pci_gpu("0000:41:00.0")
      .attribute("sriov_admin/vf2/profile/vram_quota", "2147483648")
      .attribute("sriov_admin/vf1/profile/vram_quota", "1");
  host.pci_gpu("0000:43:00.0").attribute("class", "0x020000").driver("igb");
  ClaimedDevice device = vf(Use::vf);
  device.address = at("0000:41:00.2");
  const auto group = read_link(host.root().sys("bus/pci/devices/0000:41:00.2/iommu_group"));
  const std::string number(base_name(group.value()));
  host.file("/sys/kernel/iommu_groups/" + number + "/type", "DMA\n");
  host.file("/sys/kernel/iommu_groups/" + number + "/devices/0000:41:00.2", "");
  host.process(4711, "qemu-system-x86", {"/dev/vfio/" + number});
  host.file("/proc/4711/cmdline", command_line_of(web));
  const auto read = [&] {
    return read_back(host.root(), web, device, {device.address}, OpenDevices(host.root()));
  };
  EXPECT_EQ(read().driver.text, "vfio-pci");
  EXPECT_EQ(read().group.text, number);
  EXPECT_EQ(read().group_type.text, "DMA");
  EXPECT_EQ(read().host_bound.text, "");
  EXPECT_EQ(read().process.text, "process 4711 (qemu-system-x86)");
  EXPECT_EQ(read().vf_profile.at("vram_quota").text, "2147483648");
  EXPECT_EQ(state_of(compare(device, {{{}, {}, 2048U}, {}}, read())), State::ok);
  EXPECT_EQ(state_of(compare(device, {{{}, {}, 4096U}, {}}, read())), State::differs);
}

TEST(DeviceFactsReadingTest, a_vfio_device_that_cannot_be_read_is_unknown) {
  FakeHost host;
  host.pci_gpu("0000:41:00.0").driver("xe-vfio-pci").link("vfio-dev", "vfio-dev");  // ELOOP
  const ClaimedDevice card = whole_card("0000:41:00.0");
  const auto found = read_back(host.root(), web, card, {}, OpenDevices(host.root()));
  EXPECT_THAT(found.vfio.unknown, HasSubstr("vfio-dev"));
  EXPECT_EQ(find(compare(card, ExpectedQuota{}, found), "driver").state, State::unknown);
}

}  // namespace
}  // namespace gpuward
