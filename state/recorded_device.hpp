// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "pci/identity.hpp"

namespace gpuward {

/// Which PCI device a record in /var/lib/gpuward speaks of. Addresses are given out anew at each
/// boot and move when a card is added, so that it also names the card; of a VF, its PF and number.
struct RecordedDevice {
  PciAddress address;              ///< when it was recorded
  std::optional<PciAddress> card;  ///< its PF, of a VF
  std::optional<unsigned> number;  ///< of a VF, from 0
  Identity identity;               ///< of the card
  bool operator==(const RecordedDevice&) const = default;
};

/// What there is at `address`, read with the card awake: a card in D3 is resumed by the read of its
/// `config`, for which the kernel sets no deadline (pci_config_pm_runtime_get, drivers/pci/pci.c),
/// so that a card that does not resume blocks the caller. Without it, a card that vfio-pci has,
/// which suspends what no process has open, would be recorded without its serial number. `card`:
/// its PF, for a VF that is not enabled.
RecordedDevice record_device(const Root& root, const PciAddress& address,
                             const std::optional<PciAddress>& card = {});

enum class SameDevice { yes, no, unknown };

/// Whether two readings are of one card. By UUID and serial number where both have them, otherwise
/// by slot and subsystem, of which another card may come to have the same. Pure.
SameDevice is_same_card(const Identity& one, const Identity& other);

/// Whether the card can be told from another of its model, wherever it is.
bool is_distinguished(const RecordedDevice& device);

struct Place {
  PciAddress address;
  std::optional<PciAddress> card;  ///< its PF, of a VF
};

/// Where it is now: at another address than recorded when its card is there, nowhere when another
/// card has its address, and at the recorded one as long as nothing speaks against that. Wakes no
/// card.
std::vector<Place> places_now(const Root& root, const RecordedDevice& recorded);

/// Whether it is the device `found`, by the recorded address where that cannot be read.
bool is_recorded(const RecordedDevice& recorded, const RecordedDevice& found);

/// "device ADDRESS", "card ADDRESS", "vf NUMBER", "serial TEXT", "uuid UUID", "subsystem IDS",
/// "slot TEXT": a line each.
std::string format_recorded(const RecordedDevice& device);
/// Takes one such line; false for any other.
bool parse_recorded_line(std::string_view line, RecordedDevice& device);

}  // namespace gpuward
