// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "pci/vf_profile.hpp"

namespace gpuward {

// What xe has given the VFs of a card that are enabled (sriov_admin, Linux 6.19; the memory 7.0).
// Other drivers tell nothing of it.

/// Memory of the VF in MiB, rounded down; nothing where it is not known. Of one that is not enabled
/// the driver may have none yet.
std::optional<unsigned> vf_memory(const Root& root, const PciAddress& pf, const PciAddress& vf);

/// How the VFs of a card and its PF take turns.
struct VfTurns {
  struct Turn {
    PciAddress vf{};
    unsigned quantum_ms = 0;
  };
  std::vector<Turn> turns{};  ///< of each enabled VF
  unsigned round_ms = 0;      ///< of all and the PF
  std::string unknown{};      ///< why nothing is guaranteed; "" where the rest is known
};

/// One without a quantum runs until it has nothing to do, and a PF of priority high before all
/// others: nobody's share is guaranteed then.
VfTurns turns_of(const std::vector<VfProfile>& profiles);

/// Its share of the round in percent, rounded down; nothing where none is guaranteed.
std::optional<unsigned> vf_share(const VfTurns& turns, const PciAddress& vf);

}  // namespace gpuward
