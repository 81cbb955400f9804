// SPDX-License-Identifier: LGPL-2.1-or-later
#include "source_tree.hpp"

// Not __FILE__: ccache makes it relative, so that trees share what they compile (see tests/run).
std::string in_source_tree(const std::string& name) {
  return GPUWARD_SOURCE_TREE "/" + name;
}
