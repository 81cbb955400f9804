// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "pci/nvml.hpp"
#include "pci/vgpu_scheduler.hpp"
#include "state/claim.hpp"

namespace gpuward {

struct SchedulerAnswer {
  std::optional<VgpuScheduler> scheduler{};
  std::string problem{};  ///< why there was no answer; "" where the driver reports none
};

/// Which scheduler the vGPUs of the card have. `asked`: one question a card.
SchedulerAnswer read_scheduler(const Root& root, const PciAddress& card, AskedCards& asked);

/// Whether a claimed device is guaranteed the share of the compute units that it was promised, as
/// far as the driver's scheduler, or what it has given the VFs, decides that: it may be another
/// now.
struct PromisedShare {
  std::string refusal{};    ///< why it is not; "" when it is
  bool is_unknown = false;  ///< whether that is unknown
};

/// Nothing where no share was promised, or one that no scheduler changes: of a GPU instance of MIG,
/// which is not checked, or of a type that takes all memory of its card.
std::optional<PromisedShare> promised_share(const Root& root, const ClaimedDevice& device,
                                            const std::string& type, AskedCards& asked);

}  // namespace gpuward
