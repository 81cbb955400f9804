// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "pci/identity.hpp"

namespace gpuward {

/// Which PCI device a record in /var/lib/gpuward speaks of. Addresses are assigned again at each
/// boot and move when a card is added, so that it also names the card; of a VF, its PF and number.
struct RecordedDevice {
  PciAddress address;              ///< when it was recorded
  std::optional<PciAddress> card;  ///< its PF, of a VF
  std::optional<unsigned> number;  ///< of a VF, from 0
  Identity identity;               ///< of the card
  bool operator==(const RecordedDevice&) const = default;
};

/// What there is at `address`. A card in D3cold is resumed for it: otherwise a card that vfio-pci
/// has, which suspends what no process has open, would be recorded without its serial number. Of
/// one that does not resume in time the number stays unknown. `card`: its PF, for a VF that is not
/// enabled.
RecordedDevice record_device(const Root& root, const PciAddress& address,
                             const std::optional<PciAddress>& card = {});

enum class SameDevice { yes, no, unknown };

/// Whether two readings are of one card. By UUID and serial number where both have them, otherwise
/// by slot and subsystem, of which another card may come to have the same. Pure.
SameDevice is_same_card(const Identity& one, const Identity& other);

/// A UUID or a serial number.
bool has_own_number(const Identity& identity);

/// Whether the card can be told from all others of this host, wherever it is: by a UUID or serial
/// number that no other one has. Resumes cards that may have the same.
bool is_distinguished(const Root& root, const RecordedDevice& device);

struct Place {
  PciAddress address;
  std::optional<PciAddress> card;  ///< its PF, of a VF
};

/// Where it is now: at another address than recorded when its card is there, nowhere when another
/// card has its address, and at the recorded one as long as nothing speaks against that. Among
/// cards with the same serial number it goes by slot, then by address; where neither is one of
/// them, it may be any of them. The card at its address is resumed where only its number tells
/// whether it is that card; others where it is not, or another card has its number. `found`: what
/// the caller has read of a device.
std::vector<Place> places_now(const Root& root, const RecordedDevice& recorded,
                              const RecordedDevice* found = nullptr);

/// "device ADDRESS", "card ADDRESS", "vf NUMBER", "serial TEXT", "uuid UUID", "subsystem IDS",
/// "slot TEXT": a line each.
std::string format_recorded(const RecordedDevice& device);
/// Takes one such line; false for any other.
bool parse_recorded_line(std::string_view line, RecordedDevice& device);

}  // namespace gpuward
