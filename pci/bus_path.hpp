// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

/// Where a PCI function is plugged in, by the directory that the kernel gives it: one below that of
/// the port above it (drivers/pci/probe.c, pci_setup_device).
struct BusPath {
  PciAddress host_bridge;           ///< domain and bus of "pci0000:40"
  std::vector<PciAddress> ports{};  ///< bridges above it, from the root port down
  bool operator==(const BusPath&) const = default;
};

/// Nothing where the kernel does not report it, or there is no such function.
std::optional<BusPath> bus_path(const Root& root, const PciAddress& device);

}  // namespace gpuward
