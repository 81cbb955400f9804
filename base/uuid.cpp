// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/uuid.hpp"

#include <uuid/uuid.h>

namespace gpuward {

/// -1 for any other character.
static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The two digits of a byte at this place have a '-' before them.
static bool is_behind_dash(size_t at) {
  return at == 8 || at == 13 || at == 18 || at == 23;
}

/// uuid_parse(3) takes 3,000 instructions, and a list of a large host parses thousands.
std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != 36) return {};
  Uuid uuid;
  size_t at = 0;
  for (uint8_t& byte : uuid.bytes) {
    if (is_behind_dash(at) && text[at] != '-') return {};
    if (is_behind_dash(at)) ++at;
    const int high = hex_value(text[at]), low = hex_value(text[at + 1]);
    if (high < 0 || low < 0) return {};
    byte = static_cast<uint8_t>(high << 4 | low);
    at += 2;
  }
  return uuid;
}

std::string to_string(const Uuid& uuid) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text(36, '-');
  size_t at = 0;
  for (const uint8_t byte : uuid.bytes) {
    if (is_behind_dash(at)) ++at;
    text[at++] = digits[byte >> 4];
    text[at++] = digits[byte & 15];
  }
  return text;
}

Uuid name_uuid(const Uuid& name_space, std::string_view name) {
  Uuid uuid;
  ::uuid_generate_sha1(uuid.bytes.data(), name_space.bytes.data(), name.data(), name.size());
  return uuid;
}

}  // namespace gpuward
