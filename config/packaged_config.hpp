// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string_view>

namespace gpuward {

/// gpuward.conf as the package installs it, byte for byte.
std::string_view packaged_config();

}  // namespace gpuward
