// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/pci_device.hpp"

#include <algorithm>
#include <charconv>

#include "base/file.hpp"
#include "base/text.hpp"

namespace gpuward {

std::string pci_path(const Root& root, const PciAddress& address) {
  return root.sys("bus/pci/devices/") + to_string(address);
}

std::vector<PciAddress> pci_addresses(const Root& root) {
  std::vector<PciAddress> addresses;
  for (const std::string& name : list_directory(root.sys("bus/pci/devices")))
    if (const auto address = parse_pci_address(name)) addresses.push_back(*address);
  std::sort(addresses.begin(), addresses.end());
  return addresses;
}

uint32_t hex_number(std::string_view text) {
  uint32_t number = 0;
  if (text.starts_with("0x"))
    std::from_chars(text.data() + 2, text.data() + text.size(), number, 16);
  return number;
}

static uint32_t read_hex(const std::string& path) {
  return hex_number(read_attribute(path).value_or(""));
}

static std::string link_name(const std::string& path) {
  const auto target = read_link(path);
  return target ? std::string(base_name(*target)) : std::string();
}

std::optional<PciAddress> physical_function_of(const Root& root, const PciAddress& address) {
  return parse_pci_address(link_name(pci_path(root, address) + "/physfn"));
}

std::optional<int> numa_node_of(const Root& root, const PciAddress& address) {
  const auto text = read_attribute(pci_path(root, address) + "/numa_node");
  const auto node = to_number<int>(text.value_or(""));
  return node < 0 ? std::nullopt : node;  // -1: the firmware does not say
}

std::optional<PciDevice> find_pci_device(const Root& root, const PciAddress& address) {
  const std::string path = pci_path(root, address);
  const auto vendor = read_attribute(path + "/vendor");
  if (!vendor) return {};
  PciDevice device{.address = address,
                   .vendor = static_cast<uint16_t>(hex_number(*vendor)),
                   .device = static_cast<uint16_t>(read_hex(path + "/device")),
                   .pci_class = read_hex(path + "/class"),
                   .driver = link_name(path + "/driver"),
                   .numa_node = numa_node_of(root, address),
                   .iommu_group = to_number<unsigned>(link_name(path + "/iommu_group")),
                   .physical_function = physical_function_of(root, address)};
  return device;
}

bool is_gpu_class(uint32_t pci_class) {
  return pci_class >> 16 == 0x03 || pci_class >> 16 == 0x12;
}

bool is_bridge_class(uint32_t pci_class) {
  return pci_class >> 16 == 0x06;
}

std::vector<PciAddress> companions(const Root& root, const PciAddress& address) {
  std::vector<PciAddress> found;
  for (uint8_t function = 0; function < 8; ++function) {
    const PciAddress other{address.domain, address.bus, address.slot, function};
    if (other == address) continue;
    const auto device = find_pci_device(root, other);
    if (device && !device->physical_function && !is_bridge_class(device->pci_class))
      found.push_back(other);
  }
  return found;
}

bool is_vfio_device(const Root& root, const PciAddress& address) {
  return exists(pci_path(root, address) + "/vfio-dev");
}

bool has_vfio_driver(const Root& root, const PciDevice& device) {
  return device.driver == "vfio-pci" ||
         (!device.driver.empty() && is_vfio_device(root, device.address));
}

bool shows_console(const Root& root, const PciAddress& address) {
  const std::string path = pci_path(root, address);
  return read_optional_attribute(path + "/boot_vga") == "1" || exists(path + "/graphics/fb0");
}

}  // namespace gpuward
