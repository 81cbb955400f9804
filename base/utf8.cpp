// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/utf8.hpp"

#include <cstdint>

namespace gpuward {

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return 1;
  // The second byte alone decides about overlong forms, surrogates and the upper end.
  uint8_t least = 0x80;
  uint8_t most = 0xbf;
  size_t length = 0;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) least = 0xa0;
    if (first == 0xed) most = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) least = 0x90;
    if (first == 0xf4) most = 0x8f;
  }
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < least || byte > most) return 0;
    least = 0x80;
    most = 0xbf;
  }
  return length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const auto byte = static_cast<uint8_t>(text[0]);
    const size_t length = utf8_length(text);
    // U+0080 to U+009F are control characters as well.
    const bool is_control = byte < 0x20 || byte == 0x7f ||
                            (byte == 0xc2 && length == 2 && static_cast<uint8_t>(text[1]) < 0xa0);
    if (length == 0 || is_control) {
      char escape[5];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      result += escape;
      text.remove_prefix(1);
      continue;
    }
    result += text.substr(0, length);
    text.remove_prefix(length);
  }
  return result;
}

}  // namespace gpuward
