// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

struct TemporaryFile {
  std::optional<Uuid> domain;  ///< whose file was being written, where it is named by one
  std::string path;
};

/// Temporary files of write_file_atomically whose process is not there any more: it was killed
/// before it gave them their name. Throws SystemError.
std::vector<TemporaryFile> temporary_files(const Root& root, const std::string& directory);

/// Removes them. Throws SystemError.
void sweep_temporary_files(const Root& root, const std::string& directory);

}  // namespace gpuward
