// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/single_use.hpp"

#include "base/file.hpp"
#include "state/paths.hpp"

namespace gpuward {

static std::string file_of(const Root& root, const PciAddress& device) {
  return paths::single_use(root) + '/' + to_string(device);
}

void mark_used(const Root& root, const PciAddress& device, const std::string& owner) {
  make_directories(paths::single_use(root));
  write_file_atomically(file_of(root, device), owner + '\n');
}

std::optional<std::string> used_by(const Root& root, const PciAddress& device) {
  return read_attribute(file_of(root, device));
}

bool clear_used(const Root& root, const PciAddress& device) {
  const std::string file = file_of(root, device);
  if (!exists(file)) return false;
  remove_file(file);
  return true;
}

std::vector<PciAddress> used_devices(const Root& root) {
  std::vector<PciAddress> devices;
  for (const std::string& name : list_directory(paths::single_use(root)))
    if (const auto address = parse_pci_address(name)) devices.push_back(*address);
  return devices;
}

}  // namespace gpuward
