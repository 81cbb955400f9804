// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"

namespace gpuward {

/// `xml` without graphics and video, and without what works through SPICE or D-Bus graphics alone;
/// all of it is kept in our metadata. Throws Error when it has a password, as metadata is shown to
/// everyone, and when an mdev with display='on' needs the graphics.
std::string take_console_out(std::string_view xml);

/// `xml` as it was before take_console_out; unchanged where that took nothing out. A device whose
/// guest address has gone to another meanwhile gets a new one from libvirt, unless that other is
/// about to go, too: `freed` is where such devices are. A <video>, and a <graphics> of a type, that
/// the domain has been given since stays, and the one from before is left out with a warning.
std::string put_console_back(std::string_view xml, const std::vector<PciAddress>& freed = {});

}  // namespace gpuward
