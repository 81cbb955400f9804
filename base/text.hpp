// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gpuward {

/// Without blanks, tabs and line ends at either side.
inline std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// The parts between `separator`s, each trimmed; empty parts are kept.
inline std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto at = text.find(separator);
    parts.push_back(trim(text.substr(0, at)));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// The first three, and how many more.
inline std::string first_three_of(const std::set<std::string>& names) {
  std::string text;
  size_t named = 0;
  for (const std::string& name : names) {
    if (named == 3) return text + " and " + std::to_string(names.size() - named) + " more";
    text += (named++ ? ", " : "") + name;
  }
  return text;
}

/// The whole of `text` as a decimal number of type T; nothing when it is anything else.
template <typename T>
std::optional<T> to_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return {};
  return value;
}

}  // namespace gpuward
