// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gpuward {

/// How many bytes the first character of `text` has; 0 when it is not well-formed UTF-8 (RFC 3629:
/// no overlong forms, no surrogates, nothing above U+10FFFF) or there is none.
size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

/// Text of others as a terminal or the journal may show it: control characters, which a terminal
/// obeys and which forge lines, and what is not UTF-8 become "\x1b".
std::string printable(std::string_view text);

}  // namespace gpuward
