// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gpuward {

struct Uuid {
  std::array<uint8_t, 16> bytes{};
  // NOLINTNEXTLINE(modernize-use-nullptr): the 0 is the compiler's
  auto operator<=>(const Uuid&) const = default;
};

/// "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", either case; nothing for any other text.
std::optional<Uuid> parse_uuid(std::string_view text);
std::string to_string(const Uuid& uuid);

/// RFC 4122 version 5 (SHA-1 of namespace and name): the same two always give the same UUID, so an
/// instance's UUID need not be stored anywhere.
Uuid name_uuid(const Uuid& name_space, std::string_view name);

}  // namespace gpuward
