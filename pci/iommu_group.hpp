// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/verdict.hpp"

namespace gpuward {

/// What the IOMMU cannot tell apart, and VFIO therefore gives to one owner only.
struct IommuGroup {
  unsigned number = 0;
  std::vector<PciAddress> members;  ///< sorted
};

/// Nothing when there is no IOMMU, or no such device.
std::optional<IommuGroup> iommu_group_of(const Root& root, const PciAddress& address);

/// Its number alone.
std::optional<unsigned> iommu_group_number(const Root& root, const PciAddress& address);

/// The members that keep VFIO from opening the group for one who is given `own`.
std::vector<PciAddress> host_bound_members(const Root& root, const IommuGroup& group,
                                           const std::vector<PciAddress>& own);

/// Whether VFIO will open the group for one who is given `own`: all other members but bridges must
/// be without a driver or on one of VFIO's (Documentation/driver-api/vfio.rst). The reason names
/// the member.
Verdict viability(const Root& root, const IommuGroup& group, const std::vector<PciAddress>& own);

}  // namespace gpuward
