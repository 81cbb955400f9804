// SPDX-License-Identifier: LGPL-2.1-or-later
// A /sys in user space whose attributes do what the kernel's do: what is written to `create`,
// `remove`, `sriov_numvfs`, `nvidia/current_vgpu_type`, `bind` and the like makes and removes
// devices, with the errno of the kernel (drivers/vfio/mdev, drivers/pci/iov.c, pci-sysfs.c).
#define FUSE_USE_VERSION 31
#include <fuse.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr const char* usage =
    "usage: sysfs MOUNTPOINT HOST\n"
    "\n"
    "Lines of HOST:\n"
    "  driver NAME\n"
    "  pci ADDRESS VENDOR DEVICE CLASS DRIVER|- GROUP\n"
    "  attribute ADDRESS NAME TEXT\n"
    "  mdev ADDRESS TYPE MOST             types of a device share it, an instance takes 1/MOST\n"
    "  sriov ADDRESS TOTAL OFFSET STRIDE DRIVER-OF-VFS|-\n"
    "  quota ADDRESS                      sriov_admin, as xe has it\n"
    "  vgpu ADDRESS CAPACITY ID SIZE NAME a type that VFs of this PF can have\n"
    "\n"
    "Beside the attributes: /.tracer/control takes 'save NAME', 'load NAME', 'forget' (the\n"
    "writes); /.tracer/writes has each write, 'ERRNO PATH VALUE', /.tracer/state a line for each\n"
    "mdev ('mdev UUID PARENT TYPE'), vGPU ('vgpu VF ID'), PF that has VFs ('vfs PF NUMBER') and\n"
    "setting of a VF ('quota PF vfN NAME VALUE').\n";

// --- What there is ---

struct Node {
  enum class Kind { directory, file, link } kind = Kind::directory;
  unsigned mode = 0755;
  std::string text{};  ///< of a file, or the target of a link
};

struct VirtualFunctions {
  unsigned total = 0, offset = 1, stride = 1, count = 0;
  std::string driver;  ///< that takes them when drivers_autoprobe is 1
};

struct VgpuType {
  unsigned id = 0, size = 0;
  std::string name;
};

struct Vgpus {
  unsigned capacity = 0;
  std::vector<VgpuType> types;
};

struct Host {
  std::map<std::string, Node> nodes{{"/", {}}};
  std::map<std::string, std::map<std::string, unsigned>> mdev_types;  ///< MOST by device and type
  std::map<std::string, VirtualFunctions> sriov;
  std::map<std::string, Vgpus> vgpus;           ///< by PF
  std::map<std::string, unsigned> vgpu_of;      ///< type by VF
  std::map<std::string, std::string> physical;  ///< PF by VF
  unsigned next_group = 200;
};

Host host;
std::map<std::string, Host> saved;
std::string written;

// --- Text ---

