// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/config_record.hpp"

#include <algorithm>

#include "base/text.hpp"

// What config/ini_file.cpp makes of a line decides what it is here too. Of a line that is a mistake
// nobody knows what it was meant to be: it is taken for what has more to hide.

namespace gpuward {

/// '#' behind a value is a mistake, and a comment all the same.
static std::string_view without_comment(std::string_view line) {
  const std::string_view start = trim(line);
  if (start.starts_with('#') || start.starts_with(';')) return {};
  for (const char* const mark : {" ;", "\t;", " #", "\t#", "=#"}) {
    const size_t at = line.find(mark);
    line = line.substr(0, at == line.npos ? at : at + (mark[0] == '='));
  }
  return line;
}

/// The kinds of sections whose headers name no domain.
static bool is_kept(std::string_view kind) {
  return kind == "gpu" || kind == "profile" || kind == "guard";
}

/// "[quota web-*]", as well as "[ quota [a-z]eb ]"; of an unknown kind all of it.
static std::string header_with_stand_in(std::string_view line, StandIns& stand_ins) {
  std::string_view inside = trim(trim(line).substr(1));
  if (inside.ends_with(']')) inside = trim(inside.substr(0, inside.size() - 1));
  const size_t end = std::min(inside.find_first_of(" \t"), inside.size());
  const std::string_view kind = inside.substr(0, end);
  if (is_kept(kind)) return std::string(line);
  if (kind == "quota") return "[quota " + stand_ins.pattern(inside.substr(end)) + ']';
  return '[' + stand_ins.pattern(inside) + ']';
}

/// "web-*, owner:team-a" with the blanks that are in it.
static std::string patterns_with_stand_ins(std::string_view list, StandIns& stand_ins) {
  std::string result;
  for (;;) {
    const std::string_view item = list.substr(0, list.find(','));
    const std::string_view pattern = trim(item);
    const size_t start = pattern.empty() ? 0 : static_cast<size_t>(pattern.data() - item.data());
    result += item.substr(0, start);
    result += stand_ins.pattern(pattern);
    result += item.substr(start + pattern.size());
    if (item.size() == list.size()) return result;
    result += ',';
    list.remove_prefix(item.size() + 1);
  }
}

/// Where the value of a line begins, 0 for one that goes on with that of the line before.
static size_t start_of_value(std::string_view line) {
  const size_t at = line.find_first_of("=:,;");
  const bool is_indented = line.starts_with(' ') || line.starts_with('\t');
  const bool is_key = at != line.npos && (line[at] == '=' || (line[at] == ':' && !is_indented));
  return is_key ? at + 1 : 0;
}

static std::string patterns_in(std::string_view text, StandIns& stand_ins) {
  std::string result;
  bool is_allow = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = without_comment(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool is_header = trim(line).starts_with('[');
    const size_t value = is_header ? 0 : start_of_value(line);
    if (is_header || value > 0) is_allow = value > 0 && trim(line.substr(0, value - 1)) == "allow";
    if (is_header)
      result += header_with_stand_in(line, stand_ins);
    else if (is_allow)
      result += std::string(line.substr(0, value)) +
                patterns_with_stand_ins(line.substr(value), stand_ins);
    else
      result += line;
    result += '\n';
  }
  return result;
}

std::string config_with_stand_ins(std::string_view text, StandIns& stand_ins) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return stand_ins.with_uuids(stand_ins.with_serials(patterns_in(text, stand_ins), ",]\n"));
}

}  // namespace gpuward
