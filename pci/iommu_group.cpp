// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/iommu_group.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

std::optional<IommuGroup> iommu_group_of(const Root& root, const PciAddress& address) {
  const std::string link = pci_path(root, address) + "/iommu_group";
  const auto target = read_link(link);
  const auto number = target ? to_number<unsigned>(base_name(*target)) : std::nullopt;
  if (!number) return {};
  IommuGroup group{*number, {}};
  for (const std::string& name :
       list_directory(root.sys("kernel/iommu_groups/") + std::to_string(*number) + "/devices"))
    if (const auto member = parse_pci_address(name)) group.members.push_back(*member);
  std::sort(group.members.begin(), group.members.end());
  return group;
}

Verdict viability(const Root& root, const IommuGroup& group, const std::vector<PciAddress>& own) {
  for (const PciAddress& member : group.members) {
    if (std::find(own.begin(), own.end(), member) != own.end()) continue;
    const auto device = find_pci_device(root, member);
    if (!device || is_bridge_class(device->pci_class) || device->driver.empty()) continue;
    if (device->driver == "vfio-pci" || device->driver == "pci-stub" ||
        is_vfio_device(root, member))
      continue;
    return Verdict::deny("IOMMU group " + std::to_string(group.number) + " is shared with " +
                         to_string(member) + ", which driver " + device->driver +
                         " of the host uses");
  }
  return Verdict::allow();
}

}  // namespace gpuward
