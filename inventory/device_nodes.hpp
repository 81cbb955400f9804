// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "inventory/open_handles.hpp"

namespace gpuward {

/// The nodes through which a PCI device can be open: VFIO's, DRM's, NVIDIA's, its framebuffer.
std::vector<std::string> device_nodes(const Root& root, const PciAddress& address);

/// Who has one of them open; nothing when nobody has.
std::optional<Holder> holder_of(const Root& root, const DeviceHolders& holders,
                                const PciAddress& address);

/// The same for VFIO's nodes alone: a domain has it.
std::optional<Holder> vfio_holder_of(const Root& root, const DeviceHolders& holders,
                                     const PciAddress& address);

}  // namespace gpuward
