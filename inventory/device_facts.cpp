// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/device_facts.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/joined.hpp"
#include "mdev/instance.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

using State = DeviceFact::State;

// ---- reading

/// What `read` returns; why it cannot.
template <typename Read>
static Reading attempt(const Read& read) {
  try {
    return {read(), {}};
  } catch (const Error& error) {
    return {{}, to_string(error.reason)};
  }
}

static Reading read_text(const std::string& path) {
  return attempt([&] { return read_attribute(path); });
}

static Reading read_link_name(const std::string& path) {
  return attempt([&]() -> std::optional<std::string> {
    const auto target = read_link(path);
    if (!target) return {};
    return std::string(base_name(*target));
  });
}

static void read_mdev(const Root& root, const ClaimedDevice& device, DeviceReadings& found) {
  const std::string path = root.sys("bus/mdev/devices/") + to_string(device.instance);
  found.type = read_link_name(path + "/mdev_type");
  found.parent = attempt([&]() -> std::optional<std::string> {
    const auto instance = find_instance(root, device.instance);
    return instance ? std::optional(instance->parent) : std::nullopt;
  });
}

static void read_group(const Root& root, const ClaimedDevice& device,
                       const std::vector<PciAddress>& own, DeviceReadings& found) {
  found.group = read_link_name(pci_path(root, device.address) + "/iommu_group");
  if (!found.group.text) return;
  const std::string path = root.sys("kernel/iommu_groups/") + *found.group.text;
  found.group_type = read_text(path + "/type");
  // vfio_noiommu_group_alloc (drivers/vfio/group.c) names its groups so.
  const Reading name = read_text(path + "/name");
  found.is_noiommu = name.text == "vfio-noiommu";
  found.host_bound = attempt([&]() -> std::optional<std::string> {
    const auto group = iommu_group_of(root, device.address);
    if (!group || group->members.empty()) return {};
    return joined(host_bound_members(root, *group, own), ", ",
                  [](const PciAddress& member) { return to_string(member); });
  });
}

/// VFs are numbered from 1 by xe (Documentation/ABI/testing/sysfs-driver-intel-xe-sriov).
static void read_vf_profile(const Root& root, const ClaimedDevice& device, DeviceReadings& found) {
  const auto card = parse_pci_address(device.parent);
  if (!card) return;
  const auto vfs = virtual_functions(root, *card);
  const auto vf = std::find(vfs.begin(), vfs.end(), device.address);
  if (vf == vfs.end()) return;
  const auto number = static_cast<unsigned>(vf - vfs.begin()) + 1;
  for (const char* attribute : vf_profile_attributes)
    found.vf_profile[attribute] = read_text(vf_profile_path(root, *card, number, attribute));
}

/// libvirt starts each QEMU with -uuid (qemu_command.c), words of the command line end in NUL.
static Reading read_process_uuid(const Root& root, pid_t pid, const Uuid& domain) {
  return attempt([&]() -> std::optional<std::string> {
    const auto words = read_file(root.proc(std::to_string(pid)) + "/cmdline");
    if (!words) return {};
    const std::string uuid = to_string(domain);
    return ('\0' + *words + '\0').find('\0' + uuid + '\0') == std::string::npos ? "" : uuid;
  });
}

static void read_process(const Root& root, const Uuid& domain, const ClaimedDevice& device,
                         const OpenDevices& open, DeviceReadings& found) {
  std::optional<Holder> holder;
  found.process = attempt([&]() -> std::optional<std::string> {
    holder = open.guest_of(device);
    return holder ? std::optional(to_string(*holder)) : std::nullopt;
  });
  if (holder) found.process_uuid = read_process_uuid(root, holder->pid, domain);
}

