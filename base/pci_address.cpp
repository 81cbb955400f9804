// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/pci_address.hpp"

#include <charconv>
#include <cstdio>

namespace gpuward {

template <typename T>
static bool hex(std::string_view text, size_t least, size_t most, unsigned limit, T& out) {
  if (text.size() < least || text.size() > most) return false;
  unsigned long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size() || value > limit) return false;
  out = static_cast<T>(value);
  return true;
}

std::optional<PciAddress> parse_pci_address(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || text.size() != colon + 8) return {};
  if (text[colon + 3] != ':' || text[colon + 6] != '.') return {};
  PciAddress address;
  if (!hex(text.substr(0, colon), 4, 8, 0xffffffff, address.domain)) return {};
  if (!hex(text.substr(colon + 1, 2), 2, 2, 0xff, address.bus)) return {};
  if (!hex(text.substr(colon + 4, 2), 2, 2, 0x1f, address.slot)) return {};
  if (!hex(text.substr(colon + 7, 1), 1, 1, 7, address.function)) return {};
  return address;
}

std::string to_string(const PciAddress& a) {
  char text[32];
  std::snprintf(text, sizeof text, "%04x:%02x:%02x.%x", a.domain, a.bus, a.slot, a.function);
  return text;
}

}  // namespace gpuward
