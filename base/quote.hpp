// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

namespace gpuward {

/// The text in single quotes as a message can show it: one line, valid UTF-8, no control
/// characters, and no more of it than a reader needs to find the place.
std::string in_quotes(std::string_view text);

/// "domain 'web01'", as messages name one.
std::string domain_title(std::string_view name);

/// As one word of a shell's command line.
std::string shell_word(std::string_view text);

}  // namespace gpuward
