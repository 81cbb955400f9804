// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

/// The first disk or network interface that the kernel has below a PCI function, on a bus of its
/// own too: "block device sda", "network interface eth0"; "" without one. Throws SystemError where
/// that cannot be read.
std::string class_device_below(const Root& root, const PciAddress& address);

}  // namespace gpuward
