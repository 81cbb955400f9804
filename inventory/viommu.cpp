// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/viommu.hpp"

#include <map>

#include "pci/iommu_group.hpp"

namespace gpuward {

std::string viommu_conflict(const Root& root, const Document& document, const Domain& domain) {
  const Element* const devices = document.root.child("devices");
  const Element* const iommu = devices ? devices->child("iommu") : nullptr;
  if (!iommu) return {};
  std::map<unsigned, PciAddress> first_of_group;
  for (const Hostdev& hostdev : domain.hostdevs) {
    const auto group =
        hostdev.address ? iommu_group_of(root, *hostdev.address) : std::optional<IommuGroup>();
    if (!group) continue;
    const auto [first, is_new] = first_of_group.insert({group->number, *hostdev.address});
    if (is_new) continue;
    return "domain XML line " + std::to_string(iommu->line) +
           " (<iommu>): " + to_string(first->second) + " and " + to_string(*hostdev.address) +
           " are in one IOMMU group of the host, which QEMU rejects (\"group " +
           std::to_string(group->number) +
           " used in multiple address spaces\"); remove <iommu> with 'virsh edit', or attach a "
           "GPU of one function";
  }
  return {};
}

}  // namespace gpuward
