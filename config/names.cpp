// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/names.hpp"

#include <algorithm>

namespace gpuward {

// Not isalnum(3), which depends on the locale.
static bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_.+-").find(c) != std::string_view::npos;
}

bool is_name(std::string_view text) {
  constexpr size_t longest = 128;  // a profile is a key too, and inih holds no more than 198 bytes
  return !text.empty() && text.size() <= longest && text != "." && text != ".." && text != "-" &&
         std::all_of(text.begin(), text.end(), is_name_character);
}

bool is_type_name(std::string_view text) {
  return is_name(text) || (text.find(' ') != std::string_view::npos && text.size() < 64 &&
                           std::all_of(text.begin(), text.end(), [](char c) {
                             return is_name({&c, 1}) || c == ' ' || c == '-' || c == '.';
                           }));
}

bool is_printable(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

}  // namespace gpuward
