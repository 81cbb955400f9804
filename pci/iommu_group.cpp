// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/iommu_group.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

std::optional<unsigned> iommu_group_number(const Root& root, const PciAddress& address) {
  const auto target = read_link(pci_path(root, address) + "/iommu_group");
  return target ? to_number<unsigned>(base_name(*target)) : std::nullopt;
}

std::optional<IommuGroup> iommu_group_of(const Root& root, const PciAddress& address) {
  const auto number = iommu_group_number(root, address);
  if (!number) return {};
  IommuGroup group{*number, {}};
  for (const std::string& name :
       list_directory(root.sys("kernel/iommu_groups/") + std::to_string(*number) + "/devices"))
    if (const auto member = parse_pci_address(name)) group.members.push_back(*member);
  std::sort(group.members.begin(), group.members.end());
  return group;
}

/// Whether a driver of the host that is none of VFIO's has it.
static bool is_the_hosts(const Root& root, const PciAddress& member) {
  const auto device = find_pci_device(root, member);
  return device && !is_bridge_class(device->pci_class) && !device->driver.empty() &&
         device->driver != "pci-stub" && !has_vfio_driver(root, *device);
}

std::vector<PciAddress> host_bound_members(const Root& root, const IommuGroup& group,
                                           const std::vector<PciAddress>& own) {
  std::vector<PciAddress> members;
  for (const PciAddress& member : group.members)
    if (std::find(own.begin(), own.end(), member) == own.end() && is_the_hosts(root, member))
      members.push_back(member);
  return members;
}

Verdict viability(const Root& root, const IommuGroup& group, const std::vector<PciAddress>& own) {
  const auto members = host_bound_members(root, group, own);
  if (members.empty()) return Verdict::allow();
  const std::string member = to_string(members.front());
  return Verdict::deny(
      {"IOMMU group " + std::to_string(group.number) + " is not viable",
       member + " is bound to host driver " + find_pci_device(root, members.front())->driver,
       "unbind " + member + ", assign " + member +
           " to the domain as well, or move the card to another slot"});
}

}  // namespace gpuward
