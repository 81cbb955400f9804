// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"

namespace gpuward {

// Which cards NVIDIA's NVLink connects. No file in sysfs shows it; NVIDIA's library does, of cards
// that NVIDIA's driver has bound (AskedCards::links).

/// The links of one card that are up; none where there are none or it is not known.
struct NvLinks {
  std::vector<PciAddress> cards{};  ///< at their other end, without an NVSwitch between
  bool has_switch = false;          ///< an NVSwitch is at the other end of one

  bool is_any() const { return has_switch || !cards.empty(); }
  bool operator==(const NvLinks&) const = default;
};

/// Those of each card of which they were read.
using LinksOfCards = std::map<PciAddress, NvLinks>;

/// What gpuward-nvml prints for `links`; nothing for any other text.
std::optional<LinksOfCards> parse_nvlinks(std::string_view text);

}  // namespace gpuward
