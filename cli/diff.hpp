// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

namespace gpuward {

/// What changes from `before` to `after`, line by line, as `diff -u` shows it; "" when nothing.
std::string unified_diff(std::string_view before, std::string_view after, std::string_view name);

}  // namespace gpuward
