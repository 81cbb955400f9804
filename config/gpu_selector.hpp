// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/config.hpp"

namespace gpuward {

/// "0000:41:00.0", "10de:2236", "*", a parent's name, "serial=1324321000123" and the like, or a
/// pattern of addresses, "0000:41:*"; nothing for any other text.
std::optional<GpuSelector> parse_gpu_selector(std::string_view text);

/// What to write instead of a text that is no selector.
std::string selector_advice(std::string_view text);

/// What a selector goes by, as messages name it: "serial number", "IOMMU group".
std::string_view selector_word(GpuSelector::By by);

/// As it is written in the configuration; the same for two selectors that say the same.
std::string to_string(const GpuSelector& selector);

/// Four hexadecimal digits, a colon, four more: how lspci(8) shows vendor and device.
bool is_id_pair(std::string_view text);

}  // namespace gpuward
