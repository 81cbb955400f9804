// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/diff.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <sstream>

#include "base/file.hpp"
#include "base/text.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

/// Without the two title lines, and with every range as "begin,count".
std::string hunks(const std::string& diff) {
  std::istringstream lines(diff);
  std::string text, line;
  for (int number = 0; std::getline(lines, line); ++number) {
    if (number < 2) continue;
    if (line.starts_with("@@ ")) {
      std::istringstream words(line);
      std::string at, before, after;
      words >> at >> before >> after;
      for (std::string* range : {&before, &after})
        if (range->find(',') == std::string::npos) *range += ",1";
      line = "@@ " + before + ' ' + after + " @@";
    }
    text += line + '\n';
  }
  return text;
}

std::string system_diff(const std::string& before, const std::string& after) {
  const TempDir dir;
  write_file_atomically(dir / "a", before);
  write_file_atomically(dir / "b", after);
  FILE* const pipe = ::popen(("diff -u " + dir / "a " + dir / "b").c_str(), "r");
  std::string text;
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  ::pclose(pipe);
  return text;
}

std::string numbered(int from, int to) {
  std::string text;
  for (int i = from; i <= to; ++i) text += "line " + std::to_string(i) + '\n';
  return text;
}

std::string with(std::string text, const std::string& old, const std::string& now) {
  return text.replace(text.find(old), old.size(), now);
}

/// `before` with the hunks done to it, as patch(1) does; "(does not fit)" when they do not.
std::string applied(const std::string& before, const std::string& diff) {
  std::istringstream old(before), lines(diff);
  std::string result, line, kept;
  int at = 1;
  const auto next = [&] { return ++at, static_cast<bool>(std::getline(old, kept)); };
  for (int number = 0; std::getline(lines, line); ++number) {
    if (number < 2) continue;
    if (line.starts_with("@@ -")) {
      const int begin = std::stoi(line.substr(4));
      while (at < begin && next()) result += kept + '\n';
      continue;
    }
    if (line[0] != '+' && (!next() || kept != line.substr(1))) return "(does not fit)";
    if (line[0] != '-') result += line.substr(1) + '\n';
  }
  while (next()) result += kept + '\n';
  return result;
}

TEST(DiffTest, of_equal_texts_is_nothing) {
  EXPECT_EQ(unified_diff("", "", "x"), "");
  EXPECT_EQ(unified_diff("a\nb\n", "a\nb\n", "x"), "");
}

TEST(DiffTest, names_what_changes) {
  EXPECT_TRUE(unified_diff("a\n", "b\n", "web01").starts_with("--- web01\n+++ web01 (new)\n@@ "));
}

struct Case {
  const char* name;
  std::string before, after;
};

void PrintTo(const Case& test, std::ostream* out) {
  *out << test.name;
}

class DiffLikeDiff : public testing::TestWithParam<Case> {};

const std::string ten = numbered(1, 10), forty = numbered(1, 40);

std::vector<Case> cases() {
  return {
      {"change_in_the_middle", ten, with(ten, "line 5\n", "new\n")},
      {"insert_at_the_begin", ten, "new\n" + ten},
      {"insert_at_the_end", ten, ten + "new\n"},
      {"insert_in_the_middle", ten, with(ten, "line 5\n", "line 5\nx\ny\n")},
      {"remove_first", ten, numbered(2, 10)},
      {"remove_last", ten, numbered(1, 9)},
      {"replace_all", "a\nb\n", "c\nd\ne\n"},
      {"one_line", "a\n", "b\n"},
      {"two_hunks_far_apart", forty, with(with(forty, "line 5\n", "x\n"), "line 30\n", "y\n")},
      {"seven_lines_between", forty, with(with(forty, "line 10\n", "x\n"), "line 18\n", "y\n")},
      {"six_lines_between", forty, with(with(forty, "line 10\n", "x\n"), "line 17\n", "y\n")},
      {"five_lines_between", forty, with(with(forty, "line 10\n", "x\n"), "line 16\n", "y\n")},
      {"insert_and_remove", forty, with(with(forty, "line 8\n", ""), "line 20\n", "line 20\nz\n")},
      {"from_nothing", "", "a\nb\n"},
      {"to_nothing", "a\nb\n", ""},
  };
}

TEST_P(DiffLikeDiff, has_the_hunks_of_diff_u) {
  const auto& [name, before, after] = GetParam();
  EXPECT_EQ(hunks(unified_diff(before, after, "x")), hunks(system_diff(before, after)));
}

TEST_P(DiffLikeDiff, done_to_the_old_text_gives_the_new) {
  const auto& [name, before, after] = GetParam();
  EXPECT_EQ(applied(before, unified_diff(before, after, "x")), after);
}

INSTANTIATE_TEST_SUITE_P(Cases, DiffLikeDiff, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

TEST(DiffTest, random_changes_done_to_the_old_text_give_the_new) {
  std::mt19937 random(7);
  const auto below = [&](size_t limit) { return random() % limit; };
  const auto lines = [&](size_t most) {
    std::string text;
    for (size_t left = below(most + 1); left > 0; --left)
      text += std::string(1, static_cast<char>('a' + below(4))) + '\n';
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    const std::string begin = lines(12), end = lines(12);
    const std::string before = begin + lines(5) + end, after = begin + lines(5) + end;
    const std::string diff = unified_diff(before, after, "x");
    ASSERT_EQ(applied(before, diff), after) << before << "-----\n" << after << "-----\n" << diff;
    ASSERT_EQ(diff.empty(), before == after);
  }
}

/// 60,000 lines against 60,000 would take 14 GB to compare each with each.
TEST(DiffTest, huge_texts_with_nothing_in_common_are_told_too) {
  std::string before = "same\n", after = "same\n";
  for (int i = 0; i < 60'000; ++i) {
    before += "a" + std::to_string(i) + '\n';
    after += "b" + std::to_string(i) + '\n';
  }
  const std::string diff = unified_diff(before, after, "x");
  EXPECT_NE(diff.find("@@ -1,60001 +1,60001 @@\n same\n-a0\n-a1\n"), std::string::npos);
  EXPECT_EQ(std::count(diff.begin(), diff.end(), '\n'), 120'000 + 4);
}

TEST(DiffTest, a_missing_line_end_at_the_end_is_a_change) {
  EXPECT_NE(unified_diff("a\n", "a", "x"), "");
  EXPECT_EQ(hunks(unified_diff("a\nb\n", "a\nb", "x")), hunks(system_diff("a\nb\n", "a\nb")));
}

}  // namespace
}  // namespace gpuward
