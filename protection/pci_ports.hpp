// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "domain/xml_document.hpp"

namespace gpuward {

// Which controllers on the way from a device to the PCI root have hot-plug, and which settings of
// QEMU's keep it on.

/// Whether the controllers of this model have hot-plug that <target hotplug='off'/> disables.
bool is_port(std::string_view model);

/// Buses that QEMU gives no hot-plug.
bool is_fixed(std::string_view model);

/// Whether its hot-plug is disabled.
bool is_closed(const Element& controller);

/// A root bus that is open; its controller may be missing from XML that libvirt has not completed.
bool is_root_open(const Document& document);

/// The controllers from a bus up to the root, each with hot-plug that would remove what is on the
/// bus; or why one of them cannot be closed.
struct PciPath {
  std::vector<const Element*> ports;
  bool through_root = false;  ///< of i440fx, which the XML need not name
  std::string obstacle;
};
/// From the bus below the controller with index `bus`.
PciPath path_from(const Document& document, unsigned bus);

/// Where <qemu:override> gives the port hot-plug whatever its <target> says; null where it does
/// not.
const Element* overridden_hotplug(const Document& document, const Element& port);

/// The property or argument for QEMU by which hot-plug on the way to the GPU stays on although the
/// XML disables it; null when there is none. libvirt disables that of i440fx's root with
/// `-global PIIX4_PM.acpi-root-pci-hotplug=off`, and QEMU takes the last `-global`.
const Element* find_override(const Document& document, const PciPath& path);

}  // namespace gpuward
