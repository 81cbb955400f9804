// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/message_names.hpp"

#include <algorithm>
#include <cctype>

#include "base/text.hpp"

namespace gpuward {

/// Calls `read` with what follows each occurrence of `before`.
template <typename Read>
static void after_each(std::string_view text, std::string_view before, Read read) {
  for (size_t at; (at = text.find(before)) != text.npos;) {
    text.remove_prefix(at + before.size());
    read(text);
  }
}

static bool is_alphanumeric(char c) {
  return std::isalnum(static_cast<unsigned char>(c));
}

/// Where the quotes end that `text` is in. An apostrophe of the name has a letter behind it.
static size_t end_of_quoted(std::string_view text) {
  for (size_t at = text.find('\''); at != text.npos; at = text.find('\'', at + 1))
    if (at + 1 == text.size() || !is_alphanumeric(text[at + 1])) return at;
  return std::min(text.find('\''), text.size());
}

static void add(std::vector<std::string>& names, std::string_view name) {
  if (name.ends_with("...")) name.remove_suffix(3);  // in_quotes has cut it
  if (!name.empty()) names.emplace_back(name);
}

/// "'a', 'b'" at the start of the text.
static void read_quoted(std::string_view text, std::vector<std::string>& names) {
  constexpr std::string_view between = "', '";
  if (!text.starts_with('\'')) return;
  do {
    text.remove_prefix(text.starts_with(between) ? between.size() : 1);
    const size_t end = end_of_quoted(text);
    add(names, text.substr(0, end));
    text.remove_prefix(end);
  } while (text.starts_with(between));
}

/// A word of a command: as it is, or in quotes.
static void read_word(std::string_view text, std::vector<std::string>& names) {
  if (text.starts_with('\'')) return read_quoted(text, names);
  if (!text.starts_with('-')) add(names, text.substr(0, text.find_first_of(" \t\n,;)'")));
}

/// Up to the bracket that closes the section; a pattern may have pairs of them.
static void read_section(std::string_view text, std::vector<std::string>& patterns) {
  int depth = 1;
  size_t end = 0;
  for (; end < text.size() && text[end] != '\n'; ++end) {
    depth += (text[end] == '[') - (text[end] == ']');
    if (depth == 0) break;
  }
  add(patterns, trim(text.substr(0, end)));
}

/// "a-*, owner:b (FILE:LINE)"
static void read_list(std::string_view text, std::vector<std::string>& patterns) {
  for (const std::string_view item : split(text.substr(0, text.find_first_of("(;\n")), ','))
    add(patterns, item);
}

MessageNames names_in_message(std::string_view message) {
  MessageNames names;
  const auto quoted = [](std::vector<std::string>& list) {
    return [&list](std::string_view text) { read_quoted(text, list); };
  };
  after_each(message, "domain ", quoted(names.domains));
  after_each(message, "domains ", quoted(names.domains));
  after_each(message, "owner ", quoted(names.owners));
  for (const char* const before : {"gpuward reassign ", "GPUWARD_DOMAIN="})
    after_each(message, before, [&](auto text) { read_word(text, names.domains); });
  after_each(message, "[quota ", [&](auto text) { read_section(text, names.patterns); });
  after_each(message, "allow = ", [&](auto text) { read_list(text, names.patterns); });
  return names;
}

}  // namespace gpuward
