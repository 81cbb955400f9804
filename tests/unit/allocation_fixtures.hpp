// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "inventory/usage.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {

/// These devices, each of which another domain has.
inline DevicesInUse taken(const std::vector<std::string>& addresses) {
  DevicesInUse taken;
  for (const std::string& address : addresses) taken[at(address)] = {{}, "web has it"};
  return taken;
}

}  // namespace gpuward
