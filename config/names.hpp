// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

namespace gpuward {

constexpr std::string_view name_rule =
    "expected letters, digits and _ . + - only, 128 at most, and not just . or .. or -";

/// A name that may be in a path and in a value of the configuration: type, profile. No slash,
/// no blank, not "." or "..", and not "-", which says in a claim that there is none.
bool is_name(std::string_view text);

/// Likewise of a type, which may have blanks, as NVIDIA's vGPU types ("NVIDIA L40S-1B").
bool is_type_name(std::string_view text);

/// Visible ASCII alone, and some: one word.
bool is_printable(std::string_view text);

std::string lower_case(std::string_view text);

}  // namespace gpuward
