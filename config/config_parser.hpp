// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/root.hpp"
#include "base/trusted_file.hpp"
#include "config/config.hpp"

namespace gpuward {

/// One mistake in the configuration: "FILE:LINE: what was found, what is wanted, did you mean".
struct ConfigProblem {
  Position position;
  std::string message;
};

std::string to_string(const ConfigProblem& problem);

struct LoadedConfig {
  Config config;                        ///< what could be understood; whole only without problems
  std::vector<ConfigProblem> problems;  ///< all of them, in reading order
  /// Valid keys and sections that this version does not act on: `gpuward check` fails because of
  /// them, but a domain that started yesterday still starts.
  std::vector<ConfigProblem> unsupported;
};

/// The files that make up the configuration, in reading order: gpuward.conf, then conf.d/*.conf
/// sorted by name. Those that do not exist are left out.
std::vector<std::string> config_files(const Root& root);

/// Reads the files in order as one configuration. A later file may set keys of a section that an
/// earlier one opened; the later value wins. The same key twice in one file is a problem.
/// A file that cannot be read is a problem too; nothing is thrown for bad input.
LoadedConfig load_config(const std::vector<std::string>& files);

/// The configuration of this host. That others than root can change one of its files or a directory
/// of one is a problem too: root goes by it. So is a directory that cannot be read.
LoadedConfig load_host_config(const Root& root);

/// What of its files and directories others than root can change.
std::vector<Untrusted> untrusted_config(const Root& root);

}  // namespace gpuward
