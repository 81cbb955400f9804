// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/repoint.hpp"

#include <algorithm>
#include <tuple>

#include "base/error.hpp"
#include "domain/claim.hpp"
#include "domain/rewrite.hpp"
#include "domain/used_devices.hpp"
#include "pci/device_nodes.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

std::set<PciAddress> taken_devices(const Root& root, const Uuid& domain) {
  std::set<PciAddress> taken;
  std::set<PciAddress> own;
  for (const Claim& claim : Claims(root).all())
    for (const ClaimedDevice& device : claim.devices)
      if (device.use != Use::mdev) (claim.domain == domain ? own : taken).insert(device.address);
  for (const PciAddress& address : used_devices(root)) taken.insert(address);
  const DeviceHolders holders(root);
  for (const PciAddress& address : pci_addresses(root))
    if (!own.contains(address) && holder_of(root, holders, address)) taken.insert(address);
  return taken;
}

static bool is_taken(const PoolDevice& device, const DeviceUse& use) {
  return std::any_of(device.functions.begin(), device.functions.end(),
                     [&](const PciAddress& function) { return use.taken.contains(function); });
}

static bool is_near(const PoolDevice& device, const std::vector<int>& nodes) {
  return nodes.empty() || !device.numa_node ||
         std::find(nodes.begin(), nodes.end(), *device.numa_node) != nodes.end();
}

/// How many VFs of its PF are taken.
static int fill_of(const PoolDevice& device, const std::vector<PoolDevice>& pool,
                   const DeviceUse& use) {
  if (!device.physical_function) return 0;
  return static_cast<int>(std::count_if(pool.begin(), pool.end(), [&](const PoolDevice& other) {
    return other.physical_function == device.physical_function && is_taken(other, use);
  }));
}

const PoolDevice* choose_device(const Profile& profile, const std::vector<PoolDevice>& pool,
                                const DeviceUse& use, const std::vector<int>& numa_nodes) {
  const int wanted_fill = profile.placement == Placement::binpack ? -1 : 1;
  const auto cost = [&](const PoolDevice& device) {
    const auto pointed = use.pointed_at.find(device.address);
    const bool far = profile.numa != Numa::ignore && !is_near(device, numa_nodes);
    return std::tuple(far, pointed == use.pointed_at.end() ? 0u : pointed->second,
                      wanted_fill * fill_of(device, pool, use), device.address);
  };
  const PoolDevice* best = nullptr;
  for (const PoolDevice& device : pool) {
    if (is_taken(device, use)) continue;
    if (profile.numa == Numa::require && !is_near(device, numa_nodes)) continue;
    if (!best || cost(device) < cost(*best)) best = &device;
  }
  return best;
}

/// GPUs of the domain that are of a pool, with their profiles.
static std::vector<std::pair<AskedGpu, const Profile*>> pool_gpus(const Config& config,
                                                                  const Domain& domain) {
  std::vector<std::pair<AskedGpu, const Profile*>> gpus;
  for (const AskedGpu& gpu : domain.asked)
    if (const Profile* const profile = find_profile(config, gpu.profile);
        profile && gives_pci_devices(*profile))
      gpus.push_back({gpu, profile});
  return gpus;
}

static std::optional<PciAddress> pointed_device(const Domain& domain, std::string_view alias) {
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.alias == alias) return hostdev.address;
  return {};
}

std::vector<PciAddress> pointed_devices(const Config& config, const Domain& domain) {
  std::vector<PciAddress> devices;
  for (const auto& [gpu, profile] : pool_gpus(config, domain))
    if (const auto address = pointed_device(domain, gpu.alias)) devices.push_back(*address);
  return devices;
}

static const PoolDevice* find_device(const std::vector<PoolDevice>& pool,
                                     const std::optional<PciAddress>& address) {
  for (const PoolDevice& device : pool)
    if (device.address == address) return &device;
  return nullptr;
}

std::string repoint(const Root& root, const Config& config, std::string_view xml,
                    const DeviceUse& use) {
  std::string text(xml);
  const Domain domain = parse_domain(xml);
  DeviceUse now = use;
  for (const auto& [gpu, profile] : pool_gpus(config, domain)) {
    const auto pool = pool_of(root, config, *profile);
    if (pool.empty())
      throw Error("GPU " + gpu.alias + " of " + domain.name + ": profile " + profile->name +
                  " has no device on this host: " + why_empty(root, config, *profile) +
                  "; see 'gpuward list gpus'");
    const PoolDevice* device = find_device(pool, pointed_device(domain, gpu.alias));
    if (!device || is_taken(*device, now)) {
      const PoolDevice* const chosen = choose_device(*profile, pool, now, domain.numa_nodes);
      if (chosen) device = chosen;
    }
    if (!device) device = &pool.front();  // not one of the pool, and none is free
    now.taken.insert(device->functions.begin(), device->functions.end());
    text = point_gpu(text, gpu.alias, profile->use, device->functions);
  }
  return text;
}

}  // namespace gpuward
