// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/number_set.hpp"

#include <set>

#include "base/text.hpp"

namespace gpuward {

std::vector<int> numbers_of_set(std::string_view set, int most) {
  std::set<int> numbers;
  for (std::string_view part : split(set, ',')) {
    const bool excludes = part.starts_with('^');
    if (excludes) part.remove_prefix(1);
    const auto dash = part.find('-');
    const auto first = to_number<int>(part.substr(0, dash));
    const auto last = dash == part.npos ? first : to_number<int>(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last >= most) continue;
    for (int number = *first; number <= *last; ++number) {
      if (excludes)
        numbers.erase(number);
      else
        numbers.insert(number);
    }
  }
  return {numbers.begin(), numbers.end()};
}

}  // namespace gpuward
