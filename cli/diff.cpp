// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/diff.hpp"

#include <algorithm>
#include <vector>

namespace gpuward {

namespace {

struct Line {
  char sign;  // ' ', '-' or '+'
  std::string_view text;
};

/// Lines with their ends, so that a missing one at the end of the text is a difference.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1);
    lines.push_back(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
  }
  return lines;
}

using Lines = std::vector<std::string_view>;

/// For texts that have little in common: it needs no table of one by the other.
std::vector<Line> replace(const Lines& a, const Lines& b) {
  std::vector<Line> result;
  for (const auto line : a) result.push_back({'-', line});
  for (const auto line : b) result.push_back({'+', line});
  return result;
}

/// Longest common subsequence of the middles that differ, which are a few lines in domain XML.
std::vector<Line> compare(const Lines& a, const Lines& b) {
  if (a.size() > 2000 || b.size() > 2000) return replace(a, b);
  const size_t width = b.size() + 1;
  std::vector<unsigned> common((a.size() + 1) * width);
  for (size_t i = a.size(); i-- > 0;)
    for (size_t j = b.size(); j-- > 0;)
      common[i * width + j] =
          a[i] == b[j] ? common[(i + 1) * width + j + 1] + 1
                       : std::max(common[(i + 1) * width + j], common[i * width + j + 1]);
  std::vector<Line> result;
  size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      result.push_back({' ', a[i]});
      ++i, ++j;
    } else if (j == b.size() ||
               (i < a.size() && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      result.push_back({'-', a[i++]});
    } else {
      result.push_back({'+', b[j++]});
    }
  }
  return result;
}

std::vector<Line> all_lines(const Lines& a, const Lines& b) {
  size_t head = 0, tail = 0;
  const size_t least = std::min(a.size(), b.size());
  while (head < least && a[head] == b[head]) ++head;
  while (tail < least - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) ++tail;
  const auto middle = [&](const Lines& lines) {
    return Lines(lines.begin() + static_cast<std::ptrdiff_t>(head),
                 lines.end() - static_cast<std::ptrdiff_t>(tail));
  };
  std::vector<Line> result;
  for (size_t i = 0; i < head; ++i) result.push_back({' ', a[i]});
  for (const Line& line : compare(middle(a), middle(b))) result.push_back(line);
  for (size_t i = a.size() - tail; i < a.size(); ++i) result.push_back({' ', a[i]});
  return result;
}

/// As diff -u writes it: one line has no count, and none is named by the line before it.
std::string range(size_t begin, size_t end) {
  if (end == begin + 1) return std::to_string(begin);
  return std::to_string(end == begin ? begin - 1 : begin) + ',' + std::to_string(end - begin);
}

}  // namespace

std::string unified_diff(std::string_view before, std::string_view after, std::string_view name) {
  constexpr size_t context = 3;
  const std::vector<Line> lines = all_lines(lines_of(before), lines_of(after));
  std::string text;
  size_t old_line = 1, new_line = 1;
  for (size_t at = 0; at < lines.size();) {
    // a hunk reaches until more than twice the context has not changed
    size_t first = at;
    while (first < lines.size() && lines[first].sign == ' ') ++first;
    if (first == lines.size()) break;
    const size_t begin = std::max(at, first > context ? first - context : 0);
    size_t end = first;
    for (size_t i = first; i < lines.size() && i <= end + 2 * context + 1; ++i)
      if (lines[i].sign != ' ') end = i;
    end = std::min(lines.size(), end + 1 + context);
    for (; at < begin; ++at) ++old_line, ++new_line;
    const size_t old_begin = old_line, new_begin = new_line;
    std::string body;
    for (; at < end; ++at) {
      body += lines[at].sign;
      body += lines[at].text;
      if (!lines[at].text.ends_with('\n')) body += "\n\\ No newline at end of file\n";
      if (lines[at].sign != '+') ++old_line;
      if (lines[at].sign != '-') ++new_line;
    }
    text +=
        "@@ -" + range(old_begin, old_line) + " +" + range(new_begin, new_line) + " @@\n" + body;
  }
  if (text.empty()) return text;
  const std::string title(name);
  return "--- " + title + "\n+++ " + title + " (new)\n" + text;
}

}  // namespace gpuward
