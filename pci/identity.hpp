// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/verdict.hpp"
#include "config/config.hpp"
#include "mdev/parent.hpp"

namespace gpuward {

/// What tells one card from another of the same model, whatever its address is. Which of it can be
/// read depends on the driver that has the card, and the serial number of PCIe on being root.
struct Identity {
  /// amdgpu's serial_number and unique_id, and PCIe's own as lspci(8) writes it,
  /// "48-b0-2d-ff-ff-12-34-56".
  std::vector<std::string> serials;
  std::optional<std::string> uuid;       ///< lower case, without "GPU-"; of NVIDIA's driver
  std::optional<std::string> subsystem;  ///< "10de:1234"
  std::optional<std::string> slot;       ///< as the firmware names it
  bool unread = false;  ///< PCIe's serial number is unknown: the card sleeps or does not answer
  /// An AMD card's is unknown: only amdgpu reports it, and another driver or none is bound.
  bool lacks_driver_serial = false;
  /// NVIDIA's driver is bound and does not know the UUID: it has not started the card.
  bool is_unstarted = false;
  bool operator==(const Identity&) const = default;
};

/// Whether a card in D3cold, of which PCIe's serial number cannot be read, is resumed for it.
enum class Sleepers { leave, wake };

/// What of an identity is read.
struct IdentityParts {
  bool serial = false, uuid = false, subsystem = false, slot = false;
};
inline constexpr IdentityParts whole_identity{true, true, true, true};

/// A card that is not in D0 is read in a throw-away child, as reading may block without a timeout;
/// what is not read within 3 s is unknown.
Identity find_identity(const Root& root, const PciAddress& address,
                       Sleepers sleepers = Sleepers::leave,
                       const IdentityParts& parts = whole_identity);

/// PCIe's own serial number alone, 0 when the card has none; nothing when it is not read.
std::optional<uint64_t> pcie_serial_number(const Root& root, const PciAddress& address,
                                           Sleepers sleepers = Sleepers::leave);
/// As lspci(8) writes it: "48-b0-2d-ff-ff-12-34-56".
std::string serial_text(uint64_t serial);

/// "serial:0324, subsystem:10de:1234" as `expect` takes it; "" when nothing could be read.
std::string to_string(const Identity& identity);

/// Whether what sits there is what the section expects. What it expects and cannot be read is not
/// there.
Verdict identity_verdict(const GpuSection& section, const Identity& found);

/// The same for all sections that speak of this device, which must be known (GpuSettings::unclear);
/// its identity is read only when one expects something.
Verdict check_identity(const Root& root, const Config& config, const Parent& device);

}  // namespace gpuward
