// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/offered_types.hpp"

#include <set>
#include <tuple>

#include "mdev/parent.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"

namespace gpuward {

namespace {

struct Before {
  bool operator()(const OfferedType& one, const OfferedType& other) const {
    return std::tie(one.use, one.id, one.name) < std::tie(other.use, other.id, other.name);
  }
};
using Types = std::set<OfferedType, Before>;

}  // namespace

std::vector<OfferedType> offered_types(const Root& root) {
  Types types;
  for (const std::string& parent : parent_names(root))
    for (const MdevType& type : list_types(root, parent))
      types.insert({type.id, type.name, Use::mdev});
  for (const PciAddress& address : pci_addresses(root)) {
    if (!offers_vgpus(root, address)) continue;
    for (const VgpuType& type : creatable_vgpus(root, address))
      types.insert({std::to_string(type.id), type.name, Use::vendor_vf});
  }
  return {types.begin(), types.end()};
}

}  // namespace gpuward
