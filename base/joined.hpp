// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace gpuward {

/// "a, b, c": the text of each, as `text_of` gives it, with `separator` between; "" of none.
template <typename Range, typename TextOf = std::identity>
std::string joined(const Range& range, std::string_view separator = ", ", TextOf text_of = {}) {
  std::string text;
  bool is_first = true;
  for (const auto& each : range) {
    if (!is_first) text += separator;
    is_first = false;
    text += std::invoke(text_of, each);
  }
  return text;
}

}  // namespace gpuward