DeviceReadings read_back(const Root& root, const Uuid& domain, const ClaimedDevice& device,
                         const std::vector<PciAddress>& own, const OpenDevices& open) {
  DeviceReadings found;
  read_process(root, domain, device, open, found);
  if (is_mediated(device.use)) {
    read_mdev(root, device, found);
    return found;
  }
  const std::string path = pci_path(root, device.address);
  found.driver = read_link_name(path + "/driver");
  found.vfio = attempt([&]() -> std::optional<std::string> {
    const auto names = list_directory(path + "/vfio-dev");
    return names.empty() ? std::nullopt : std::optional(names.front());
  });
  read_group(root, device, own, found);
  found.ports = acs_above(root, device.address);
  if (is_typed_vf(device.use)) {
    found.vgpu_type = attempt([&] { return current_vgpu_text(root, device.address); });
    found.vgpu_type_word = vgpu_type_word(root, device.address);
  }
  if (traits_of(device.use).has_vf_quota) read_vf_profile(root, device, found);
  return found;
}

// ---- comparing

static DeviceFact unknown_fact(std::string what, std::string expected, std::string reason) {
  return {State::unknown, std::move(what), std::move(expected), {}, std::move(reason)};
}

static DeviceFact fact(std::string what, std::string expected, std::string found, bool is_ok) {
  return {is_ok ? State::ok : State::differs,
          std::move(what),
          std::move(expected),
          std::move(found),
          {}};
}

/// Byte for byte; nothing there is something else.
static DeviceFact equal(std::string what, std::string expected, const Reading& found) {
  if (!found.unknown.empty()) return unknown_fact(std::move(what), expected, found.unknown);
  const bool is_ok = found.text == expected;
  return fact(std::move(what), std::move(expected), found.text.value_or("none"), is_ok);
}

static DeviceFact process_fact(const DeviceReadings& found) {
  const std::string expected = "open in the QEMU of the domain";
  const Reading& process = found.process;
  if (!process.unknown.empty()) return unknown_fact("process", expected, process.unknown);
  if (!process.text) return fact("process", expected, "not open in any process", false);
  const Reading& uuid = found.process_uuid;
  if (!uuid.text)
    return unknown_fact("process", expected,
                        "the command line of " + *process.text + " cannot be read" +
                            (uuid.unknown.empty() ? "" : ": " + uuid.unknown));
  return fact("process", expected, *process.text, !uuid.text->empty());
}

/// libvirt takes the driver that the kernel has for the device where it is one of VFIO's, such as
/// xe-vfio-pci (virpci.c, virPCIDeviceFindBestVFIOVariant).
static DeviceFact driver_fact(const ClaimedDevice& device, const DeviceReadings& found) {
  const std::string expected =
      traits_of(device.use).keeps_driver ? "a driver of VFIO's" : "vfio-pci or a variant of it";
  if (!found.driver.unknown.empty()) return unknown_fact("driver", expected, found.driver.unknown);
  const bool is_named = found.driver.text == "vfio-pci";
  if (found.driver.text && !is_named && !found.vfio.unknown.empty())
    return unknown_fact("driver", expected,
                        "whether " + *found.driver.text + " is one: " + found.vfio.unknown);
  return fact("driver", expected, found.driver.text.value_or("none"),
              found.driver.text && (is_named || found.vfio.text));
}

/// The kernel shows the type of the domain in which the host's drivers would have the device: in a
/// guest it is in one of VFIO's own (drivers/iommu/iommu.c, iommu_group_show_type). So each that
/// needs an IOMMU will do.
static DeviceFact group_type_fact(const DeviceReadings& found) {
  const std::string expected = "DMA, DMA-FQ, identity, blocked or unmanaged";
  const Reading& type = found.group_type;
  if (found.is_noiommu) return fact("IOMMU group type", expected, "vfio-noiommu", false);
  if (!type.text || *type.text == "unknown")
    return unknown_fact("IOMMU group type", expected,
                        type.unknown.empty() ? "not reported by the kernel" : type.unknown);
  constexpr std::string_view types[] = {"DMA", "DMA-FQ", "identity", "blocked", "unmanaged"};
  return fact("IOMMU group type", expected, *type.text,
              std::find(std::begin(types), std::end(types), *type.text) != std::end(types));
}

/// Claims of domains that were started by an earlier version do not have its number.
static DeviceFact group_fact(const ClaimedDevice& device, const Reading& group) {
  if (device.iommu_group) return equal("IOMMU group", std::to_string(*device.iommu_group), group);
  if (!group.unknown.empty()) return unknown_fact("IOMMU group", "a group", group.unknown);
  return fact("IOMMU group", "a group", group.text.value_or("none"), group.text.has_value());
}

