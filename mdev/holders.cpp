// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/holders.hpp"

#include "base/file.hpp"
#include "base/text.hpp"
#include "mdev/instance.hpp"

namespace gpuward {

std::string to_string(const Holder& holder) {
  return "pid " + std::to_string(holder.pid) + " (" + holder.command + ")";
}

VfioHolders::VfioHolders(const Root& root) {
  for (const std::string& name : list_directory(root.proc(""))) {
    const auto pid = to_number<pid_t>(name);
    if (!pid) continue;
    const std::string process = root.proc(name);
    for (const std::string& fd : list_directory(process + "/fd")) {
      const auto target = read_link(process + "/fd/" + fd);
      // /dev/vfio/vfio is the container, which belongs to no device
      if (!target || !target->starts_with("/dev/vfio/") || *target == "/dev/vfio/vfio") continue;
      by_node_.emplace(*target, Holder{*pid, read_attribute(process + "/comm").value_or("?")});
    }
  }
}

/// The nodes through which an instance can be open: its group's, and its own with iommufd.
static std::vector<std::string> vfio_nodes(const Root& root, const Uuid& instance) {
  std::vector<std::string> nodes;
  const auto device = instance_directory(root, instance);
  if (!device) return nodes;
  if (const auto group = read_link(*device + "/iommu_group"))
    nodes.push_back("/dev/vfio/" + std::string(base_name(*group)));
  for (const std::string& name : list_directory(*device + "/vfio-dev"))
    nodes.push_back("/dev/vfio/devices/" + name);
  return nodes;
}

std::optional<Holder> VfioHolders::of_instance(const Root& root, const Uuid& instance) const {
  for (const std::string& node : vfio_nodes(root, instance))
    if (const auto found = by_node_.find(node); found != by_node_.end()) return found->second;
  return {};
}

}  // namespace gpuward
