// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <vector>

#include "allocation/quota.hpp"
#include "inventory/usage.hpp"
#include "lifecycle/preparation.hpp"

namespace gpuward {

// What must hold of a domain's devices before they are claimed, and while no other domain can claim
// any. Each throws Error, or InUse where a domain that stops helps.

/// Whether its quota has room for its GPUs beside those of `claims`; for their memory too where
/// that is counted.
void require_quota(const Preparation& preparation, const std::vector<Claim>& claims,
                   const std::optional<MemoryCount>& memory = {});

/// Whether the domain may have what is where it is: PCI devices, and instances that exist.
void require_available(const Preparation& preparation, const MdevPlacing& placing,
                       const ClaimedDevices& claimed);

/// Whether the type of each mdev may have unified memory where its profile sets that. It is known
/// once they are placed; that of a vGPU on a VF when it is created.
void require_unified_memory_of_types(const Preparation& preparation);

/// What each device has of its card's memory, where that is requested or limited. It is known once
/// the devices are placed.
void require_all_memory(Preparation& preparation, const std::vector<Claim>& claims);

/// Whether each device that was promised a share of the compute units is still guaranteed it. Asks
/// NVIDIA's library where the driver's scheduler decides that: without the lock of the host.
void require_shares(const Preparation& preparation);

/// Of all others, for later requests: without the lock of the host, as nothing waits for it.
void note_other_memory(Preparation& preparation);

}  // namespace gpuward
