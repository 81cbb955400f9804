// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "config/gpu_id.hpp"
#include "mdev/parent.hpp"
#include "pci/identity.hpp"

namespace gpuward {

/// Reads of the card what selectors of the configuration go by; without such a selector no file is
/// opened. A serial number that two cards of the host have is unknown for both. Only a display
/// device, an accelerator, a parent of mdevs and what a section declares a GPU has any; companions
/// have none.
void read_card_facts(const Root& root, const Config& config, GpuId& gpu);

/// What is known of a card's serial numbers. `is_root`: PCIe's number is read by root alone.
GpuFact serial_fact(const Identity& identity, bool is_root);
/// Of a card of this vendor: NVIDIA's driver alone knows its UUID.
GpuFact uuid_fact(const Identity& identity, uint16_t vendor);

/// A PCI function as selectors see it, with the facts that they need.
Parent read_identity(const Root& root, const Config& config, const PciAddress& address);
/// Likewise a parent of mdevs; nothing when there is no such parent (any more).
std::optional<Parent> find_parent(const Root& root, const Config& config, const std::string& name);

}  // namespace gpuward
