// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gpuward {

/// The names that a message has where it says what they are: "domain 'a'", "domains 'a', 'b'",
/// "run: gpuward reassign a", "[quota a-*]". They are elsewhere in it too, without such a word.
struct MessageNames {
  std::vector<std::string> domains;
  std::vector<std::string> owners;
  std::vector<std::string> patterns;
};

MessageNames names_in_message(std::string_view message);

}  // namespace gpuward
