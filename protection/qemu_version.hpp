// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "protection/guards.hpp"

namespace gpuward {

/// Version of the QEMU at this path, 9002001 for 9.2.1: what `PATH --version` prints, asked for
/// once and kept in /run/gpuward/qemu until the file changes (inode, size, mtime). Asked is only a
/// program that belongs to root, or to the user that we are, and that nobody else may write to.
/// Nothing when it is unknown. Never throws.
std::optional<unsigned> qemu_version(const Root& root, const std::string& emulator);

/// What is kept of an emulator.
struct KeptQemuVersion {
  std::string emulator;
  std::optional<unsigned> version;  ///< nothing where the program is another now, or is not asked
};

/// All that is kept; no program is asked. Throws SystemError.
std::vector<KeptQemuVersion> kept_qemu_versions(const Root& root);

/// What a QEMU of this version can do.
QemuCapabilities abilities_of(std::optional<unsigned> version);

/// "9.2.1"
std::string version_text(unsigned version);

}  // namespace gpuward
