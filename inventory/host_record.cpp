// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/host_record.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <system_error>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/uuid.hpp"
#include "config/gpu_settings.hpp"
#include "mdev/parent.hpp"
#include "pci/health.hpp"
#include "pci/identity.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"
#include "state/paths.hpp"

namespace gpuward {

using Kind = RecordedFile::Kind;

// ---- what is read of each kind of object. An attribute that is read elsewhere and is not here is
// missing in records: cli_gather_test.cpp and tests/hosts compare what commands print.

/// Of a PCI function.
static constexpr const char* pci_attributes[] = {
    // pci/pci_device.cpp, mdev/parent.cpp
    "class", "vendor", "device", "numa_node", "boot_vga",
    // allocation/placement.cpp
    "local_cpulist",
    // pci/identity.cpp
    "subsystem_vendor", "subsystem_device",
    // pci/virtual_functions.cpp. sriov_numvfs is not read: its reader waits for the lock that a
    // change of it holds (drivers/pci/iov.c, sriov_numvfs_show).
    "sriov_totalvfs", "sriov_offset", "sriov_stride",
    // pci/health.cpp
    "power_state", "power/runtime_status", "reset_method", "aer_dev_correctable",
    "aer_dev_nonfatal", "aer_dev_fatal"};

/// Of xe's PF and each of its VFs, enabled or not (pci/vf_part.cpp).
static constexpr const char* vf_part_attributes[] = {"vram_quota", "exec_quantum_ms",
                                                     "sched_priority"};

/// Of an active one only, as reading them resumes it (pci/health.cpp).
static constexpr const char* active_attributes[] = {"current_link_speed", "current_link_width",
                                                    "max_link_speed", "max_link_width"};

/// amdgpu's (pci/identity.cpp).
static constexpr const char* serial_attributes[] = {"serial_number", "unique_id"};

/// Read for their names only.
static constexpr const char* pci_links[] = {"driver", "iommu_group", "physfn"};

/// That they exist is all that is read: `reset` is write-only, graphics/fb0 a directory.
static constexpr const char* pci_marks[] = {"reset", "graphics/fb0"};

/// Of a type of mediated devices (mdev/parent.cpp).
static constexpr const char* type_attributes[] = {"name", "device_api", "description",
                                                  "available_instances"};

// ---- reading

struct Recording {
  const Root& root;
  HostRecord record{};
  std::set<std::string> done{};  ///< devices, by name
};

static std::string key_of(const std::string& path) {
  return path.substr(1);
}

static void add(Recording& recording, const std::string& path, Kind kind, std::string text) {
  recording.record.files[key_of(path)] = {kind, std::move(text)};
}

/// What `read` returns; nothing, and a line in the record, when it throws.
template <typename Read>
static auto attempt(Recording& recording, const std::string& path, Read read) -> decltype(read()) {
  try {
    return read();
  } catch (const SystemError& error) {
    recording.record.unreadable.push_back(path + ": " + errno_text(error.code));
  } catch (const Error& error) {
    recording.record.unreadable.push_back(path + ": " + error.reason.problem);
  }
  return {};
}

static void add_attribute(Recording& recording, const std::string& path, Kind kind = Kind::text) {
  const auto text =
      attempt(recording, path, [&] { return read_attribute(recording.root.at(path)); });
  if (text) add(recording, path, kind, *text + '\n');
}

static void add_file(Recording& recording, const std::string& path) {
  const auto text = attempt(recording, path, [&] { return read_file(recording.root.at(path)); });
  if (text) add(recording, path, Kind::text, *text);
}

static std::optional<std::string> add_link(Recording& recording, const std::string& path) {
  auto target = attempt(recording, path, [&] { return read_link(recording.root.at(path)); });
  if (target) add(recording, path, Kind::link, *target);
  return target;
}

static std::vector<std::string> names_in(Recording& recording, const std::string& path) {
  return attempt(recording, path, [&] { return list_directory(recording.root.at(path)); });
}

static bool has(Recording& recording, const std::string& path) {
  return attempt(recording, path, [&] { return exists(recording.root.at(path)); });
}

static void add_mark(Recording& recording, const std::string& path) {
  if (!has(recording, path)) return;
  std::error_code code;
  const auto status = std::filesystem::status(recording.root.at(path), code);
  if (status.type() == std::filesystem::file_type::none)
    return recording.record.unreadable.push_back(path + ": " + errno_text(code.value()));
  const bool is_file = std::filesystem::is_regular_file(status);
  add(recording, path, is_file ? Kind::text : Kind::directory, "");
}

/// Where the links that lead to a directory end: their own files are recorded there, so that they
/// are found by each of these links.
static std::string followed(Recording& recording, std::string path) {
  constexpr int deepest = 8;
  for (int level = 0; level < deepest; ++level) {
    const auto target = add_link(recording, path);
    if (!target) return path;
    path = (std::filesystem::path(path).parent_path() / *target).lexically_normal().string();
  }
  return path;
}

// ---- devices

static void add_vfio_device(Recording& recording, const std::string& directory) {
  const std::string devices = directory + "/vfio-dev";
  if (!has(recording, devices)) return;
  add(recording, devices, Kind::directory, "");
  for (const std::string& name : names_in(recording, devices))
    add(recording, devices + '/' + name, Kind::directory, "");
}

/// One that blocks while it is removed has left /sys/bus/mdev and keeps its directory.
static void add_instance(Recording& recording, const std::string& directory) {
  add(recording, directory, Kind::directory, "");
  add_link(recording, directory + "/mdev_type");
  add_link(recording, directory + "/iommu_group");
  add_vfio_device(recording, directory);
}

static void add_instances_below(Recording& recording, const std::string& directory) {
  for (const std::string& name : names_in(recording, directory))
    if (parse_uuid(name)) add_instance(recording, directory + '/' + name);
}

static void add_types(Recording& recording, const std::string& directory) {
  const std::string types = directory + "/mdev_supported_types";
  for (const std::string& type : names_in(recording, types)) {
    if (!is_device_name(type)) continue;
    add(recording, types + '/' + type, Kind::directory, "");
    for (const char* const name : type_attributes)
      add_attribute(recording, types + '/' + type + '/' + name);
  }
}

/// Only its serial number: the rest may hold a key or an address of the host's.
static void add_config_space(Recording& recording, const std::string& directory,
                             const PciAddress& address) {
  const std::string path = directory + "/config";
  if (!has(recording, path)) return;
  const auto serial =
      attempt(recording, path, [&] { return pcie_serial_number(recording.root, address); });
  add(recording, path, Kind::pcie_serial, serial && *serial != 0 ? serial_text(*serial) : "");
}

static void add_pci_attributes(Recording& recording, const std::string& directory,
                               const PciAddress& address) {
  const auto add_all = [&](const auto& names, Kind kind) {
    for (const char* const name : names) add_attribute(recording, directory + '/' + name, kind);
  };
  add_all(pci_attributes, Kind::text);
  add_all(vgpu_attributes(recording.root, address), Kind::text);
  add_all(serial_attributes, Kind::serial);
  if (is_awake(recording.root, address)) add_all(active_attributes, Kind::text);
  for (const char* const name : pci_links) add_link(recording, directory + '/' + name);
  for (const char* const name : pci_marks) add_mark(recording, directory + '/' + name);
}

static void add_virtual_function_links(Recording& recording, const std::string& directory) {
  for (unsigned number = 0;; ++number)
    if (!add_link(recording, directory + "/virtfn" + std::to_string(number))) return;
}

static void add_vf_parts(Recording& recording, const std::string& directory) {
  const std::string parts = directory + "/sriov_admin";
  for (const std::string& part : names_in(recording, parts))
    if (part.starts_with("pf") || part.starts_with("vf"))
      for (const char* const name : vf_part_attributes)
        add_attribute(recording, parts + '/' + part + "/profile/" + name);
}

/// Nothing where it was recorded before or does not exist.
static std::optional<std::string> add_pci_function(Recording& recording,
                                                   const PciAddress& address) {
  const std::string link = "/sys/bus/pci/devices/" + to_string(address);
  if (!has(recording, link) || !recording.done.insert(to_string(address)).second) return {};
  const std::string directory = followed(recording, link);
  add_pci_attributes(recording, directory, address);
  add_virtual_function_links(recording, directory);
  if (is_awake(recording.root, address)) add_vf_parts(recording, directory);
  add_config_space(recording, directory, address);
  add_vfio_device(recording, directory);
  add_instances_below(recording, directory);
  add_attribute(recording, "/proc/driver/nvidia/gpus/" + to_string(address) + "/information");
  return directory;
}

/// The bridges above a device, whose directories it is in.
static void add_bridges(Recording& recording, const std::string& directory) {
  for (const auto& part : std::filesystem::path(directory).parent_path())
    if (const auto address = parse_pci_address(part.string()))
      add_pci_function(recording, *address);
}

/// VFIO checks all of a group's members.
static void add_group(Recording& recording, const PciAddress& address) {
  const auto group = attempt(recording, "iommu_group of " + to_string(address),
                             [&] { return iommu_group_of(recording.root, address); });
  if (!group) return;
  const std::string devices =
      "/sys/kernel/iommu_groups/" + std::to_string(group->number) + "/devices";
  for (const std::string& name : names_in(recording, devices))
    add_link(recording, devices + '/' + name);
  for (const PciAddress& member : group->members) add_pci_function(recording, member);
}

static void add_device(Recording& recording, const PciAddress& address) {
  const auto directory = add_pci_function(recording, address);
  if (!directory) return;
  add_bridges(recording, *directory);
  add_group(recording, address);
}

/// A card with what goes with it.
static void add_card(Recording& recording, const PciAddress& address) {
  add_device(recording, address);
  const Root& root = recording.root;
  const std::string name = to_string(address);
  for (const PciAddress& other :
       attempt(recording, name, [&] { return companions(root, address); }))
    add_device(recording, other);
  for (const PciAddress& vf :
       attempt(recording, name, [&] { return virtual_functions(root, address); }))
    add_device(recording, vf);
  const auto device = attempt(recording, name, [&] { return find_pci_device(root, address); });
  if (device && device->physical_function) add_device(recording, *device->physical_function);
}

static void add_parent(Recording& recording, const std::string& name) {
  const std::string directory = followed(recording, "/sys/class/mdev_bus/" + name);
  add_types(recording, directory);
  if (const auto address = parse_pci_address(name)) return add_card(recording, *address);
  add_link(recording, directory + "/driver");
  add_instances_below(recording, directory);
}

static void add_mdevs(Recording& recording) {
  for (const std::string& name : names_in(recording, "/sys/class/mdev_bus"))
    if (is_device_name(name)) add_parent(recording, name);
  for (const std::string& name : names_in(recording, "/sys/bus/mdev/devices"))
    add_instance(recording, followed(recording, "/sys/bus/mdev/devices/" + name));
}

/// Those of recorded devices: the address of a slot is that of its device without a function.
static void add_slots(Recording& recording) {
  const std::string slots = "/sys/bus/pci/slots";
  for (const std::string& name : names_in(recording, slots)) {
    const std::string path = slots + '/' + name + "/address";
    const auto address =
        attempt(recording, path, [&] { return read_attribute(recording.root.at(path)); });
    if (address && recording.done.contains(*address + ".0")) add_attribute(recording, path);
  }
}

// ---- what gpuward keeps

static void add_state(Recording& recording) {
  const Root none;  // its paths as they are on the host
  for (const std::string& directory : {paths::claims(none), paths::vf_settings(none),
                                       paths::single_use(none), paths::quarantine(none)})
    for (const std::string& name : names_in(recording, directory))
      if (name.front() != '.' && name.find(".tmp") == name.npos)
        add_file(recording, directory + '/' + name);
  // A claim of another boot counts for nothing (state/claim_store.cpp).
  add_attribute(recording, "/proc/sys/kernel/random/boot_id");
}

/// A display device or accelerator, and what a [gpu] section names.
static bool may_be_gpu(Recording& recording, const Config& config, const PciAddress& address) {
  const auto device = attempt(recording, "/sys/bus/pci/devices/" + to_string(address),
                              [&] { return find_pci_device(recording.root, address); });
  if (!device) return false;
  const GpuId id{.name = to_string(address),
                 .address = address,
                 .vendor = device->vendor,
                 .device = device->device};
  return is_gpu_class(device->pci_class) ||
         std::any_of(config.gpus.begin(), config.gpus.end(),
                     [&](const GpuSection& section) { return declares_gpu(section.selector, id); });
}

HostRecord record_host(const Root& root, const Config& config) {
  Recording recording{root};
  const auto addresses =
      attempt(recording, "/sys/bus/pci/devices", [&] { return pci_addresses(root); });
  for (const PciAddress& address : addresses)
    if (may_be_gpu(recording, config, address)) add_card(recording, address);
  add_mdevs(recording);
  add_slots(recording);
  add_state(recording);
  return std::move(recording.record);
}

std::string config_space_of(const std::string& serial) {
  if (serial.empty()) return {};
  constexpr size_t first_capability = 0x100, size = 12;
  std::string space(first_capability + size, '\0');
  // Id 3, Device Serial Number, version 1, and no capability after it (PCIe, Device Serial Number
  // Extended Capability).
  space[first_capability] = 3;
  space[first_capability + 2] = 1;
  size_t at = space.size();
  for (size_t digit = 0; digit + 2 <= serial.size() && at > first_capability + 4; digit += 3) {
    unsigned byte = 0;
    std::from_chars(serial.data() + digit, serial.data() + digit + 2, byte, 16);
    space[--at] = static_cast<char>(byte);  // the most significant is written first
  }
  return space;
}

}  // namespace gpuward
