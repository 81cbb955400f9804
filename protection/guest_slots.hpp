// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "domain/xml_document.hpp"

namespace gpuward {

// Free slots of the guest's PCI buses, and what the author of a domain's XML is to write to use
// one.

/// For how many GPUs without a guest address there is room on pci.0 of machine type pc. As long as
/// there is no pci-bridge libvirt keeps a slot for one, and puts what has no room behind it
/// (qemu_domain_address.c, qemuDomainAssignPCIAddresses).
int room_on_root(const Document& document);

/// "; write ..." and "move ...", so that pci.0 has room for this many devices more.
std::string make_room(const Document& document, int devices);

/// "; write ...", by which the hot-plug of a GPU can be switched off; "" where nothing would do.
std::string what_to_write(const Document& document);

}  // namespace gpuward
