// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string_view>

namespace gpuward {

// What `gpuward attach` accepts instead of a profile's name, as far as the text alone shows it. No
// profile may be called so: which of the two a domain requests must not depend on the other.

constexpr std::string_view whole_word = "whole";  ///< any whole GPU

/// "4GiB", "4096MiB/25%": a part of a GPU.
struct GpuPart {
  unsigned memory_mib = 0;
  std::optional<unsigned> compute_percent;
  bool operator==(const GpuPart&) const = default;
};
std::optional<GpuPart> parse_gpu_part(std::string_view text);

/// The number of "25%"; nothing for any other text.
std::optional<unsigned> parse_percent(std::string_view text);

/// The MiB that "4096MiB" or "4GiB" says; nothing for any other text.
std::optional<unsigned> mebibytes_of(std::string_view text);

/// Why no profile may have this name; "" when one may. A vendor:device pair
/// and ":N" need no word here: is_name allows no ':'.
std::string_view reserved_request(std::string_view name);

}  // namespace gpuward
