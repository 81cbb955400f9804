// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <vector>

#include "base/quote.hpp"
#include "base/utf8.hpp"
#include "config/spelling.hpp"

namespace gpuward {

static const std::vector<std::string_view> words = {"mdev", "vf", "vendor-vf", "whole", "off"};

TEST(Spelling, Distance) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("abc", "abc"), 0U);
  EXPECT_EQ(edit_distance("abc", "ABC"), 0U);
  EXPECT_EQ(edit_distance("abc", "abd"), 1U);
  EXPECT_EQ(edit_distance("abc", "ac"), 1U);
  EXPECT_EQ(edit_distance("ac", "abc"), 1U);
  EXPECT_EQ(edit_distance("instnaces", "instances"), 1U);
  EXPECT_EQ(edit_distance("ca", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Spelling, Nearest) {
  EXPECT_EQ(nearest("mdve", words), "mdev");
  EXPECT_EQ(nearest("MDEV", words), "mdev");
  EXPECT_EQ(nearest("vendorvf", words), "vendor-vf");
  EXPECT_EQ(nearest("vender_vf", words), "vendor-vf");
  EXPECT_EQ(nearest("fv", words), "vf");
  EXPECT_EQ(nearest("of", words), "vf");  // as near as "off", and earlier
  EXPECT_FALSE(nearest("xx", words));
  EXPECT_FALSE(nearest("passthrough", words));
  EXPECT_FALSE(nearest("", words));
  EXPECT_FALSE(nearest("mdev", {}));
}

TEST(Spelling, Suggestion) {
  EXPECT_EQ(suggestion("wohle", words), "did you mean 'whole'?");
  EXPECT_EQ(suggestion("gpu", words), "possible: mdev, vf, vendor-vf, whole, off");
  EXPECT_EQ(suggestion("gpu", {}), "none exists");
  const std::vector<std::string_view> many(20, "profile");
  EXPECT_TRUE(suggestion("gpu", many).ends_with("profile and 4 more"));
}

TEST(Quotes, WhatATerminalMayShow) {
  EXPECT_EQ(in_quotes(""), "''");
  EXPECT_EQ(in_quotes("a b"), "'a b'");
  EXPECT_EQ(in_quotes("\xc3\xa4\xe2\x82\xac"), "'\xc3\xa4\xe2\x82\xac'");
  EXPECT_EQ(in_quotes("\x1b[2J\n\t\x7f"), "'\\x1b[2J\\x0a\\x09\\x7f'");
  EXPECT_EQ(in_quotes("\xe4\xff"), "'\\xe4\\xff'");
  EXPECT_EQ(in_quotes("\xc2\x9b"), "'\\xc2\\x9b'");
  EXPECT_EQ(in_quotes(std::string_view("\0", 1)), "'\\x00'");
}

TEST(Quotes, CutsLongTexts) {
  EXPECT_EQ(in_quotes(std::string(60, 'x')), "'" + std::string(60, 'x') + "'");
  EXPECT_EQ(in_quotes(std::string(61, 'x')), "'" + std::string(60, 'x') + "...' (61 bytes)");
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xa4";
  EXPECT_TRUE(is_utf8(in_quotes(umlauts)));
  EXPECT_LT(in_quotes(umlauts).size(), 90U);
}

TEST(Utf8, WellFormed) {
  for (const char* text : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(text)) << in_quotes(text);
}

TEST(Utf8, IllFormed) {
  for (const char* text : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3\x28", "\xe0\x9f\xbf",
                           "\xed\xa0\x80", "\xe2\x82", "\xe2\x28\xa1", "\xf0\x8f\xbf\xbf",
                           "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xf0\x9f\x98"})
    EXPECT_FALSE(is_utf8(text)) << in_quotes(text);
}

}  // namespace gpuward
