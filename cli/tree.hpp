// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

namespace gpuward {

/// A line and those below it.
struct TreeNode {
  std::string text;
  std::vector<TreeNode> below{};
};

/// Lines with branches drawn before them as lsblk(8) does, in characters of UTF-8 or of ASCII.
std::string format_tree(const std::vector<TreeNode>& roots, bool utf8);

/// Whether programs may print UTF-8: locale(7), of LC_ALL, LC_CTYPE and LANG the first that is set.
bool is_utf8_locale();

}  // namespace gpuward
