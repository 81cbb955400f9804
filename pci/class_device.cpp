// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/class_device.hpp"

#include <filesystem>
#include <string_view>
#include <utility>

#include "base/file.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

/// A class device is in a directory named by its class, below its parent's (get_device_parent in
/// drivers/base/core.c). Links lead out of the tree. What cannot be listed throws.
static std::string class_device_in(const std::string& directory, int depth) {
  static constexpr std::pair<std::string_view, std::string_view> classes[] = {
      {"block", "block device "}, {"net", "network interface "}};
  if (depth == 0) return {};
  for (const std::string& name : list_directory(directory)) {
    const std::string path = directory + '/' + name;
    std::error_code gone;
    if (!std::filesystem::is_directory(std::filesystem::symlink_status(path, gone))) continue;
    for (const auto& [word, title] : classes)
      if (name == word)
        for (const std::string& device : list_directory(path)) return std::string(title) + device;
    if (std::string found = class_device_in(path, depth - 1); !found.empty()) return found;
  }
  return {};
}

std::string class_device_below(const Root& root, const PciAddress& address) {
  constexpr int deepest = 32;  // USB has 7 levels of hubs, SCSI 4 directories more
  // The path itself is a link of the bus.
  return class_device_in(pci_path(root, address), deepest);
}

}  // namespace gpuward
