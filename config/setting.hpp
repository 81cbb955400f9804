// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "config/config_parser.hpp"
#include "config/spelling.hpp"

namespace gpuward {

/// One "key = value" on its way into a section.
struct Setting {
  std::string_view section;  ///< "[gpu mtty]", for messages
  std::string_view key;
  std::string_view value;
  Position position;
  std::vector<ConfigProblem>& problems;

  /// The value, or one item of it, will not do: "bad value 'X' for 'key' in [section]; ADVICE".
  void reject(std::string_view what, std::string_view advice) const;
};

/// Which key is read by which function.
template <typename Content>
struct Key {
  std::string_view name;
  void (*set)(Content& content, const Setting& setting);
};

/// A word that a value may be, and what it stands for.
template <typename T>
struct Choice {
  std::string_view word;
  T value;
};

/// What the value stands for; nothing, and a problem, when it is none of the words.
template <typename T, size_t n>
std::optional<T> choose(const Setting& setting, const Choice<T> (&choices)[n]) {
  std::array<std::string_view, n> words;
  for (size_t i = 0; i < n; ++i) {
    if (choices[i].word == setting.value) return choices[i].value;
    words[i] = choices[i].word;
  }
  // "on" is no "no" misspelt: of two opposites none is guessed.
  setting.reject(setting.value,
                 std::is_same_v<T, bool> ? list_choices(words) : suggestion(setting.value, words));
  return {};
}

/// The kind that the value names; `may_be_off`: or that no GPU is assigned. Nothing, and a problem,
/// for any other value.
std::optional<Use> choose_use(const Setting& setting, bool may_be_off);

constexpr Choice<bool> yes_no[] = {{"yes", true}, {"no", false}};

/// The items between commas; an empty one and the same one twice are problems and left out.
std::vector<std::string_view> split_list(const Setting& setting);

/// A decimal number from `least` to `most`; nothing for any other text.
std::optional<unsigned> number_within(std::string_view text, unsigned least, unsigned most);

/// The MiB that "4096MiB" or "4GiB" says; nothing, and a problem, for any other value.
std::optional<unsigned> mebibytes(const Setting& setting);

}  // namespace gpuward
