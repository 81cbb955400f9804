// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/gpu_selector.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/quote.hpp"
#include "config/names.hpp"

namespace gpuward {

static bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_id_pair(std::string_view text) {
  return text.size() == 9 && text[4] == ':' &&
         std::all_of(text.begin(), text.begin() + 4, is_hex_digit) &&
         std::all_of(text.begin() + 5, text.end(), is_hex_digit);
}

static uint16_t hex_number(std::string_view digits) {
  uint16_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return value;
}

/// The address in virsh's name of a PCI node device: "pci_0000_41_00_0".
static std::optional<PciAddress> node_device_address(std::string_view text) {
  constexpr std::string_view start = "pci_";
  if (!text.starts_with(start)) return {};
  std::string address(text.substr(start.size()));
  std::replace(address.begin(), address.end(), '_', ':');
  if (const auto last = address.rfind(':'); last != std::string::npos) address[last] = '.';
  return parse_pci_address(lower_case(address));
}

/// A piece of an address or an ID without its other half: "8086", "10de", "00.0", "41_00_0".
static bool is_piece_of_address(std::string_view text) {
  if (text.size() == 4 && std::all_of(text.begin(), text.end(), is_hex_digit)) return true;
  return text.front() >= '0' && text.front() <= '9' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_hex_digit(c) || c == '.' || c == '_' || c == '-'; });
}

/// Whether the text names a PCI device in another program's way. As the name of a parent it would
/// match nothing, and a GPU that is switched off by it would be assigned.
static bool names_pci_device(std::string_view text) {
  return text.starts_with("pci_") || text.starts_with("PCI_") || text.starts_with("GPU-") ||
         text.starts_with("MIG-") || is_piece_of_address(text);
}

std::optional<GpuSelector> parse_gpu_selector(std::string_view text) {
  GpuSelector selector;
  if (text == "*") return selector;
  if (const auto address = parse_pci_address(lower_case(text))) {
    selector.by = GpuSelector::By::address;
    selector.address = *address;
    return selector;
  }
  if (is_id_pair(text)) {
    selector.by = GpuSelector::By::id;
    selector.vendor = hex_number(text.substr(0, 4));
    selector.device = hex_number(text.substr(5));
    return selector;
  }
  // The device of a parent that is no PCI function, as /sys/class/mdev_bus names it.
  if (!is_name(text) || text.find('+') != std::string_view::npos || names_pci_device(text))
    return {};
  selector.by = GpuSelector::By::name;
  selector.name = text;
  return selector;
}

std::string selector_advice(std::string_view text) {
  const std::string whole = "0000:" + std::string(text);
  if (parse_pci_address(lower_case(whole)))
    return "a PCI address starts with its PCI domain: write " + whole;
  if (const auto address = node_device_address(text))
    return "virsh's name of a node device: write " + to_string(*address);
  if (text.starts_with("GPU-") || text.starts_with("MIG-"))
    return "a GPU is not selected by its UUID: write its PCI address, which 'nvidia-smi "
           "--query-gpu=uuid,pci.bus_id --format=csv' and 'gpuward list gpus' print";
  if (text.size() == 4 && std::all_of(text.begin(), text.end(), is_hex_digit))
    return "incomplete vendor:device: write both, as 'lspci -nn' prints them";
  return "expected a PCI address (0000:41:00.0), vendor:device (10de:2236), the name of an mdev "
         "parent "
         "(mtty) or *";
}

std::string to_string(const GpuSelector& selector) {
  switch (selector.by) {
    case GpuSelector::By::address:
      return to_string(selector.address);
    case GpuSelector::By::id: {
      char text[16];
      std::snprintf(text, sizeof text, "%04x:%04x", selector.vendor, selector.device);
      return text;
    }
    case GpuSelector::By::name:
      return selector.name;
    case GpuSelector::By::any:
      break;
  }
  return "*";
}

}  // namespace gpuward
