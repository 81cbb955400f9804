// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/answer.hpp"

#include <algorithm>

#include "base/utf8.hpp"
#include "hooks/request_verdict.hpp"

namespace gpuward {

static constexpr size_t longest_answer = 299;
static constexpr size_t longest_name = 60;  // of a domain, where the answer has to be cut

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// How much of `text`, which begins with a number, is "4711" or "4711 (COMMAND)". A command has 15
/// bytes at most, any of which may be a parenthesis.
static size_t length_of_process(std::string_view text) {
  const size_t number = std::min(text.find_first_not_of("0123456789"), text.size());
  if (!text.substr(number).starts_with(" (")) return number;
  const size_t end = text.substr(0, number + 2 + 15 + 1).rfind(')');
  return end == text.npos ? number : end + 1;
}

static std::string without_processes(std::string_view text) {
  std::string result;
  for (;;) {
    const size_t at = text.find("pid ");
    result += text.substr(0, at);
    if (at == text.npos) return result;
    const bool is_word = at == 0 || text[at - 1] == ' ' || text[at - 1] == '(';
    text.remove_prefix(at + 4);
    if (!is_word || text.empty() || !is_digit(text[0])) {
      result += "pid ";
      continue;
    }
    text.remove_prefix(length_of_process(text));
    result += "a process of the host";
  }
}

/// At most `size` bytes of it, whole characters.
static std::string_view cut(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (text[size] & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

std::string answer_for_caller(std::string_view domain, std::string_view reason) {
  const std::string name = printable(domain);
  const std::string whole = "gpuward: " + name + ": " + printable(without_processes(reason));
  if (whole.size() <= longest_answer) return whole;
  const std::string rest = name.size() <= longest_name
                               ? "...; run: journalctl GPUWARD_DOMAIN=" + shell_word(name)
                               : "...; run: journalctl -t gpuward-qemu-hook";
  return std::string(cut(whole, longest_answer - std::min(rest.size(), longest_answer))) + rest;
}

}  // namespace gpuward
