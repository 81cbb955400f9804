// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/use.hpp"

#include <vector>

namespace gpuward {

/// A whole card comes before its parts.
static std::vector<std::string_view> words_of(bool UseTraits::*trait) {
  std::vector<std::string_view> words;
  for (const bool is_whole_card : {true, false})
    for (const UseTraits& kind : use_traits)
      if (kind.is_whole_card == is_whole_card && kind.*trait) words.push_back(kind.word);
  return words;
}

std::string list_uses(bool UseTraits::*trait, std::string_view before) {
  const auto words = words_of(trait);
  std::string text(before);
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 < words.size() ? ", " : " or ";
    if (i > 0 && words.size() == 2) text += before;
    text += words[i];
  }
  return text;
}

}  // namespace gpuward
