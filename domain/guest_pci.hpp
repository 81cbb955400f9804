// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

// The PCI buses of the guest, as the XML has them and as libvirt is going to fill them in: which
// buses, slots and controller indices are in use, and the next free ones. Bus N of the guest is the
// one below the PCI controller with index N.

/// The index of a PCI controller; nothing for other devices and where libvirt has yet to number it.
std::optional<unsigned> pci_controller_index(const Element& device);

/// The controller of this bus among the children of <devices>, or null.
const Element* pci_controller_of(const std::vector<Element>& devices, unsigned bus);

/// The first index that no PCI controller of the XML has or will get from libvirt, which numbers
/// without gaps and adds the controllers of all buses that devices are on. At least 1: bus 0 is the
/// machine's own.
unsigned next_pci_controller(const std::vector<Element>& devices);

/// The guest address of a device where it is one of PCI that names its place: <address type='pci'/>
/// leaves the place to libvirt.
std::optional<PciAddress> guest_address_of(const Element& device);

bool is_guest_slot_used(const std::vector<Element>& devices, unsigned bus, unsigned slot);

/// Whether the machine's bus 0 is PCI Express, so that devices are on root ports (q35, virt).
bool has_pcie_root(const Document& document);

/// The machine type when it has no PCI bus; "" for all others, those that are unknown included:
/// libvirt knows better whether it can place a PCI device.
std::string_view machine_without_pci(const Document& document);

/// The guest addresses of root ports that are alone in their slot as function 0 and say nothing of
/// multifunction. libvirt puts the next root port into such a slot as another function, and
/// multifunction='on' into the one that was there (VIR_PCI_CONNECT_AGGREGATE_SLOT,
/// virDomainPCIAddressSetAllMulti). One with multifunction='off' is never changed.
std::vector<PciAddress> single_ports(const std::vector<Element>& devices);

/// The <address> of the root port at this guest address, when it has multifunction='on' and no
/// device but those in `going` has another function of the slot; else null.
const Element* needless_multifunction(const std::vector<Element>& devices, const PciAddress& port,
                                      const std::vector<const Element*>& going);

/// Adds the PCI controllers that came after attach and are of no use without the devices in
/// `removal`. From the last one down: libvirt would fill a gap between two. Those that are not
/// under these devices only as far as there are more than before: it may be that libvirt has given
/// the numbers otherwise than attach expected.
void add_controllers_to(std::vector<const Element*>& removal, const Element& devices,
                        unsigned before_attach);

/// The highest free slot of a conventional PCI bus, 0 or that of a pci-bridge; libvirt fills a bus
/// from below. Nothing when all are in use.
std::optional<PciAddress> free_pci_slot(const std::vector<Element>& devices);

}  // namespace gpuward
