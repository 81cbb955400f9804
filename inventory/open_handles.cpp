// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/open_handles.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <thread>

#include "base/file.hpp"
#include "base/text.hpp"
#include "mdev/instance.hpp"

namespace gpuward {

std::string to_string(const Holder& holder) {
  return "pid " + std::to_string(holder.pid) + " (" + holder.command + ")";
}

/// Nodes of VFIO, DRM, NVIDIA's driver and framebuffers. /dev/vfio/vfio is the container, which
/// belongs to no device.
static bool is_gpu_node(std::string_view node) {
  static constexpr std::string_view starts[] = {"/dev/vfio/", "/dev/dri/", "/dev/nvidia",
                                                "/dev/fb"};
  return node != "/dev/vfio/vfio" &&
         std::any_of(std::begin(starts), std::end(starts),
                     [&](std::string_view start) { return node.starts_with(start); });
}

/// Whether the descriptor only names the node (O_PATH) and keeps no device: udev has one for a
/// moment while it sets the owner of a new node. The flags are octal (proc_pid_fdinfo(5)).
static bool only_names_it(const std::string& process, const std::string& fd) {
  const auto info = read_attribute(process + "/fdinfo/" + fd);
  if (!info) return false;
  for (const std::string_view line : split(*info, '\n')) {
    if (!line.starts_with("flags:")) continue;
    const std::string_view digits = trim(line.substr(line.find(':') + 1));
    unsigned flags = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), flags, 8);
    return flags & O_PATH;
  }
  return false;
}

DeviceHolders::DeviceHolders(const Root& root) {
  for (const std::string& name : list_directory(root.proc(""))) {
    const auto pid = to_number<pid_t>(name);
    if (!pid) continue;
    const std::string process = root.proc(name);
    for (const std::string& fd : list_directory(process + "/fd")) {
      const auto target = read_link(process + "/fd/" + fd);
      if (target && is_gpu_node(*target) && !only_names_it(process, fd))
        by_node_.emplace(*target,
                         Holder{*pid, read_optional_attribute(process + "/comm").value_or("?")});
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

std::optional<Holder> DeviceHolders::of_node(const std::string& node) const {
  const auto found = by_node_.find(node);
  return found == by_node_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Holder> DeviceHolders::of_instance(const Root& root, const Uuid& instance) const {
  for (const std::string& node : vfio_nodes(root, instance))
    if (auto holder = of_node(node)) return holder;
  return {};
}

std::optional<Holder> holder_after(std::chrono::milliseconds deadline,
                                   const std::function<std::optional<Holder>()>& find) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  for (;;) {
    auto holder = find();
    if (!holder || std::chrono::steady_clock::now() >= end) return holder;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace gpuward
