// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"
#include "protection/guards.hpp"
#include "protection/protect_work.hpp"

namespace gpuward {

// libvirt and QEMU refuse to add a device to, and to remove one from, a PCI port with
// <target hotplug='off'/>, for the monitor and for the guest's own eject as well (libvirt 6.3;
// docs/formatdomain.rst, "hotplug"). On q35 each GPU is on a port of its own. On pc the root bus is
// one such port for all devices (pci-root, libvirt 7.9). Bridges have a hot-plug of their own that
// no XML switches off.

/// How a machine's PCI root can be hot-plugged.
enum class PciRoot {
  pcie,     ///< q35, virt: the root bus never, its ports each by itself
  i440fx,   ///< pc: the root bus, all or nothing
  unknown,  ///< another machine, or one without PCI
};

PciRoot pci_root_of(const Document& document);

/// The open PCIe root ports that have one GPU of these, with the functions of its card, behind them
/// and nothing else. Of two GPUs on one port the first is told.
struct OwnPort {
  const Element* controller;
  unsigned index;
  const Hostdev* gpu;
};
std::vector<OwnPort> open_ports_of_their_own(const Document& document,
                                             const std::vector<const Hostdev*>& gpus);
/// Switches the hot-plug of a port off and records what was there.
void close_port(ProtectWork& work, const Element& controller);
/// Whether `record` speaks of this port: protect closed or made it.
bool is_port_recorded(const Element& record, unsigned index);

/// From an earlier protect.
std::vector<GuestPlace> guest_places(const Element& record);

}  // namespace gpuward
