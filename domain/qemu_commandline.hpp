// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
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

/// The line of the first `-readconfig`, whose file is not read; 0 where there is none.
int readconfig_line(const Document& document);

/// The first <qemu:arg> that names this property of a device and does not set it to off; null where
/// there is none.
const Element* argument_not_off(const Document& document, std::string_view property,
                                const std::function<bool(std::string_view alias)>& matches);

/// Whether a value of an argument, or an alias, refers to what is looked for.
using RefersTo = std::function<bool(std::string_view)>;

/// The first place that does, as a message can name it: "-set device.hostdev0.x=y",
/// "<qemu:device alias='hostdev0'>"; "" when none.
std::string find_reference(const Document& document, const RefersTo& refers_to);

/// The first place that means a device by an alias that libvirt makes of this kind's name and a
/// number ("hostdev0"): `-set device.hostdev0.x=y`, or an alias of <qemu:override>; "" when none.
std::string alias_reference(const Document& document, std::string_view kind);

}  // namespace gpuward
