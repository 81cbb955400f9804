// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/gpu_selector.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "config/names.hpp"
#include "config/quotes.hpp"

namespace gpuward {

bool is_id_pair(std::string_view text) {
  const auto is_hex = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  return text.size() == 9 && text[4] == ':' &&
         std::all_of(text.begin(), text.begin() + 4, is_hex) &&
         std::all_of(text.begin() + 5, text.end(), is_hex);
}

static uint16_t hex_number(std::string_view digits) {
  uint16_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return value;
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
  if (!is_name(text) || text.find('+') != std::string_view::npos) return {};
  selector.by = GpuSelector::By::name;
  selector.name = text;
  return selector;
}

std::string selector_advice(std::string_view text) {
  const std::string whole = "0000:" + std::string(text);
  if (parse_pci_address(lower_case(whole)))
    return "a PCI address has its domain in front: write " + whole;
  return "want a PCI address (0000:41:00.0), vendor:device (10de:2236), the name of an mdev parent "
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
