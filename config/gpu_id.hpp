// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"

namespace gpuward {

/// One mark of a card. What cannot be read is unknown, which is not absent.
struct GpuFact {
  std::vector<std::string> values{};  ///< lower case; a card may have several serial numbers
  std::string unknown = "is unread";  ///< why there may be others; "" when these are all
  bool is_shared = false;             ///< that is so because another card of the host has the same
};

/// The marks by which a selector can name a card, whatever its address is; of a VF, those of its
/// card. Read only where the configuration has such a selector (pci/card_facts.hpp).
struct CardFacts {
  GpuFact serial{};
  GpuFact uuid{};         ///< without "GPU-"
  GpuFact slot{};         ///< as the firmware names it
  GpuFact subsystem{};    ///< "10de:145a"
  GpuFact iommu_group{};  ///< decimal
};

/// A GPU, or a VF of one, as selectors of the configuration see it.
struct GpuId {
  std::string name{};                   ///< of an mdev parent, or the address
  std::optional<PciAddress> address{};  ///< nothing when it is no PCI device
  uint16_t vendor = 0;                  ///< 0 when it is no PCI device
  uint16_t device = 0;
  std::optional<PciAddress> physical_function{};  ///< the card, of a VF
  uint16_t card_vendor = 0;                       ///< of that card
  uint16_t card_device = 0;
  CardFacts card{};
};

}  // namespace gpuward
