// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace gpuward {

/// What to say where the command line names no command of ours: the first of `words`, which the
/// parser did not take, and the command of `commands` that is near it.
Reason unknown_command(const std::vector<std::string>& words,
                       const std::vector<std::string_view>& commands);

}  // namespace gpuward
