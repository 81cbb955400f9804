// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/unknown_command.hpp"

#include "base/quote.hpp"
#include "config/spelling.hpp"

namespace gpuward {

Reason unknown_command(const std::vector<std::string>& words,
                       const std::vector<std::string_view>& commands) {
  if (words.empty()) return {"gpuward", "a command is required", "run: gpuward --help"};
  const std::string& word = words.front();
  if (word.starts_with('-')) return {in_quotes(word), "not an option", "run: gpuward --help"};
  const auto meant = nearest(word, commands);
  return {in_quotes(word), "not a command",
          meant ? "did you mean " + in_quotes(*meant) + "?" : "run: gpuward --help"};
}

}  // namespace gpuward
