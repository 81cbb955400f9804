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

/// Process numbers are of no use to a caller and may be another tenant's; the command stays.
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
    text.remove_prefix(std::min(text.find_first_not_of("0123456789"), text.size()));
    if (result.ends_with(" as "))  // "hangs in the kernel as pid 4711": a process of gpuward's own
      result.resize(result.size() - 4);
    else
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
  std::string whole = "gpuward: " + name + ": " + printable(without_processes(reason));
  if (whole.size() <= longest_answer) return whole;
  const std::string rest = name.size() <= longest_name
                               ? "...; run: journalctl GPUWARD_DOMAIN=" + shell_word(name)
                               : "...; run: journalctl -t gpuward-qemu-hook";
  return std::string(cut(whole, longest_answer - std::min(rest.size(), longest_answer))) + rest;
}

}  // namespace gpuward
