// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

// The PCI controllers of a domain's XML and the guest addresses of its devices, as the guard
// against hot-plug reads them: what libvirt is yet to choose is nothing.

/// The devices of the XML; none where it has no <devices>.
const std::vector<Element>& devices_of(const Document& document);

/// The <hostdev> that this was read from, in the same document.
const Element& element_of(const Document& document, const Hostdev& hostdev);

/// Whether it is a <controller type='pci'> of libvirt's, not of another name space.
bool is_pci_controller(const Element& device);

/// "" where it is not written.
std::string_view model_of(const Element& controller);

/// libvirt gives index 0 to the machine's own bus, which may be written without one.
std::optional<unsigned> index_of(const Element& controller);

/// The controller with this index, or null.
const Element* find_controller(const Document& document, unsigned index);

/// The guest's PCI address; nothing where libvirt is yet to choose one. All zeros mean that too.
std::optional<PciAddress> guest_address(const Element& device);

/// Whether it names a place on PCI that does not exist: libvirt refuses the XML.
bool has_invalid_address(const Element& device);

/// Whether the guest sees it on PCI. An mdev of vfio-ccw or vfio-ap is no PCI device in the guest.
bool is_on_pci(const Document& document, const Hostdev& gpu);

/// Above all indices of controllers and all buses that devices are on; at least 1.
unsigned first_free_bus(const Document& document);

/// "0x0a", as libvirt writes a bus and a slot.
std::string hexadecimal(unsigned number);

/// Of an <address type='pci'/> with function 0.
std::string place_attributes(unsigned bus, unsigned slot);

}  // namespace gpuward
