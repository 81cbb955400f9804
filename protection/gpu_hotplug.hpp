// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "protection/protect_work.hpp"

namespace gpuward {

// libvirt and QEMU refuse to add a device to, and to remove one from, a PCI port with
// <target hotplug='off'/>, for the monitor and for the guest's own eject as well (libvirt 6.3;
// docs/formatdomain.rst, "hotplug"). On q35 each GPU is on a port of its own. On pc the root bus is
// one such port for all devices (pci-root, libvirt 7.9). Bridges have a hot-plug of their own that
// no XML switches off.

/// Switches the hot-plug of a port off and records what was there.
void close_port(ProtectWork& work, const Element& controller);

}  // namespace gpuward
