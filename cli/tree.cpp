// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/tree.hpp"

#include <cstdlib>
#include <string_view>

#include "domain/xml_document.hpp"

namespace gpuward {

/// What precedes a line: of one that others follow on its level, and of the last.
struct Branches {
  std::string_view middle, last, line;
};
static constexpr Branches in_utf8{"├─", "└─", "│ "}, in_ascii{"|-", "`-", "| "};

static void add_lines(const std::vector<TreeNode>& nodes, const Branches& branches,
                      const std::string& before, std::string& text) {
  for (size_t at = 0; at < nodes.size(); ++at) {
    const bool is_last = at + 1 == nodes.size();
    text += before;
    text += is_last ? branches.last : branches.middle;
    text += shown(nodes[at].text, nodes[at].text.size()) + '\n';
    add_lines(nodes[at].below, branches,
              before + std::string(is_last ? std::string_view("  ") : branches.line), text);
  }
}

std::string format_tree(const std::vector<TreeNode>& roots, bool utf8) {
  std::string text;
  for (const TreeNode& root : roots) {
    text += shown(root.text, root.text.size()) + '\n';
    add_lines(root.below, utf8 ? in_utf8 : in_ascii, "", text);
  }
  return text;
}

bool is_utf8_locale() {
  for (const char* const name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(name);
    if (!value || !*value) continue;
    const std::string_view locale = value;
    for (const std::string_view word : {"UTF-8", "utf8", "utf-8", "UTF8"})
      if (locale.find(word) != std::string_view::npos) return true;
    return false;
  }
  return false;
}

}  // namespace gpuward
