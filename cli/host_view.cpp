// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/host_view.hpp"

#include <map>

#include "base/file.hpp"
#include "pci/pci_device.hpp"
#include "udev-rules/provision.hpp"

namespace gpuward {

static std::string driver_of(const std::string& device_path) {
  const auto driver = read_link(device_path + "/driver");
  return driver ? std::string(base_name(*driver)) : std::string();
}

std::vector<GpuView> view_gpus(const Root& root) {
  std::map<std::string, GpuView> gpus;
  for (const std::string& name : parent_names(root))
    if (auto parent = find_parent(root, name))
      gpus[name] = {std::move(*parent), true, driver_of(root.sys("class/mdev_bus/") + name)};
  for (const std::string& name : list_directory(root.sys("bus/pci/devices"))) {
    const std::string path = root.sys("bus/pci/devices/") + name;
    if (gpus.contains(name) ||
        !is_gpu_class(hex_number(read_attribute(path + "/class").value_or(""))))
      continue;
    gpus[name] = {read_identity(path, name), false, driver_of(path)};
  }
  std::vector<GpuView> views;
  for (auto& [name, view] : gpus) views.push_back(std::move(view));
  return views;
}

static std::string state_word(ClaimedDevice::State state, bool exists) {
  if (state == ClaimedDevice::State::quarantined) return "quarantined";
  return exists ? "held" : "missing";
}

std::vector<InstanceView> view_instances(const Root& root) {
  std::map<Uuid, InstanceView> views;
  ProvisionedUuids provisioned;
  for (Instance& instance : list_instances(root)) {
    const Uuid uuid = instance.uuid;
    views[uuid].instance = std::move(instance);
  }
  for (const Claim& claim : Claims(root).all())
    for (const ClaimedDevice& device : claim.devices) {
      const auto found = views.find(device.instance);
      const bool exists = found != views.end();
      // Someone removed what was claimed and made another of its UUID elsewhere.
      if (exists && found->second.instance.parent != device.parent) continue;
      InstanceView& view = views[device.instance];
      if (!exists) view.instance = {device.instance, device.parent, device.type};
      view.state = state_word(device.state, exists);
      view.device = device;
      view.domain = claim.name;
      view.domain_uuid = claim.domain;
    }
  std::vector<InstanceView> result;
  for (auto& [uuid, view] : views) {
    if (view.state.empty()) view.state = provisioned.contains(view.instance) ? "ready" : "other";
    result.push_back(std::move(view));
  }
  return result;
}

}  // namespace gpuward
