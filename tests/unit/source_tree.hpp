// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

/// The full path of a file of the source tree.
std::string in_source_tree(const std::string& name);
