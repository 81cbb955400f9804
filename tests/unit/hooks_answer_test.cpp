// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/answer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/utf8.hpp"

namespace gpuward {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Answer, names_the_domain_and_the_reason) {
  EXPECT_EQ(answer_for_caller("web01", {{}, "GPU a: no type is free", {}}),
            "gpuward: domain 'web01': GPU a: no type is free");
}

TEST(Answer, names_no_process_number) {
  EXPECT_EQ(
      answer_for_caller("a",
                        {{}, "X is in use by process 4711 (qemu-system-x86); stop that first", {}}),
      "gpuward: domain 'a': X is in use by a process of the host (qemu-system-x86); stop that "
      "first");
  EXPECT_EQ(answer_for_caller(
                "a", {{}, "blocked in the kernel (process 4711); check: journalctl -k", {}}),
            "gpuward: domain 'a': blocked in the kernel; check: journalctl -k");
  EXPECT_EQ(answer_for_caller("a", {{}, "process 1 (a) process 77 (b)) and process 3", {}}),
            "gpuward: domain 'a': a process of the host (a) a process of the host (b)) and a "
            "process of the host");
}

TEST(Answer, other_words_stay) {
  EXPECT_EQ(answer_for_caller("a", {{}, "inprocess 7, process x, process ", {}}),
            "gpuward: domain 'a': inprocess 7, process x, process ");
}

TEST(Answer, fits_a_ticket_whatever_the_names_are) {
  for (const std::string& name : {std::string("web01"), std::string(250, 'x'),
                                  std::string(400, '\x01'), std::string(300, '\'')}) {
    const std::string answer =
        answer_for_caller(name, {{}, std::string(5000, 'r') + "\xc3\xa4", {}});
    EXPECT_LT(answer.size(), 300U) << answer;
    EXPECT_TRUE(is_utf8(answer));
    EXPECT_THAT(answer, StartsWith("gpuward: "));
    EXPECT_THAT(answer, HasSubstr("...; run: journalctl "));
  }
  std::string letters;
  for (int i = 0; i < 400; ++i) letters += "\xc3\xa4";
  EXPECT_TRUE(is_utf8(answer_for_caller("x", {{}, letters, {}})));
  EXPECT_TRUE(is_utf8(answer_for_caller("xy", {{}, letters, {}})));
  EXPECT_THAT(answer_for_caller("web01", {{}, letters, {}}),
              EndsWith("journalctl GPUWARD_DOMAIN=web01"));
}

TEST(Answer, keeps_a_short_remedy_where_it_is_cut) {
  const std::string answer =
      answer_for_caller("web01", {"GPU 0", std::string(400, 'x'), "run: gpuward list"});
  EXPECT_LT(answer.size(), 300U);
  EXPECT_THAT(answer, EndsWith("x...; run: gpuward list"));
  EXPECT_THAT(answer_for_caller("web01", {"GPU 0", "x", std::string(400, 'y')}),
              EndsWith("...; run: journalctl GPUWARD_DOMAIN=web01"));
}

TEST(Answer, is_one_line_that_steers_no_terminal) {
  const std::string answer = answer_for_caller("a\nb", {{}, "x\r\n\x1b[2J\xc2\x9b", {}});
  EXPECT_THAT(answer, Not(HasSubstr("\n")));
  EXPECT_THAT(answer, Not(HasSubstr("\x1b")));
  EXPECT_THAT(answer, Not(HasSubstr("\xc2\x9b")));
}

}  // namespace
}  // namespace gpuward
