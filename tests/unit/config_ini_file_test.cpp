// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/text.hpp"
#include "config/ini_file.hpp"

namespace gpuward {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// "1[header] 2key=value 3key=value", and problems as "!3 message".
static std::string shown(std::string_view text) {
  const IniFile ini = parse_ini(text);
  std::string result;
  for (const IniSection& section : ini.sections) {
    result += std::to_string(section.line) + "[" + section.header + "] ";
    for (const IniEntry& entry : section.entries)
      result += std::to_string(entry.line) + entry.key + "=" + entry.value + " ";
  }
  for (const IniProblem& problem : ini.problems)
    result += "!" + std::to_string(problem.line) + " " + problem.message + " ";
  return std::string(trim(result));
}

static std::vector<int> problem_lines(std::string_view text) {
  std::vector<int> lines;
  for (const IniProblem& problem : parse_ini(text).problems) lines.push_back(problem.line);
  return lines;
}

/// The value of the only key in the only section.
static std::string value_of(std::string_view text) {
  const IniFile ini = parse_ini(text);
  EXPECT_THAT(ini.problems, IsEmpty());
  if (ini.sections.size() != 1 || ini.sections[0].entries.size() != 1) return "<not one value>";
  return ini.sections[0].entries[0].value;
}

TEST(IniFile, Nothing) {
  EXPECT_EQ(shown(""), "");
  EXPECT_EQ(shown("\n"), "");
  EXPECT_EQ(shown("\n\n  \t \n"), "");
  EXPECT_EQ(shown("; a\n# b\n  ; c\n\t# d"), "");
}

TEST(IniFile, SectionsAndKeysWithTheirLines) {
  EXPECT_EQ(shown("[a]\nk = v\n\n; no\n[b c]\n l=w x \nm  =  \n"), "1[a] 2k=v 5[b c] 6l=w x 7m=");
}

TEST(IniFile, SectionWithoutKeysIsSeen) {
  EXPECT_EQ(shown("[a]\n[b]\n[c]"), "1[a] 2[b] 3[c]");
  EXPECT_EQ(shown("[]"), "1[]");
}

TEST(IniFile, LastLineNeedsNoEnd) {
  EXPECT_EQ(shown("[a]\nk = v"), "1[a] 2k=v");
}

TEST(IniFile, CarriageReturns) {
  EXPECT_EQ(shown("[a]\r\nk = v\r\n\r\nl=w\r\n"), "1[a] 2k=v 4l=w");
}

TEST(IniFile, ByteOrderMark) {
  EXPECT_EQ(shown("\xef\xbb\xbf[a]\nk = v\n"), "1[a] 2k=v");
  EXPECT_EQ(shown("\xef\xbb\xbf; x\n[a]\n"), "2[a]");
  EXPECT_THAT(problem_lines("[a]\n\xef\xbb\xbf[b]\n"), ElementsAre(2));
}

TEST(IniFile, ValueMayHoldAlmostAnything) {
  EXPECT_EQ(value_of("[a]\nk = b=c:d[e]"), "b=c:d[e]");
  EXPECT_EQ(value_of("[a]\nk = a;b"), "a;b");
  EXPECT_EQ(value_of("[a]\nk = a#b"), "a#b");
  EXPECT_EQ(value_of("[a]\nk = \"a  b\""), "\"a  b\"");
  EXPECT_EQ(value_of("[a]\nk = \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
            "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
}

TEST(IniFile, CommentsBehindValues) {
  EXPECT_EQ(value_of("[a]\nk = v ; c"), "v");
  EXPECT_EQ(value_of("[a]\nk = v\t;c ; d"), "v");
  EXPECT_EQ(value_of("[a]\nk = ; c"), "");
  EXPECT_EQ(shown("[a] ; c\n[b];c\n"), "1[a] !2 section header '[b];c' does not end with ']'");
}

TEST(IniFile, HashBehindAValueIsTold) {
  EXPECT_EQ(shown("[a]\nk = v # c\nl = # d\nm = v#\n"),
            "1[a] 2k=v 3l= 4m=v# "
            "!2 comments after a value start with ' ;' (found '#') in 'k = v # c' "
            "!3 comments after a value start with ' ;' (found '#') in 'l = # d'");
}

TEST(IniFile, ContinuationLines) {
  EXPECT_EQ(value_of("[a]\nk = b,\n  c,\n\td"), "b, c, d");
  EXPECT_EQ(value_of("[a]\nk =\n  b"), "b");
  EXPECT_EQ(value_of("[a]\nk = b, ; one\n  c ; two\n"), "b, c");
  EXPECT_EQ(value_of("[a]\nk = b,\n\n; note\n  # note\n  c\n"), "b, c");
  EXPECT_EQ(value_of("[a]\r\nk = b,\r\n  c\r\n"), "b, c");
  EXPECT_EQ(value_of("[a]\nexpect = uuid:x,\n  serial:a=b"), "uuid:x, serial:a=b");
}

TEST(IniFile, ContinuationOfANameThatInihWouldCut) {
  const std::string name(80, 'n');
  EXPECT_EQ(shown("[a]\n" + name + " = b,\n  c\n"), "1[a] 2" + name + "=b, c");
}

TEST(IniFile, ContinuationOfNothing) {
  EXPECT_THAT(problem_lines("[a]\n  b\n"), ElementsAre(2));
  EXPECT_THAT(problem_lines("  b\n[a]\nk = v\n"), ElementsAre(1));
}

TEST(IniFile, IndentedKeysAndSections) {
  EXPECT_EQ(shown("[a]\n  k = v\n  l = w\n  [b]\n\tm = x"), "1[a] 2k=v 3l=w 4[b] 5m=x");
}

TEST(IniFile, BracketsInAHeader) {
  EXPECT_EQ(shown("[quota web-[0-9]]\n"), "1[quota web-[0-9]]");
  EXPECT_EQ(shown("[quota [a-c]*[!x]] ; comment [x]\n"), "1[quota [a-c]*[!x]]");
  EXPECT_EQ(shown("[ a\tb ]\n"), "1[a\tb]");
}

TEST(IniFile, BrokenHeader) {
  EXPECT_EQ(shown("[a]\nk = v\n[b\nl = w\nrubbish\n[c]\nm = x\n"),
            "1[a] 2k=v 6[c] 7m=x !3 section header '[b' does not end with ']' "
            "!5 found 'rubbish', expected 'key = value' or '[section]'");
  EXPECT_EQ(shown("[a] b\n"), "!1 section header '[a] b' does not end with ']'");
  EXPECT_EQ(shown("[\n"), "!1 section header '[' does not end with ']'");
  EXPECT_THAT(problem_lines("[a ;]\n"), ElementsAre(1));
}

TEST(IniFile, NoKeyAndValue) {
  EXPECT_EQ(shown("[a]\nrubbish\nk = v\n= x\nuse: mdev\nb ;c = d\n"),
            "1[a] 3k=v "
            "!2 found 'rubbish', expected 'key = value' or '[section]' "
            "!4 found '= x', expected 'key = value' or '[section]' "
            "!5 found 'use: mdev', expected 'key = value' or '[section]' "
            "!6 found 'b ;c = d', expected 'key = value' or '[section]'");
}

TEST(IniFile, RubbishEndsAValue) {
  EXPECT_EQ(shown("[a]\nk = b\nrubbish\n  c\n"),
            "1[a] 2k=b !3 found 'rubbish', expected 'key = value' or '[section]' "
            "!4 found 'c', expected 'key = value' or '[section]'");
}

TEST(IniFile, BeforeAnySection) {
  EXPECT_EQ(
      shown("k = v\nl = w\n[a]\n"),
      "3[a] !1 'k' is set before the first '[section]' !2 'l' is set before the first '[section]'");
}

TEST(IniFile, ControlCharacters) {
  using namespace std::string_literals;
  EXPECT_EQ(shown("[a]\nk = v\0w\nl = x\n"s),
            "1[a] 3l=x !2 control character 0x00 in 'k = v\\x00w', expected plain text");
  EXPECT_EQ(shown("[a\0]\nk = v\n[b]"s),
            "3[b] !1 control character 0x00 in '[a\\x00]', expected plain text");
  EXPECT_THAT(problem_lines("[a]\nk = \x01v\x01\n"), ElementsAre(2));
  EXPECT_THAT(problem_lines("[a]\rk = v\r"), ElementsAre(1));
  EXPECT_THAT(problem_lines("[a]\n\x1b[0m = v\n\x7f = w\n\v\n"), ElementsAre(2, 3, 4));
  EXPECT_THAT(problem_lines("[a]\n; \0 in a comment\nk = v\n"s), IsEmpty());
}

TEST(IniFile, OnlyUtf8) {
  EXPECT_EQ(shown("[a]\nk = \xe4\n\xe4 = k\nl = x\n"),
            "1[a] 4l=x !2 'k = \\xe4' is not UTF-8 !3 '\\xe4 = k' is not UTF-8");
  EXPECT_EQ(shown("[\xe4]\nk = v\n"), "!1 '[\\xe4]' is not UTF-8");
  EXPECT_THAT(problem_lines("[a]\nk = v ; \xe4\n# \xe4\n"), IsEmpty());
}

TEST(IniFile, LongValues) {
  for (const size_t size : {150U, 10'000U, 1'000'000U}) {
    std::string value;
    while (value.size() < size) value += "item-" + std::to_string(value.size()) + ",  ";
    value += "end";
    EXPECT_TRUE(value_of("[a]\nk = " + value + "\n") == value) << size;
    EXPECT_TRUE(value_of("[a]\nk =\n  " + value + "\n") == value) << size;
    EXPECT_TRUE(value_of("[a]\nk = " + value + " ; " + value) == value) << size;
  }
}

TEST(IniFile, LongBlanks) {
  const std::string blanks(1000, ' ');
  EXPECT_EQ(value_of("[a]\nk = b" + blanks + "c"), "b" + blanks + "c");
  EXPECT_EQ(value_of("[a]\nk = b" + blanks + "; c"), "b");
  EXPECT_EQ(value_of("[a]\nk =" + blanks + "b" + blanks + "\n"), "b");
  EXPECT_EQ(value_of("[a]\nk" + blanks + "= b"), "b");
  EXPECT_EQ(value_of("[a]\n" + blanks + "k = b"), "b");
  EXPECT_EQ(value_of("[a]\nk = b,\n" + blanks + "c"), "b, c");
  EXPECT_EQ(shown("[a" + blanks + "b]"), "1[a" + blanks + "b]");
}

TEST(IniFile, LongLinesOfOtherKinds) {
  const std::string x(5000, 'x');
  EXPECT_EQ(shown("; " + x + "\n[" + x + "]\n# " + x + "\nk = v"), "2[" + x + "] 4k=v");
  EXPECT_EQ(shown("[a]\n" + x + " = v\nk = v\n").substr(0, 12), "1[a] 3k=v !2");
  EXPECT_THAT(problem_lines("[a]\n" + x + "\nk = v\n" + x), ElementsAre(2, 4));
  EXPECT_THAT(problem_lines("[a" + x + "\n"), ElementsAre(1));
  EXPECT_EQ(shown("[a]\nk = " + x + "\n  " + x + "\nl = v"), "1[a] 2k=" + x + " " + x + " 4l=v");
}

TEST(IniFile, MessagesStayShort) {
  const IniFile ini = parse_ini(std::string(1'000'000, 'x'));
  ASSERT_THAT(ini.problems, SizeIs(1));
  EXPECT_LT(ini.problems[0].message.size(), 200U);
}

/// What a value is, without buffers and pieces.
static std::string plain_value(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == ';' && i > 0 && (text[i - 1] == ' ' || text[i - 1] == '\t'))
      text = text.substr(0, i);
  return std::string(trim(text));
}

TEST(IniFile, EveryLengthAroundTheEndOfABuffer) {
  for (size_t length = 100; length < 700; ++length) {
    const std::string x(length, 'x');
    for (const std::string_view tail :
         {"", " ;c", ";;y", "  y", "; ;", "#y", "\t;y", " y;", "[y]", "=y"}) {
      const std::string value = x + std::string(tail) + (tail.empty() ? "" : x);
      ASSERT_EQ(value_of("[a]\nk = " + value), plain_value(value)) << length << tail;
      if (tail == "=y") continue;  // a key of its own
      ASSERT_EQ(value_of("[a]\nk = y,\n " + value + "\n"), plain_value("y, " + value))
          << length << tail;
    }
  }
}

TEST(IniFile, AnyMixtureOfWhatMattersIsKept) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string value = "x";
    const size_t length = random() % 900;
    // Few letters, so that all pairs come up at every place; no '#' behind a blank, which is told.
    while (value.size() < length) {
      const char c = "  \t;;#=:[]xyzabcdefghijklmnopqrstu"[random() % 33];
      if (c == '#' && (value.back() == ' ' || value.back() == '\t')) continue;
      value += c;
      if (value.size() > 700) continue;
      if (random() % 50 == 0) value.append(random() % 250, value.back());
    }
    if (value.find(" #") != std::string::npos || value.find("\t#") != std::string::npos) continue;
    ASSERT_EQ(value_of("[a]\nk = " + value), plain_value(value)) << round;
  }
}

TEST(IniFile, LinesAreCountedAcrossEverything) {
  const std::string x(1000, 'x');
  EXPECT_THAT(problem_lines("[a]\nk = " + x + "\n  " + x + " ; " + x + "\n\n;" + x + "\nbad\n[b" +
                            x + "]\r\nbad\n" + x + "\n"),
              ElementsAre(6, 8, 9));
}

}  // namespace gpuward
