// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/spelling.hpp"

#include <algorithm>
#include <vector>

#include "base/quote.hpp"

namespace gpuward {

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

size_t edit_distance(std::string_view from, std::string_view to) {
  // Three rows of the usual table: the swap looks two rows back.
  std::vector<size_t> before(to.size() + 1);
  std::vector<size_t> last(to.size() + 1);
  std::vector<size_t> row(to.size() + 1);
  for (size_t j = 0; j <= to.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= from.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= to.size(); ++j) {
      const bool same = lower(from[i - 1]) == lower(to[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(from[i - 1]) == lower(to[j - 2]) &&
          lower(from[i - 2]) == lower(to[j - 1]))
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[to.size()];
}

std::optional<std::string_view> nearest(std::string_view word,
                                        std::span<const std::string_view> candidates) {
  std::optional<std::string_view> best;
  size_t best_distance = 0;
  for (const std::string_view candidate : candidates) {
    const size_t longer = std::max(word.size(), candidate.size());
    const size_t shorter = std::min(word.size(), candidate.size());
    // Two slips at most, and fewer in short words: "vf" is not "on" misspelt.
    const size_t allowed = std::min<size_t>(2, std::max<size_t>(1, candidate.size() / 3));
    if (longer - shorter > allowed || shorter == 0) continue;
    const size_t distance = edit_distance(word, candidate);
    if (distance > allowed || (distance == longer && distance > 0)) continue;
    if (best && distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

std::string list_choices(std::span<const std::string_view> candidates) {
  constexpr size_t most = 16;  // a site may have hundreds of profiles; the message is one line
  if (candidates.empty()) return "none exists";
  std::string text = "possible: ";
  for (size_t i = 0; i < std::min(most, candidates.size()); ++i) {
    if (i > 0) text += ", ";
    text += candidates[i];
  }
  if (candidates.size() > most)
    text += " and " + std::to_string(candidates.size() - most) + " more";
  return text;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  if (const auto meant = nearest(word, candidates))
    return "did you mean " + in_quotes(*meant) + "?";
  return list_choices(candidates);
}

}  // namespace gpuward
