// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/unknown_command.hpp"

#include <gtest/gtest.h>

namespace gpuward {
namespace {

const std::vector<std::string_view> commands{"attach", "detach", "list"};

TEST(UnknownCommandTest, the_word_is_named_with_the_command_that_is_near_it) {
  EXPECT_EQ(to_string(unknown_command({"atach", "web01"}, commands)),
            "'atach': not a command; did you mean 'attach'?");
  EXPECT_EQ(to_string(unknown_command({"migrate"}, commands)),
            "'migrate': not a command; run: gpuward --help");
}

TEST(UnknownCommandTest, without_a_word_a_command_is_required) {
  EXPECT_EQ(to_string(unknown_command({}, commands)),
            "gpuward: a command is required; run: gpuward --help");
  EXPECT_EQ(to_string(unknown_command({"--jsn"}, commands)),
            "'--jsn': not an option; run: gpuward --help");
}

}  // namespace
}  // namespace gpuward