static void add_group_facts(const ClaimedDevice& device, const DeviceReadings& found,
                            DeviceFacts& facts) {
  facts.push_back(group_fact(device, found.group));
  if (!found.group.text) return;
  facts.push_back(group_type_fact(found));
  const std::string what = "IOMMU group members", expected = "none bound to a host driver";
  if (!found.host_bound.text)
    facts.push_back(unknown_fact(
        what, expected,
        found.host_bound.unknown.empty() ? "not listed by the kernel" : found.host_bound.unknown));
  else
    facts.push_back(fact(what, expected,
                         found.host_bound.text->empty() ? expected : *found.host_bound.text,
                         found.host_bound.text->empty()));
}

/// A service that the port cannot switch is always on (drivers/pci/pci.c, pci_acs_flags_enabled).
static DeviceFact acs_fact(const PortAcs& acs) {
  const std::string what = "ACS of port " + to_string(acs.port);
  if (!acs.able || !acs.enabled) return unknown_fact(what, {}, acs.unknown);
  return fact(what, acs_text(*acs.able), acs_text(*acs.enabled),
              (*acs.enabled & *acs.able) == *acs.able);
}

/// xe rounds up to 2 MiB.
static uint64_t quota_bytes(unsigned mib) {
  return (uint64_t{mib} + mib % 2) << 20;
}

static void add_quota_facts(const ExpectedQuota& expected, const DeviceReadings& found,
                            DeviceFacts& facts) {
  if (!expected.unknown.empty()) {
    facts.push_back(unknown_fact("quota of the VF", {}, expected.unknown));
    return;
  }
  const auto add = [&](const char* attribute, const std::optional<uint64_t>& value) {
    if (!value) return;
    const auto reading = found.vf_profile.find(attribute);
    const std::string number = std::to_string(*value);
    if (reading == found.vf_profile.end())
      facts.push_back(unknown_fact(attribute, number, "device is not a VF of the claimed card"));
    else if (!reading->second.text && reading->second.unknown.empty())
      facts.push_back(unknown_fact(attribute, number, "not reported by the driver"));
    else
      facts.push_back(equal(attribute, number, reading->second));
  };
  const VfQuota& quota = expected.quota;
  if (quota.memory_mib) add("vram_quota", quota_bytes(*quota.memory_mib));
  add("exec_quantum_ms", quota.exec_quantum_ms);
  add("preempt_timeout_us", quota.preempt_timeout_us);
}

DeviceFacts compare(const ClaimedDevice& device, const ExpectedQuota& expected,
                    const DeviceReadings& found) {
  DeviceFacts facts;
  if (is_mediated(device.use)) {
    const std::string uuid = to_string(device.instance);
    const Reading same{found.parent.text ? std::optional(uuid) : std::nullopt,
                       found.parent.unknown};
    facts.push_back(equal("UUID", uuid, same));
    facts.push_back(equal("parent", device.parent, found.parent));
    facts.push_back(equal("type", device.type, found.type));
    facts.push_back(process_fact(found));
    return facts;
  }
  facts.push_back(driver_fact(device, found));
  if (is_typed_vf(device.use))
    facts.push_back(equal(found.vgpu_type_word, vgpu_id(device), found.vgpu_type));
  if (traits_of(device.use).has_vf_quota) add_quota_facts(expected, found, facts);
  add_group_facts(device, found, facts);
  for (const PortAcs& acs : found.ports) facts.push_back(acs_fact(acs));
  facts.push_back(process_fact(found));
  return facts;
}

State state_of(const DeviceFacts& facts) {
  State worst = State::ok;
  for (const DeviceFact& each : facts) {
    if (each.state == State::differs) return State::differs;
    if (each.state == State::unknown) worst = State::unknown;
  }
  return worst;
}

const char* state_word(State state) {
  switch (state) {
    case State::ok:
      return "ok";
    case State::differs:
      return "differs";
    case State::unknown:
      break;
  }
  return "unknown";
}

}  // namespace gpuward
