// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

/// Why a device cannot be given to a domain.
struct Taker {
  std::optional<Uuid> domain;  ///< that has claimed it; its own devices are free for it
  std::string what;            ///< as in a sentence about the device: "web01 has it"
  bool is_process = false;     ///< no domain: it may let go without a word
};
using TakenDevices = std::map<PciAddress, Taker>;

/// What domains have, by their claims, and what was given once already. What is in quarantine is no
/// more its last owner's than another's.
struct ClaimedDevices {
  TakenDevices taken;
  std::set<Uuid> on;  ///< domains that start or run: their definition is left alone
};
ClaimedDevices claimed_devices(const Root& root);

/// Adds those of `devices` that a process has open: of a domain that nobody claimed, or of the
/// host. It walks over all of /proc.
void add_open_devices(const Root& root, const std::vector<PciAddress>& devices,
                      TakenDevices& taken);

/// All that this host holds, but for what `domain` itself has claimed.
TakenDevices taken_devices(const Root& root, const Uuid& domain);

/// Without what `domain` itself has claimed.
TakenDevices taken_by_others(const TakenDevices& taken, const Uuid& domain);

}  // namespace gpuward
