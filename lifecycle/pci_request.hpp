// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "allocation/request.hpp"
#include "base/error.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "kinds/deadlines.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// One GPU that a domain requests and that is a PCI device, and what decides about it.
struct PciRequest {
  const Root& root;
  const Config& config;
  const Domain& domain;
  const ResolvedRequest& gpu;
};

/// The devices that the domain's XML names for this GPU, as a claim holds them: one of the pool of
/// its profile, with all companions. Throws Error when it names another.
std::vector<ClaimedDevice> pci_devices_asked(const PciRequest& request);

/// Whether no domain had it for its single use. Throws Error that names who.
void require_not_used(const Root& root, const ClaimedDevice& device, const ClaimedDevices& claimed);

/// Checks what the kernel says of a device that is asked for and there: given once already, in
/// use by the host, by another process, in a group with others. Throws Error that names who.
void require_unused(const PciRequest& request, const ClaimedDevice& device,
                    const ClaimedDevices& claimed, const Deadlines& deadlines);

/// Whether nobody else has claimed it, a part of it or a device of its IOMMU group. Throws Error
/// with the name of who has and, when no other of the pool is free, of who has those.
void require_unclaimed(const PciRequest& request, const ClaimedDevice& device,
                       const ClaimedDevices& claimed);

/// The same for the device that the domain's XML names for this GPU, whether or not it is of the
/// profile's pool: who has it is worth more than why it is not.
void require_source_unclaimed(const PciRequest& request, const ClaimedDevices& claimed);

}  // namespace gpuward
