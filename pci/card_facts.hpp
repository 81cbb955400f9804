// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "config/gpu_id.hpp"
#include "mdev/parent.hpp"
#include "pci/identity.hpp"
#include "pci/nvml.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

/// What was read of the cards of a host: its VFs and mdev parents share it. Of one moment and one
/// configuration, so that it is made for a command, or a step of one.
struct KnownCards {
  std::map<PciAddress, CardFacts> facts{};
  std::map<PciAddress, bool> are_gpus{};          ///< by their class
  std::map<PciAddress, GpuFact> serials{};        ///< as the card itself has them
  std::optional<std::vector<PciAddress>> gpus{};  ///< all that have serial numbers
  std::shared_ptr<AskedCards> asked = std::make_shared<AskedCards>();
};

/// Reads of the card what selectors of the configuration go by, once for all its parts; without
/// such a selector no file is opened. A serial number that two cards of the host have is unknown
/// for both. Only a display device, an accelerator, a parent of mdevs and what a section declares a
/// GPU has any; companions have none.
void read_card_facts(const Root& root, const Config& config, GpuId& gpu, KnownCards& cards);

/// A function beside a GPU in its slot goes where it goes, and is no GPU of its own: PCIe gives all
/// functions of a card one serial number.
bool is_companion(const Root& root, const PciAddress& address, KnownCards& cards);

/// What is known of a card's serial numbers. `is_root`: PCIe's number is read by root alone.
GpuFact serial_fact(const Identity& identity, bool is_root);
/// Of a card of this vendor: NVIDIA's driver alone knows its UUID, once it has started the card.
GpuFact uuid_fact(const Identity& identity, uint16_t vendor);

/// A PCI function as selectors see it, with the facts that they need.
Parent read_identity(const Root& root, const Config& config, const PciAddress& address,
                     KnownCards& cards);
/// The same of one that has been read: nothing is read twice.
Parent read_identity(const Root& root, const Config& config, const PciDevice& device,
                     KnownCards& cards);
/// Likewise a parent of mdevs; nothing when there is no such parent (any more).
std::optional<Parent> find_parent(const Root& root, const Config& config, const std::string& name,
                                  KnownCards& cards);

// The same of one alone.
void read_card_facts(const Root& root, const Config& config, GpuId& gpu);
Parent read_identity(const Root& root, const Config& config, const PciAddress& address);
std::optional<Parent> find_parent(const Root& root, const Config& config, const std::string& name);

}  // namespace gpuward
