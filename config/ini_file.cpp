// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/ini_file.hpp"

#include <ini.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/quote.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace gpuward {
namespace {

/// A byte that no line holds when it comes to inih: see Reader::begin_line().
constexpr char fence = '\x01';

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
}

/// "  vfs = 4" below another key is a key too, as in a file whose sections are indented: what lists
/// are made of holds no '=', or a colon before it.
bool looks_like_key(std::string_view line) {
  const auto at = line.find_first_of("=:,;");
  return at != std::string_view::npos && at > 0 && line[at] == '=';
}

/// Position of a '#' that was meant to begin a comment behind the value; npos when there is none.
size_t misplaced_comment(std::string_view value) {
  for (size_t at = value.find('#'); at != std::string_view::npos; at = value.find('#', at + 1))
    if (at == 0 || is_blank(value[at - 1])) return at;
  return std::string_view::npos;
}

/// The line up to a comment, which begins with a ';' behind a blank.
std::string_view without_comment(std::string_view line) {
  for (size_t at = line.find(';'); at != std::string_view::npos; at = line.find(';', at + 1))
    if (at > 0 && is_blank(line[at - 1])) return trim(line.substr(0, at));
  return line;
}

/// inih asks us for lines and calls us with values; what it cannot tell, we keep in between.
///
/// As Debian builds it, inih cuts a line at 200 bytes, a section's name at 49 and at its first ']'
/// ("[quota web-[0-9]]"), calls nobody for a section without keys and tells no line numbers; a
/// comment behind a value that goes on in a second line is part of the value in version 55
/// (Debian 12) and none of it in later ones.
/// Therefore:
/// - comments are removed here;
/// - a section header goes to inih as the value of a key;
/// - what its buffer cannot hold goes to it in pieces, as continuation lines. It trims them, and
///   takes one that begins with ';' or '#' for a comment, so each has a fence at either side;
/// - a line that leads to no call was none that it understands.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  }

  IniFile read() {
    ini_parse_stream(next, this, take, this);
    settle();
    finish_item();
    return std::move(result_);
  }

 private:
  enum class Kind { none, header, entry };
  enum class Place { outside, section, broken_section };

  /// The header or entry being read; more of its value may follow.
  struct Item {
    Kind kind = Kind::none;
    int line = 0;
    std::string key;
    std::string value;
  };

  static char* next(char* buffer, int size, void* self) {
    // inih takes a buffer that is filled to the end for a line cut short.
    const size_t room = static_cast<size_t>(size) - 2;
    return static_cast<Reader*>(self)->hand_over(buffer, room) ? buffer : nullptr;
  }

  static int take(void* self, const char* /*section*/, const char* name, const char* value) {
    static_cast<Reader*>(self)->take_value(name, value);
    return 1;
  }

  bool hand_over(char* buffer, size_t room);
  void settle();
  void take_value(std::string_view name, std::string_view value);
  bool next_line();
  void begin_line();
  void control_character(char c);
  void begin_item(Kind kind, std::string head, std::string_view rest);
  std::string next_text(size_t room);
  std::string next_piece(size_t room);
  void finish_item();
  void open_section(const Item& item);
  void add_entry(const Item& item);

  void problem(int line, std::string message) {
    result_.problems.push_back({line, std::move(message)});
  }
  void no_entry() {
    problem(line_, "found " + in_quotes(trim(raw_)) + ", expected 'key = value' or '[section]'");
  }

  std::string_view text_;  ///< the lines still to come
  std::string_view raw_;   ///< the line that is being read
  int line_ = 0;
  std::string head_;       ///< of this line, what inih must get in one part
  std::string_view rest_;  ///< of this line, what comes behind the head
  bool in_pieces_ = false;
  bool awaited_ = false;  ///< inih was given something that must lead to a call
  Item item_;
  Place place_ = Place::outside;
  IniFile result_;
};

bool Reader::hand_over(char* buffer, size_t room) {
  settle();
  while (head_.empty() && rest_.empty()) {
    if (!next_line()) return false;
    begin_line();
  }
  const std::string text = next_text(room);
  std::memcpy(buffer, text.c_str(), text.size() + 1);
  return true;
}

/// Checks what inih made of the text that it got last.
void Reader::settle() {
  if (!std::exchange(awaited_, false)) return;
  item_ = {};
  rest_ = {};
  no_entry();
}

