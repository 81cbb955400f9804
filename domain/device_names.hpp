// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "domain/xml_document.hpp"

namespace gpuward {

// <qemu:commandline> and <qemu:override> refer to a device by the name that it has in QEMU: its own
// alias (ua-...), or what libvirt makes of its kind and of its number among the others of the kind
// (qemu_alias.c): hostdev0, channel1, pci.5. An edit that adds or removes a device or an alias
// changes what such a name refers to.

/// What refers to the device of this name, as a message can show it; "" when nothing does.
std::string reference_to(const Document& document, const std::string& name);

/// Throws Error when something that refers to a device in `after` means another device, or none,
/// than the same name does in `before`. Both are XML of one domain, without a libvirt in between.
void require_same_devices(std::string_view before, std::string_view after);

}  // namespace gpuward
