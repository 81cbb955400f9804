// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

/// What xe has set for one function of a card, the card itself or a VF
/// (Documentation/ABI/testing/sysfs-driver-intel-xe-sriov). Nothing where the driver does not
/// report it, or it cannot be read: xe answers EUCLEAN where its tiles differ.
struct VfProfile {
  PciAddress address{};
  std::optional<uint64_t> vram_quota{};  ///< bytes; of a VF
  std::optional<unsigned> exec_quantum_ms{};
  std::optional<unsigned> preempt_timeout_us{};
  std::string sched_priority{};  ///< "low", "normal", "high"; "" unknown
};

/// The card's own, then those of the VFs that it has, which xe numbers from 1.
std::vector<VfProfile> vf_profiles(const Root& root, const PciAddress& pf);

}  // namespace gpuward