std::string trim(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

template <typename Number>
std::optional<Number> number_in(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

bool is_uuid(const std::string& text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < 36; ++i) {
    const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (is_dash ? text[i] != '-' : !std::isxdigit(static_cast<unsigned char>(text[i])))
      return false;
  }
  return true;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// --- Nodes ---

void add_directory(const std::string& path) {
  if (host.nodes.contains(path)) return;
  add_directory(parent_of(path));
  host.nodes[path] = {};
}

void add_file(const std::string& path, const std::string& text, unsigned mode = 0644) {
  add_directory(parent_of(path));
  host.nodes[path] = {Node::Kind::file, mode, text};
}

/// `target` from the top; the link is relative, as in sysfs.
void add_link(const std::string& path, const std::string& target) {
  add_directory(parent_of(path));
  std::string up;
  for (const char c : parent_of(path))
    if (c == '/') up += "../";
  host.nodes[path] = {Node::Kind::link, 0777, up.substr(0, up.size() - 1) + target};
}

void remove_tree(const std::string& path) {
  host.nodes.erase(path);
  auto at = host.nodes.lower_bound(path + '/');
  while (at != host.nodes.end() && at->first.starts_with(path + '/')) at = host.nodes.erase(at);
}

std::string device_path(const std::string& address) {
  return "/devices/pci" + address.substr(0, 7) + '/' + address;
}

/// With the number of VFIO's node of it, which the kernel gives a group for a driver of VFIO: here
/// each has it.
void link_group(const std::string& device, const std::string& group) {
  add_link(device + "/iommu_group", group);
  add_file("/class/vfio/" + name_of(group) + "/dev", "244:" + name_of(group) + '\n', 0444);
}

void remove_group(const std::string& device) {
  const auto link = host.nodes.find(device + "/iommu_group");
  if (link == host.nodes.end()) return;
  const std::string number = name_of(link->second.text);
  remove_tree("/kernel/iommu_groups/" + number);
  remove_tree("/class/vfio/" + number);
}

std::string attribute(const std::string& address, const std::string& name) {
  const auto found = host.nodes.find(device_path(address) + '/' + name);
  return found == host.nodes.end() ? "" : trim(found->second.text);
}

// --- PCI devices ---

void bind(const std::string& address, const std::string& driver) {
  const std::string directory = "/bus/pci/drivers/" + driver;
  add_link(device_path(address) + "/driver", directory);
  add_link(directory + '/' + address, device_path(address));
  // A provider of VFIO devices: vfio-pci, and NVIDIA's driver for its VFs.
  if (driver == "vfio-pci" || (driver == "nvidia" && host.physical.contains(address)))
    add_directory(device_path(address) + "/vfio-dev/vfio" + address.substr(5, 2) +
                  std::to_string(address.back() - '0'));
}

void unbind(const std::string& address) {
  const auto link = host.nodes.find(device_path(address) + "/driver");
  if (link == host.nodes.end()) return;
  host.nodes.erase("/bus/pci/drivers/" + name_of(link->second.text) + '/' + address);
  host.nodes.erase(link);
  remove_tree(device_path(address) + "/vfio-dev");
}

void add_pci(const std::string& address, const std::string& vendor, const std::string& device,
             const std::string& pci_class, const std::string& driver, unsigned group) {
  const std::string path = device_path(address);
  const std::string group_path = "/kernel/iommu_groups/" + std::to_string(group);
  add_file(path + "/vendor", "0x" + vendor + '\n', 0444);
  add_file(path + "/device", "0x" + device + '\n', 0444);
  add_file(path + "/class", "0x" + pci_class + '\n', 0444);
  add_file(path + "/subsystem_vendor", "0x" + vendor + '\n', 0444);
  add_file(path + "/subsystem_device", "0x0001\n", 0444);
  add_file(path + "/numa_node", "-1\n");
  add_file(path + "/power_state", "D0\n", 0444);
  add_file(path + "/driver_override", "(null)\n");
  add_file(path + "/reset", "", 0200);
  add_file(path + "/reset_method", "flr bus\n");
  link_group(path, group_path);
  add_link(group_path + "/devices/" + address, path);
  add_link("/bus/pci/devices/" + address, path);
  if (driver != "-") bind(address, driver);
}

void remove_pci(const std::string& address) {
  unbind(address);
  remove_group(device_path(address));
  host.nodes.erase("/bus/pci/devices/" + address);
  remove_tree(device_path(address));
}

/// drivers/base/dd.c: writing an address to drivers/NAME/bind.
int write_bind(const std::string& driver, const std::string& address) {
  if (!host.nodes.contains("/bus/pci/devices/" + address)) return ENODEV;
  if (host.nodes.contains(device_path(address) + "/driver")) return EBUSY;
  const std::string override_text = attribute(address, "driver_override");
  if (driver == "vfio-pci" ? override_text != driver
                           : override_text != "(null)" && override_text != driver)
    return ENODEV;
  bind(address, driver);
  return 0;
}

int write_unbind(const std::string& driver, const std::string& address) {
  if (!host.nodes.contains("/bus/pci/drivers/" + driver + '/' + address)) return ENODEV;
  unbind(address);
  return 0;
}

int write_probe(const std::string& address) {
  if (!host.nodes.contains("/bus/pci/devices/" + address)) return EINVAL;
  const std::string wanted = attribute(address, "driver_override");
  if (host.nodes.contains(device_path(address) + "/driver")) return 0;
  if (wanted != "(null)" && host.nodes.contains("/bus/pci/drivers/" + wanted))
    bind(address, wanted);
  return 0;
}

// --- Virtual functions: drivers/pci/iov.c ---

std::string vf_address(const std::string& pf, unsigned index) {
  const VirtualFunctions& sriov = host.sriov.at(pf);
  unsigned domain, bus, slot, function;
  std::sscanf(pf.c_str(), "%x:%x:%x.%x", &domain, &bus, &slot, &function);
  const unsigned id =
      ((bus << 8 | slot << 3 | function) + sriov.offset + sriov.stride * index) & 0xffff;
  char text[16];
  std::snprintf(text, sizeof text, "%04x:%02x:%02x.%x", domain & 0xffff, id >> 8, id >> 3 & 0x1f,
                id & 7);
  return text;
}

void add_vgpu_attributes(const std::string& pf, const std::string& vf) {
  if (!host.vgpus.contains(pf)) return;
  host.vgpu_of[vf] = 0;
  add_file(device_path(vf) + "/nvidia/current_vgpu_type", "");
  add_file(device_path(vf) + "/nvidia/creatable_vgpu_types", "", 0444);
}

void add_vf(const std::string& pf, unsigned index) {
  const std::string vf = vf_address(pf, index);
  const bool probes = attribute(pf, "sriov_drivers_autoprobe") == "1";
  host.physical[vf] = pf;
  add_pci(vf, attribute(pf, "vendor").substr(2), attribute(pf, "device").substr(2),
          attribute(pf, "class").substr(2), probes ? host.sriov.at(pf).driver : "-",
          host.next_group++);
  add_link(device_path(vf) + "/physfn", device_path(pf));
  add_link(device_path(pf) + "/virtfn" + std::to_string(index), device_path(vf));
  add_vgpu_attributes(pf, vf);
}

void remove_vfs(const std::string& pf) {
  VirtualFunctions& sriov = host.sriov.at(pf);
  for (unsigned index = 0; index < sriov.count; ++index) {
    const std::string vf = vf_address(pf, index);
    host.nodes.erase(device_path(pf) + "/virtfn" + std::to_string(index));
    remove_pci(vf);
    host.vgpu_of.erase(vf);
    host.physical.erase(vf);
  }
  sriov.count = 0;
  // xe sets the times back when its VFs are disabled, and drops what memory was set aside.
  for (auto& [path, node] : host.nodes)
    if (path.starts_with(device_path(pf) + "/sriov_admin/vf") && node.kind == Node::Kind::file)
      node.text = "0\n";
}

int write_numvfs(const std::string& pf, const std::string& value) {
  VirtualFunctions& sriov = host.sriov.at(pf);
  const auto count = number_in<uint16_t>(value);
  if (!count) return EINVAL;
  if (*count > sriov.total) return ERANGE;
  if (*count == sriov.count) return 0;
  if (!host.nodes.contains(device_path(pf) + "/driver")) return ENOENT;
  if (*count > 0 && sriov.count > 0) return EBUSY;
  if (*count == 0) {
    remove_vfs(pf);
    return 0;
  }
  for (unsigned index = 0; index < *count; ++index) add_vf(pf, index);
  sriov.count = *count;
  return 0;
}

int write_quota(const std::string& pf, const std::string& path, const std::string& value) {
  if (!number_in<uint64_t>(value)) return EINVAL;
  if (host.sriov.at(pf).count > 0 && path.ends_with("/vram_quota")) return EBUSY;
  host.nodes.at(path).text = value + '\n';
  return 0;
}

// --- NVIDIA's vGPUs on VFs ---

/// All vGPUs of a card have the size of the first, and fit into it together.
std::vector<VgpuType> creatable(const std::string& vf) {
  std::vector<VgpuType> found;
  const std::string& pf = host.physical.at(vf);
  const Vgpus& vgpus = host.vgpus.at(pf);
  if (host.vgpu_of.at(vf) != 0) return found;
  unsigned used = 0, size = 0;
  for (const auto& [other, type] : host.vgpu_of)
    for (const VgpuType& there : vgpus.types)
      if (there.id == type && host.physical.at(other) == pf) used += size = there.size;
  for (const VgpuType& type : vgpus.types)
    if ((size == 0 || type.size == size) && used + type.size <= vgpus.capacity)
      found.push_back(type);
  return found;
}

std::string creatable_text(const std::string& vf) {
  std::string text = "ID    : vGPU Name\n";
  for (const VgpuType& type : creatable(vf)) {
    std::string id = std::to_string(type.id);
    id.resize(std::max<size_t>(id.size(), 6), ' ');
    text += id + ": " + type.name + '\n';
  }
  return text;
}

int write_vgpu(const std::string& vf, const std::string& value) {
  const auto id = number_in<unsigned>(value);
  if (!id) return EINVAL;
  unsigned& current = host.vgpu_of.at(vf);
  if (*id != 0) {
    if (current != 0) return EBUSY;
    const auto types = creatable(vf);
    if (std::none_of(types.begin(), types.end(),
                     [&](const VgpuType& type) { return type.id == *id; }))
      return EINVAL;
  }
  current = *id;
  return 0;
}

// --- Mediated devices: drivers/vfio/mdev ---

std::vector<std::string> instances_of(const std::string& address, const std::string& type) {
  std::vector<std::string> found;
  const std::string directory =
      device_path(address) + "/mdev_supported_types/" + type + "/devices/";
  for (auto at = host.nodes.lower_bound(directory);
       at != host.nodes.end() && at->first.starts_with(directory); ++at)
    found.push_back(name_of(at->first));
  return found;
}

unsigned available(const std::string& address, const std::string& type) {
  const auto& types = host.mdev_types.at(address);
  unsigned whole = 1;  // a number of parts that each type takes a whole number of
  for (const auto& [name, most] : types) whole *= most;
  unsigned used = 0;
  for (const auto& [name, most] : types)
    used += whole / most * static_cast<unsigned>(instances_of(address, name).size());
  return (whole - used) / (whole / types.at(type));
}

int write_create(const std::string& address, const std::string& type, const std::string& value) {
  if (value.size() != 36 && !(value.size() == 37 && value.back() == '\n')) return EINVAL;
  const std::string uuid = trim(value);
  if (!is_uuid(uuid)) return EINVAL;
  if (host.nodes.contains("/bus/mdev/devices/" + uuid)) return EEXIST;
  if (available(address, type) == 0) return ENOSPC;
  const std::string path = device_path(address) + '/' + uuid;
  const std::string type_path = device_path(address) + "/mdev_supported_types/" + type;
  const std::string group = "/kernel/iommu_groups/" + std::to_string(host.next_group++);
  add_file(path + "/remove", "", 0200);
  add_link(path + "/mdev_type", type_path);
  link_group(path, group);
  add_link(group + "/devices/" + uuid, path);
  add_link(type_path + "/devices/" + uuid, path);
  add_link("/bus/mdev/devices/" + uuid, path);
  return 0;
}

int write_remove(const std::string& path, const std::string& value) {
  const auto number = number_in<unsigned long>(trim(value));
  if (!number) return EINVAL;
  if (*number == 0) return 0;
  const std::string uuid = name_of(path);
  const std::string type = name_of(host.nodes.at(path + "/mdev_type").text);
  remove_group(path);
  host.nodes.erase(parent_of(path) + "/mdev_supported_types/" + type + "/devices/" + uuid);
  host.nodes.erase("/bus/mdev/devices/" + uuid);
  remove_tree(path);
  return 0;
}

// --- Reads and writes ---

/// "0000:41:00.0" of "/devices/pci0000:41/0000:41:00.0/…", and what is behind it.
std::optional<std::pair<std::string, std::string>> device_of(const std::string& path) {
  if (!path.starts_with("/devices/pci")) return {};
  const auto start = path.find('/', 12);
  if (start == std::string::npos) return {};
  const auto end = path.find('/', start + 1);
  if (end == std::string::npos) return {};
  return std::pair(path.substr(start + 1, end - start - 1), path.substr(end + 1));
}

std::string state_text() {
  std::string text;
  for (const auto& [path, node] : host.nodes) {
    const auto device = device_of(path);
    if (!device) continue;
    const auto& [address, name] = *device;
    const std::string directory = parent_of('/' + name).substr(1);
    if (name.ends_with("/mdev_type") && is_uuid(directory))
      text += "mdev " + directory + ' ' + address + ' ' + name_of(node.text) + '\n';
    if (name.starts_with("sriov_admin/vf") && node.kind == Node::Kind::file && node.text != "0\n")
      text += "quota " + address + ' ' + name.substr(12, name.find('/', 12) - 12) + ' ' +
              name_of(name) + ' ' + node.text;
  }
  for (const auto& [vf, type] : host.vgpu_of)
    if (type != 0) text += "vgpu " + vf + ' ' + std::to_string(type) + '\n';
  for (const auto& [pf, sriov] : host.sriov)
    if (sriov.count != 0) text += "vfs " + pf + ' ' + std::to_string(sriov.count) + '\n';
  return text;
}

std::string text_of(const std::string& path) {
  if (path == "/.tracer/writes") return written;
  if (path == "/.tracer/state") return state_text();
  const auto device = device_of(path);
  if (device) {
    const auto& [address, name] = *device;
    if (name == "sriov_numvfs") return std::to_string(host.sriov.at(address).count) + '\n';
    if (name == "nvidia/current_vgpu_type") return std::to_string(host.vgpu_of.at(address)) + '\n';
    if (name == "nvidia/creatable_vgpu_types") return creatable_text(address);
    if (name.ends_with("/available_instances"))
      return std::to_string(available(address, name_of(parent_of(name)))) + '\n';
  }
  return host.nodes.at(path).text;
}

int write_device(const std::string& path, const std::string& address, const std::string& name,
                 const std::string& raw) {
  const std::string value = trim(raw);
  if (name.starts_with("mdev_supported_types/") && name.ends_with("/create"))
    return write_create(address, name_of(parent_of(name)), raw);
  if (name.ends_with("/remove") && is_uuid(parent_of('/' + name).substr(1)))
    return write_remove(parent_of(path), raw);
  if (name == "sriov_numvfs") return write_numvfs(address, value);
  if (name == "nvidia/current_vgpu_type") return write_vgpu(address, value);
  if (name.starts_with("sriov_admin/")) return write_quota(address, path, value);
  if (name == "reset") return value == "1" ? 0 : EINVAL;
  if (name == "driver_override") {
    host.nodes.at(path).text = (value.empty() ? "(null)" : value) + '\n';
    return 0;
  }
  if (name == "sriov_drivers_autoprobe") {
    if (value != "0" && value != "1") return EINVAL;
    host.nodes.at(path).text = value + '\n';
    return 0;
  }
  if (name == "reset_method") {
    for (std::istringstream words(value); words;)
      if (std::string word; words >> word && word != "flr" && word != "bus" && word != "default")
        return EINVAL;
    host.nodes.at(path).text = (value == "default" ? "flr bus" : value) + '\n';
    return 0;
  }
  return EIO;
}

int control(const std::string& command) {
  const std::string name = command.substr(std::min(command.size(), command.find(' ') + 1));
  if (command == "forget") {
    written.clear();
  } else if (command.starts_with("save ")) {
    saved[name] = host;
  } else if (command.starts_with("load ")) {
    if (!saved.contains(name)) return EINVAL;
    host = saved.at(name);
    written.clear();
  } else {
    return EINVAL;
  }
  return 0;
}

int write_text(const std::string& path, const std::string& raw) {
  if (path == "/.tracer/control") return control(trim(raw));
  int error = EIO;
  if (const auto device = device_of(path)) {
    error = write_device(path, device->first, device->second, raw);
  } else if (path == "/bus/pci/drivers_probe") {
    error = write_probe(trim(raw));
  } else if (path.ends_with("/bind")) {
    error = write_bind(name_of(parent_of(path)), trim(raw));
  } else if (path.ends_with("/unbind")) {
    error = write_unbind(name_of(parent_of(path)), trim(raw));
  }
  written += std::to_string(error) + ' ' + path + ' ' + trim(raw) + '\n';
  return error;
}

// --- The description of a host ---

void add_mdev_type(const std::string& address, const std::string& type, unsigned most) {
  const std::string path = device_path(address) + "/mdev_supported_types/" + type;
  host.mdev_types[address][type] = most;
  add_file(path + "/create", "", 0200);
  add_file(path + "/available_instances", "", 0444);
  add_file(path + "/device_api", "vfio-pci\n", 0444);
  add_file(path + "/name", "GRID " + type + '\n', 0444);
  add_file(
      path + "/description",
      "num_heads=4, frl_config=45, framebuffer=1024M, max_resolution=5120x2880, max_instance=" +
          std::to_string(most) + '\n',
      0444);
  add_directory(path + "/devices");
  add_link("/class/mdev_bus/" + address, device_path(address));
}

void add_sriov(const std::string& address, VirtualFunctions sriov) {
  const std::string path = device_path(address);
  add_file(path + "/sriov_totalvfs", std::to_string(sriov.total) + '\n', 0444);
  add_file(path + "/sriov_numvfs", "");
  add_file(path + "/sriov_offset", std::to_string(sriov.offset) + '\n', 0444);
  add_file(path + "/sriov_stride", std::to_string(sriov.stride) + '\n', 0444);
  add_file(path + "/sriov_drivers_autoprobe", "1\n");
  host.sriov[address] = std::move(sriov);
}

void add_quota(const std::string& address) {
  for (unsigned number = 1; number <= host.sriov.at(address).total; ++number)
    for (const char* name : {"vram_quota", "exec_quantum_ms", "preempt_timeout_us"})
      add_file(
          device_path(address) + "/sriov_admin/vf" + std::to_string(number) + "/profile/" + name,
          "0\n");
}

void add_driver(const std::string& name) {
  add_file("/bus/pci/drivers/" + name + "/bind", "", 0200);
  add_file("/bus/pci/drivers/" + name + "/unbind", "", 0200);
}

bool describe(const std::string& line) {
  std::istringstream words(line);
  std::string word, address, a, b, c, d;
  unsigned x = 0, y = 0, z = 0;
  words >> word;
  if (word.empty() || word[0] == '#') return true;
  if (word == "driver" && words >> a) return add_driver(a), true;
  if (!(words >> address)) return false;
  if (word == "pci" && words >> a >> b >> c >> d >> x) return add_pci(address, a, b, c, d, x), true;
  if (word == "attribute" && words >> a && std::getline(words >> std::ws, b))
    return add_file(device_path(address) + '/' + a, b + '\n'), true;
  if (word == "mdev" && words >> a >> x) return add_mdev_type(address, a, x), true;
  if (word == "sriov" && words >> x >> y >> z >> a)
    return add_sriov(address, {x, y, z, 0, a}), true;
  if (word == "quota") return add_quota(address), true;
  if (word == "vgpu" && words >> x >> y >> z && std::getline(words >> std::ws, a)) {
    host.vgpus[address].capacity = x;
    host.vgpus[address].types.push_back({y, z, a});
    return true;
  }
  return false;
}

void read_host(const char* file) {
  for (const char* path : {"/bus/mdev/devices", "/bus/pci/devices", "/bus/pci/slots",
                           "/class/mdev_bus", "/kernel/iommu_groups"})
    add_directory(path);
  add_file("/bus/pci/drivers_probe", "", 0200);
  add_file("/.tracer/control", "", 0200);
  add_file("/.tracer/writes", "", 0444);
  add_file("/.tracer/state", "", 0444);
  std::ifstream text(file);
  for (std::string line; std::getline(text, line);)
    if (!describe(line)) {
      std::cerr << "sysfs: " << file << ": not understood: " << line << '\n';
      std::exit(2);
    }
}

// --- FUSE ---

int get_attributes(const char* path, struct stat* info, fuse_file_info*) {
  const auto found = host.nodes.find(path);
  if (found == host.nodes.end()) return -ENOENT;
  const Node& node = found->second;
  std::memset(info, 0, sizeof *info);
  info->st_nlink = 1;
  info->st_size = 4096;
  info->st_mode = node.mode;
  switch (node.kind) {
    case Node::Kind::directory:
      info->st_mode |= S_IFDIR;
      info->st_nlink = 2;
      info->st_size = 0;
      break;
    case Node::Kind::file:
      info->st_mode |= S_IFREG;
      break;
    case Node::Kind::link:
      info->st_mode |= S_IFLNK;
      info->st_size = static_cast<off_t>(node.text.size());
      break;
  }
  return 0;
}

int list(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info*,
         fuse_readdir_flags) {
  const std::string start = std::strcmp(path, "/") == 0 ? "/" : std::string(path) + '/';
  for (const char* name : {".", ".."}) fill(buffer, name, nullptr, 0, fuse_fill_dir_flags{});
  for (auto at = host.nodes.upper_bound(start);
       at != host.nodes.end() && at->first.starts_with(start); ++at) {
    const std::string name = at->first.substr(start.size());
    if (name.find('/') == std::string::npos && name[0] != '.')
      fill(buffer, name.c_str(), nullptr, 0, fuse_fill_dir_flags{});
  }
  return 0;
}

int read_link(const char* path, char* buffer, size_t size) {
  const auto found = host.nodes.find(path);
  if (found == host.nodes.end()) return -ENOENT;
  std::snprintf(buffer, size, "%s", found->second.text.c_str());
  return 0;
}

int open_file(const char* path, fuse_file_info* info) {
  if (!host.nodes.contains(path)) return -ENOENT;
  info->direct_io = 1;  // the size of a write as the program chose it, no size known beforehand
  return 0;
}

int read_file(const char* path, char* buffer, size_t size, off_t offset, fuse_file_info*) {
  if (!host.nodes.contains(path)) return -ENODEV;
  const std::string text = text_of(path);
  if (static_cast<size_t>(offset) >= text.size()) return 0;
  return static_cast<int>(text.copy(buffer, size, static_cast<size_t>(offset)));
}

int write_file(const char* path, const char* data, size_t size, off_t, fuse_file_info*) {
  if (!host.nodes.contains(path)) return -ENODEV;
  const int error = write_text(path, std::string(data, size));
  return error ? -error : static_cast<int>(size);
}

int truncate_file(const char*, off_t, fuse_file_info*) {
  return 0;
}

/// Nothing may be kept: each write can change all that there is.
void* start(fuse_conn_info*, fuse_config* config) {
  config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
  config->direct_io = 1;
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << usage;
    return 2;
  }
  read_host(argv[2]);
  fuse_operations operations{};
  operations.getattr = get_attributes;
  operations.readdir = list;
  operations.readlink = read_link;
  operations.open = open_file;
  operations.read = read_file;
  operations.write = write_file;
  operations.truncate = truncate_file;
  operations.init = start;
  std::string program = argv[0], mount_point = argv[1], foreground = "-f", single = "-s";
  char* arguments[] = {program.data(), foreground.data(), single.data(), mount_point.data(),
                       nullptr};
  return fuse_main(4, arguments, &operations, nullptr);
}
