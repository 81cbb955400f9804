// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/device_nodes.hpp"

#include "base/file.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

/// "Device Minor: 3" of the driver's own list, which tells /dev/nvidia3.
static std::optional<std::string> nvidia_node(const Root& root, const PciAddress& address) {
  const auto text =
      read_attribute(root.proc("driver/nvidia/gpus/") + to_string(address) + "/information");
  if (!text) return {};
  for (const std::string_view line : split(*text, '\n')) {
    if (!line.starts_with("Device Minor:")) continue;
    const auto minor = to_number<unsigned>(trim(line.substr(line.find(':') + 1)));
    if (minor) return "/dev/nvidia" + std::to_string(*minor);
  }
  return {};
}

static std::vector<std::string> vfio_nodes(const std::string& path) {
  std::vector<std::string> nodes;
  if (const auto group = read_link(path + "/iommu_group"))
    nodes.push_back("/dev/vfio/" + std::string(base_name(*group)));
  for (const std::string& name : list_directory(path + "/vfio-dev"))
    nodes.push_back("/dev/vfio/devices/" + name);
  return nodes;
}

std::vector<std::string> device_nodes(const Root& root, const PciAddress& address) {
  const std::string path = pci_path(root, address);
  std::vector<std::string> nodes = vfio_nodes(path);
  for (const std::string& name : list_directory(path + "/drm")) nodes.push_back("/dev/dri/" + name);
  for (const std::string& name : list_directory(path + "/graphics"))
    nodes.push_back("/dev/" + name);
  if (auto node = nvidia_node(root, address)) nodes.push_back(std::move(*node));
  return nodes;
}

static std::optional<Holder> first_holder(const DeviceHolders& holders,
                                          const std::vector<std::string>& nodes) {
  for (const std::string& node : nodes)
    if (auto holder = holders.of_node(node)) return holder;
  return {};
}

std::optional<Holder> holder_of(const Root& root, const DeviceHolders& holders,
                                const PciAddress& address) {
  return first_holder(holders, device_nodes(root, address));
}

std::optional<Holder> vfio_holder_of(const Root& root, const DeviceHolders& holders,
                                     const PciAddress& address) {
  return first_holder(holders, vfio_nodes(pci_path(root, address)));
}

}  // namespace gpuward
