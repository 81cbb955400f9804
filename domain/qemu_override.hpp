// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "domain/domain.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

inline constexpr std::string_view qemu_namespace = "http://libvirt.org/schemas/domain/qemu/1.0";

/// What <qemu:override> says of vfio-pci's enable-migration for the device of that alias; null when
/// it says nothing. (libvirt 8.2 and later; docs/drvqemu.rst) Of several the first that does not
/// switch it off: in libvirt the last one wins, so all have to be off.
const Element* migration_property(const Document& document, std::string_view alias);

/// The same of one <qemu:device>.
const Element* migration_property_of(const Element& device);

/// Where <qemu:override> sets a property of the device of that alias to anything but false; null
/// where it does not.
const Element* property_not_off(const Document& document, std::string_view alias,
                                std::string_view name);

/// Whether this property enable-migration switches migration off. The type must be string: for QEMU
/// it is an enum.
bool is_off(const Element& migration_property);

/// The alias that libvirt will give to a hostdev that has none of its own, by its place among the
/// others (qemuAssignDeviceHostdevAlias); its own where it has one.
std::string alias_when_running(const Document& document, const Hostdev& hostdev);

}  // namespace gpuward
