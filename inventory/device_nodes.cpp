// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/device_nodes.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <filesystem>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/retried.hpp"
#include "base/text.hpp"
#include "mdev/instance.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

namespace fs = std::filesystem;

/// Adds what a `dev` file says: "226:1".
static void add_number(const std::string& file, std::vector<dev_t>& numbers) {
  const std::string text = read_attribute(file).value_or("");
  const auto colon = text.find(':');
  if (colon == std::string::npos) return;
  const auto major = to_number<unsigned>(std::string_view(text).substr(0, colon));
  const auto minor = to_number<unsigned>(std::string_view(text).substr(colon + 1));
  if (major && minor) numbers.push_back(makedev(*major, *minor));
}

/// What is below a function in sysfs and no part of it, or has no nodes: other functions, mdevs,
/// block devices, whose numbers are of another kind, and the
/// network's.
static bool is_apart(const std::string& name) {
  return name == "block" || name == "net" || name == "power" || name == "msi_irqs" ||
         name == "hwmon" || name == "mdev_supported_types" || parse_pci_address(name) ||
         parse_uuid(name);
}

/// A USB device behind a hub has its nodes eight levels below its controller.
constexpr int deepest = 16;

static void require_absent(const std::error_code& error, const std::string& path) {
  if (error && !is_absence(error.value())) throw SystemError("cannot read " + path, error.value());
}

static void add_numbers_below(const std::string& directory, int level,
                              std::vector<dev_t>& numbers) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code gone;
    const std::string path = entry->path(), name = entry->path().filename();
    const fs::file_status status = entry->symlink_status(gone);
    require_absent(gone, path);
    if (fs::is_symlink(status)) continue;
    if (name == "dev" && level > 0)
      add_number(path, numbers);
    else if (level < deepest && !is_apart(name) && fs::is_directory(status))
      add_numbers_below(path, level + 1, numbers);
  }
  require_absent(error, directory);
}

/// Major number of NVIDIA's driver, whose nodes are not in sysfs; its own list has the minor
/// number: "Device Minor: 3".
static void add_nvidia_number(const Root& root, const PciAddress& address,
                              std::vector<dev_t>& numbers) {
  constexpr unsigned nvidia_major = 195;
  const auto text =
      read_attribute(root.proc("driver/nvidia/gpus/") + to_string(address) + "/information");
  if (!text) return;
  for (const std::string_view line : split(*text, '\n')) {
    if (!line.starts_with("Device Minor:")) continue;
    const auto minor = to_number<unsigned>(trim(line.substr(line.find(':') + 1)));
    if (minor) numbers.push_back(makedev(nvidia_major, *minor));
  }
}

/// The number that a node of the host itself has.
static void add_node(const std::string& node, std::vector<dev_t>& numbers) {
  struct stat info;
  if (retried([&] { return ::stat(node.c_str(), &info); }) == 0) {
    if (S_ISCHR(info.st_mode)) numbers.push_back(info.st_rdev);
  } else if (!is_absence(errno)) {
    throw SystemError("cannot read " + node, errno);
  }
}

static std::vector<dev_t> vfio_numbers_of(const Root& root, const std::string& device) {
  std::vector<dev_t> numbers;
  if (const auto link = read_link(device + "/iommu_group"))
    for (const char* prefix : {"", "noiommu-"}) {
      const std::string group = prefix + std::string(base_name(*link));
      add_number(root.sys("class/vfio/") + group + "/dev", numbers);
      add_node(root.dev("vfio/") + group, numbers);
    }
  for (const std::string& name : list_directory(device + "/vfio-dev")) {
    add_number(device + "/vfio-dev/" + name + "/dev", numbers);
    add_node(root.dev("vfio/devices/") + name, numbers);
  }
  return numbers;
}

std::vector<dev_t> device_numbers(const Root& root, const PciAddress& address) {
  std::vector<dev_t> numbers = vfio_numbers(root, address);
  add_numbers_below(pci_path(root, address), 0, numbers);
  add_nvidia_number(root, address, numbers);
  return numbers;
}

std::vector<dev_t> vfio_numbers(const Root& root, const PciAddress& address) {
  return vfio_numbers_of(root, pci_path(root, address));
}

std::vector<dev_t> instance_numbers(const Root& root, const Uuid& instance) {
  const auto device = instance_directory(root, instance);
  return device ? vfio_numbers_of(root, *device) : std::vector<dev_t>();
}

}  // namespace gpuward
