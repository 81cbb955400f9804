// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

/// Access Control Services of a port above a device: what keeps devices below it from reaching each
/// other without the IOMMU.
struct PortAcs {
  PciAddress port;
  /// Of those that isolate, what the port can switch and what is switched on; nothing when it is
  /// not known.
  std::optional<uint16_t> able{}, enabled{};
  std::string unknown{};  ///< why
};

/// Of each root port and downstream port above the device, from the top. Others have none of their
/// own (drivers/pci/pci.c, pci_acs_enabled). Needs root; a suspended port is not resumed.
std::vector<PortAcs> acs_above(const Root& root, const PciAddress& device);

/// As lspci(8) writes them: "SrcValid ReqRedir"; "none".
std::string acs_text(uint16_t flags);

}  // namespace gpuward
