// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/quote.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "base/utf8.hpp"

namespace gpuward {

std::string in_quotes(std::string_view text) {
  constexpr size_t most = 60;
  const size_t whole = text.size();
  std::string result = "'";
  while (!text.empty() && result.size() <= most) {
    const auto byte = static_cast<uint8_t>(text[0]);
    const size_t length = utf8_length(text);
    // U+0080 to U+009F are control characters as well; a terminal may obey them.
    const bool control = byte < 0x20 || byte == 0x7f ||
                         (byte == 0xc2 && length == 2 && static_cast<uint8_t>(text[1]) < 0xa0);
    if (length == 0 || control) {
      char escape[5];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      result += escape;
      text.remove_prefix(1);
    } else {
      result += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  if (text.empty()) return result + "'";
  return result + "...' (" + std::to_string(whole) + " bytes)";
}

std::string domain_title(std::string_view name) {
  return "domain " + in_quotes(name);
}

std::string shell_word(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  if (!text.empty() && text[0] != '-' && std::all_of(text.begin(), text.end(), plain))
    return std::string(text);
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'')
      word += "'\\''";
    else
      word += c;
  }
  return word + "'";
}

}  // namespace gpuward
