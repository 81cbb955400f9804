// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/table.hpp"

#include <gtest/gtest.h>

namespace gpuward {
namespace {

TEST(TableTest, columns_are_as_wide_as_their_widest_word) {
  EXPECT_EQ(format_table({"GPU", "FREE"}, {{"mbochs", "4"}, {"0000:41:00.0", "12"}}),
            "GPU           FREE\n"
            "mbochs        4\n"
            "0000:41:00.0  12\n");
}

TEST(TableTest, without_rows_there_is_the_heading) {
  EXPECT_EQ(format_table({"A", "B"}, {}), "A  B\n");
}

TEST(TableTest, a_row_may_be_longer_than_the_heading) {
  EXPECT_EQ(format_table({"A"}, {{"1", "two"}, {"", "", "3"}}), "A\n1  two\n-  -    3\n");
}

TEST(TableTest, no_line_ends_in_blanks) {
  EXPECT_EQ(format_table({"A", "LONG"}, {{"wide word", "x"}}), "A          LONG\nwide word  x\n");
}

TEST(TableTest, characters_count_not_bytes) {
  EXPECT_EQ(format_table({"NAME", "X"}, {{"Gr\u00fc\u00dfe", "1"}, {"plain", "2"}}),
            "NAME   X\nGr\u00fc\u00dfe  1\nplain  2\n");
}

TEST(TableTest, an_empty_word_is_a_dash) {
  EXPECT_EQ(format_table({"A", "B"}, {{"", ""}}), "A  B\n-  -\n");
}

TEST(TableTest, control_characters_cannot_reach_the_terminal) {
  EXPECT_EQ(format_table({"A"}, {{"a\nb\tc\x1b[31m\x7f"}}), "A\na?b?c?[31m?\n");
}

/// U+0080 to U+009F: a terminal in UTF-8 takes U+009B for ESC [.
TEST(TableTest, nor_can_those_that_have_two_bytes) {
  EXPECT_EQ(format_table({"A"}, {{"a\u009b31m"}}).find("\u009b"), std::string::npos);
}

}  // namespace
}  // namespace gpuward
