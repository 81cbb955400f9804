// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gpuward {

/// Where a PCI function sits. The domain is up to 32 bits wide (VMD and Hyper-V go past ffff).
struct PciAddress {
  uint32_t domain = 0;
  uint8_t bus = 0;
  uint8_t slot = 0;
  uint8_t function = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): the 0 is the compiler's
  auto operator<=>(const PciAddress&) const = default;
};

/// "0000:41:00.0", exactly as sysfs names it; nothing for any other text.
std::optional<PciAddress> parse_pci_address(std::string_view text);
std::string to_string(const PciAddress& address);

}  // namespace gpuward
