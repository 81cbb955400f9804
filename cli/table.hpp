// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

namespace gpuward {

/// Rows of words under a heading, as wide as the widest word of each column needs.
/// Control characters are shown as "?": names come from drivers and domain XML.
std::string format_table(const std::vector<std::string>& heading,
                         const std::vector<std::vector<std::string>>& rows);

}  // namespace gpuward
