// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/table.hpp"

#include <algorithm>

#include "domain/xml_document.hpp"

namespace gpuward {

/// Characters, not bytes: continuation bytes of UTF-8 take no room.
static size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

static std::string printable(const std::string& text) {
  return text.empty() ? "-" : shown(text, text.size());
}

std::string format_table(const std::vector<std::string>& heading,
                         const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> lines{heading};
  for (const auto& row : rows) {
    lines.emplace_back();
    for (const std::string& word : row) lines.back().push_back(printable(word));
  }
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
  }
  std::string text;
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text.append(widths[i] - width(line[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

}  // namespace gpuward
