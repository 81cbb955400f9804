// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "domain/xml_document.hpp"

namespace gpuward {

/// How a machine's PCI root can be hot-plugged.
enum class PciRoot {
  pcie,     ///< q35, virt: the root bus never, its ports each by itself
  i440fx,   ///< pc: the root bus, all or nothing
  unknown,  ///< another machine, or one without PCI
};

/// By the controller with index 0 where the XML has it, else by machine type and architecture.
PciRoot pci_root_of(const Document& document);

}  // namespace gpuward
