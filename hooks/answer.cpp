// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/answer.hpp"

#include <algorithm>

#include "base/quote.hpp"
#include "base/utf8.hpp"

namespace gpuward {

static constexpr size_t longest_answer = 299;
// Where the answer has to be cut.
static constexpr size_t longest_name = 60;  // of a domain
static constexpr size_t longest_remedy = 80;

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Process numbers are of no use to a caller and may be another tenant's; the command stays. The
/// number in parentheses is that of a process of gpuward's own.
static std::string without_processes(std::string_view text) {
  static constexpr std::string_view word = "process ";
  std::string result;
  for (;;) {
    const size_t at = text.find(word);
    result += text.substr(0, at);
    if (at == text.npos) return result;
    const bool is_word = at == 0 || text[at - 1] == ' ' || text[at - 1] == '(';
    text.remove_prefix(at + word.size());
    if (!is_word || text.empty() || !is_digit(text[0])) {
      result += word;
      continue;
    }
    text.remove_prefix(std::min(text.find_first_not_of("0123456789"), text.size()));
    if (result.ends_with(" (") && text.starts_with(')')) {
      result.resize(result.size() - 2);
      text.remove_prefix(1);
    } else {
      result += "a process of the host";
    }
  }
}

/// At most `size` bytes of it, whole characters.
static std::string_view cut(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (text[size] & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

/// What to do, where the answer has to be cut: the remedy, or where the whole reason is.
static std::string rest_of(std::string_view domain, const std::string& remedy) {
  if (!remedy.empty() && remedy.size() <= longest_remedy) return "...; " + printable(remedy);
  const std::string name = printable(domain);
  return name.size() <= longest_name ? "...; run: journalctl GPUWARD_DOMAIN=" + shell_word(name)
                                     : "...; run: journalctl -t gpuward-qemu-hook";
}

std::string answer_for_caller(std::string_view domain, const Reason& reason) {
  std::string whole =
      "gpuward: " + domain_title(domain) + ": " + printable(without_processes(to_string(reason)));
  if (whole.size() <= longest_answer) return whole;
  const std::string rest = rest_of(domain, reason.remedy);
  return std::string(cut(whole, longest_answer - std::min(rest.size(), longest_answer))) + rest;
}

}  // namespace gpuward
