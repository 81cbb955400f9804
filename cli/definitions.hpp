// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "allocation/setup.hpp"
#include "base/error.hpp"
#include "base/root.hpp"
#include "cli/commands.hpp"

namespace gpuward {

/// Names of domains by PCI address or UUID of the mdev that their definitions have.
using DomainsByDevice = std::map<std::string, std::set<std::string>>;

/// Devices that the definitions of libvirt's domains have: those that their authors wrote by hand,
/// and those that gpuward attached.
struct Definitions {
  DomainsByDevice by_hand{}, attached{};
  std::vector<OnCommandLine> on_command_lines{};
  Reason unknown{};      ///< why one or all of them are not known; without a problem when they are
  unsigned libvirt = 0;  ///< version, 0 when it is not known
};

/// What libvirt has; what cannot be read is logged and unknown.
Definitions read_definitions(const Settings& settings);

/// Adds those of one domain. Throws Error for XML that is no domain.
void add_definition(const Root& root, const std::string& xml, Definitions& definitions);

/// Devices of definitions that do not exist now: of a domain that is shut off its mdevs, and VFs
/// that are not enabled.
std::vector<AbsentDevice> absent_devices(const Root& root, const Definitions& definitions);

}  // namespace gpuward
