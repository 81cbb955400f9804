// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/utf8.hpp"
#include "cli/json_schema.hpp"

namespace gpuward {

inline void print_text(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

/// Lines for people: what others may have written in them (names, commands, models) is made
/// printable. Not for XML, which must stay as it is.
inline void print_lines(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\n\t"), text.size());
    result += printable(text.substr(0, end));
    if (end < text.size()) result += text[end];
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  print_text(result);
}

/// A line on stderr, made printable.
inline void print_error(std::string_view line) {
  std::fprintf(stderr, "%s\n", printable(line).c_str());
}

/// What a command that failed says: the reason, and what to do on a line of its own. Run by a unit,
/// one entry of the journal.
inline void print_failure(const Reason& reason) {
  if (log::is_journal(fileno(stderr))) return log::error(to_string(reason));
  print_error("error: " + without_remedy(reason));
  if (!reason.remedy.empty()) print_error("hint: " + hint(reason));
}

/// Drivers and domain names may hold bytes that are no UTF-8; JSON may not, they become U+FFFD.
inline void print_json(int schema, std::string_view command, const nlohmann::json& value) {
  print_text(in_schema(schema, command, value)
                 .dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
             '\n');
}

}  // namespace gpuward
