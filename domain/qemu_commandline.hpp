// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "domain/document.hpp"

namespace gpuward {

// What <qemu:commandline> and <qemu:override> say beside libvirt. Both are read only where they
// are.

/// A host device that QEMU is given past libvirt: 'vfio-pci,host=0000:01:00.0' of -device, of
/// `-set device.X.host=`, of <qemu:override>.
struct CommandLineDevice {
  std::string text;  ///< as it is in the XML
  int line = 0;
};

/// All of them. An argument of which it is not clear whether it names one counts.
std::vector<CommandLineDevice> command_line_devices(const Document& document);

/// The line of the first `-readconfig`, whose file nobody reads; 0 where there is none.
int readconfig_line(const Document& document);

/// The first place that means a device by an alias that libvirt makes of this kind's name and a
/// number ("hostdev0"): `-set device.hostdev0.x=y`, or an alias of <qemu:override>; "" when none.
std::string alias_reference(const Document& document, std::string_view kind);

}  // namespace gpuward
