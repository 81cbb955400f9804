// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "domain/domain.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

// What <qemu:commandline> and <qemu:override> say beside libvirt. Both are read only where they
// are.

/// All host devices that QEMU is given past libvirt. An argument of which it is not clear whether
/// it names one counts.
std::vector<CommandLineDevice> command_line_devices(const Document& document);

/// The line of the first `-readconfig`, whose file nobody reads; 0 where there is none.
int readconfig_line(const Document& document);

/// The first place that means a device by an alias that libvirt makes of this kind's name and a
/// number ("hostdev0"): `-set device.hostdev0.x=y`, or an alias of <qemu:override>; "" when none.
std::string alias_reference(const Document& document, std::string_view kind);

}  // namespace gpuward