void Reader::take_value(std::string_view name, std::string_view value) {
  awaited_ = false;
  if (in_pieces_)
    value = value.substr(1, value.size() - 2);
  else if (item_.key.empty())
    item_.key = name;
  item_.value += value;
}

bool Reader::next_line() {
  if (text_.empty()) return false;
  const auto end = std::min(text_.find('\n'), text_.size());
  raw_ = text_.substr(0, end);
  text_.remove_prefix(std::min(end + 1, text_.size()));
  ++line_;
  return true;
}

/// Decides what a line is, and leaves in head_ and rest_ what inih shall read of it.
void Reader::begin_line() {
  if (trim(raw_).empty() || trim(raw_)[0] == ';' || trim(raw_)[0] == '#') return;
  const std::string_view line = without_comment(trim(raw_));
  if (const auto at = std::find_if(line.begin(), line.end(), is_control); at != line.end())
    return control_character(*at);
  if (line[0] == '[') return begin_item(Kind::header, "header=", line);
  if (is_blank(raw_[0]) && item_.kind == Kind::entry && !looks_like_key(line)) {
    item_.value += ' ';
    head_ = " ";
    rest_ = line;
    return;
  }
  finish_item();
  // inih takes a ':' for a '=' as well; one way to write it is enough.
  const auto equals = line.find_first_of("=:");
  if (equals == std::string_view::npos || equals == 0 || line[equals] == ':') return no_entry();
  begin_item(Kind::entry, std::string(trim(line.substr(0, equals))) + '=', line.substr(equals + 1));
}

void Reader::control_character(char c) {
  char code[8];
  std::snprintf(code, sizeof code, "0x%02x", static_cast<unsigned char>(c));
  problem(line_, "control character " + std::string(code) + " in " + in_quotes(trim(raw_)) +
                     ", expected plain text");
  finish_item();
  if (trim(raw_)[0] == '[') place_ = Place::broken_section;
}

void Reader::begin_item(Kind kind, std::string head, std::string_view rest) {
  finish_item();
  item_.kind = kind;
  item_.line = line_;
  head_ = std::move(head);
  rest_ = rest;
}

/// As much of the line as inih can hold.
std::string Reader::next_text(size_t room) {
  in_pieces_ = head_.empty();
  awaited_ = true;
  if (in_pieces_) return next_piece(room);
  std::string text = std::exchange(head_, {});
  if (text.size() > room) {
    text.resize(room);  // without the '=' at its end: inih will not understand it
    rest_ = {};
  } else if (text.size() + rest_.size() <= room) {
    text += std::exchange(rest_, {});
  } else {
    rest_ = trim(rest_);
    awaited_ = text != " ";
  }
  return text;
}

std::string Reader::next_piece(size_t room) {
  const size_t length = std::min(rest_.size(), room - 3);  // a blank and two fences
  std::string piece = {' ', fence};
  piece += rest_.substr(0, length);
  piece += fence;
  rest_.remove_prefix(length);
  return piece;
}

void Reader::finish_item() {
  const Item item = std::exchange(item_, {});
  if (item.kind == Kind::header) open_section(item);
  if (item.kind == Kind::entry) add_entry(item);
}

void Reader::open_section(const Item& item) {
  place_ = Place::broken_section;
  const std::string_view text = trim(item.value);
  if (!is_utf8(text)) return problem(item.line, in_quotes(text) + " is not UTF-8");
  if (!text.ends_with(']'))
    return problem(item.line, "section header " + in_quotes(text) + " does not end with ']'");
  place_ = Place::section;
  result_.sections.push_back({item.line, std::string(trim(text.substr(1, text.size() - 2))), {}});
}

void Reader::add_entry(const Item& item) {
  std::string_view value = trim(item.value);
  if (!is_utf8(item.key) || !is_utf8(value))
    return problem(item.line, in_quotes(item.key + " = " + item.value) + " is not UTF-8");
  if (const auto at = misplaced_comment(value); at != std::string_view::npos) {
    problem(item.line, "comments after a value start with ' ;' (found '#') in " +
                           in_quotes(item.key + " = " + item.value));
    value = trim(value.substr(0, at));
  }
  if (place_ == Place::outside)
    problem(item.line, in_quotes(item.key) + " is set before the first '[section]'");
  if (place_ == Place::section)
    result_.sections.back().entries.push_back({item.line, item.key, std::string(value)});
}

}  // namespace

IniFile parse_ini(std::string_view text) {
  return Reader(text).read();
}

}  // namespace gpuward
