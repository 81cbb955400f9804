// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/choose_device.hpp"

#include <algorithm>
#include <tuple>

namespace gpuward {

std::optional<User> find_user(const PoolDevice& device, const DevicesInUse& taken) {
  for (const PciAddress& function : device.functions)
    if (const auto found = taken.find(function); found != taken.end()) return found->second;
  return user_of_card(taken, device.physical_function);
}

bool has_others_vgpu(const PoolDevice& device) {
  return device.has_vgpu && !device.adopt;
}

bool is_viable(const PoolDevice& device, const std::vector<PciAddress>& own) {
  return std::all_of(device.host_bound_members.begin(), device.host_bound_members.end(),
                     [&](const PciAddress& member) {
                       return std::find(own.begin(), own.end(), member) != own.end();
                     });
}

static bool is_near(const Profile& profile, const PoolDevice& device, const DomainPlace& domain) {
  return is_near(profile.numa, domain, {device.numa_node, device.local_cpus});
}

bool is_near_enough(const Profile& profile, const PoolDevice& device, const DomainPlace& domain) {
  return profile.numa != Numa::require || is_near(profile, device, domain);
}

/// How many VFs of its PF are taken.
static int fill_of(const PoolDevice& device, const std::vector<PoolDevice>& pool,
                   const DevicesInUse& taken) {
  if (!device.physical_function) return 0;
  return static_cast<int>(std::count_if(pool.begin(), pool.end(), [&](const PoolDevice& other) {
    return other.physical_function == device.physical_function && find_user(other, taken);
  }));
}

const PoolDevice* choose_device(const Profile& profile, const std::vector<PoolDevice>& pool,
                                const DeviceUse& use, const DomainPlace& domain) {
  const int wanted_fill = profile.placement == Placement::binpack ? -1 : 1;
  const auto cost = [&](const PoolDevice& device) {
    const auto pointed = use.assigned_count.find(device.address);
    const bool far = profile.numa != Numa::ignore && !is_near(profile, device, domain);
    return std::tuple(device.is_full, device.has_vgpu, far,
                      pointed == use.assigned_count.end() ? 0u : pointed->second,
                      wanted_fill * fill_of(device, pool, use.taken), device.address);
  };
  const PoolDevice* best = nullptr;
  for (const PoolDevice& device : pool) {
    if (find_user(device, use.taken) || has_others_vgpu(device)) continue;
    if (!is_viable(device, use.own)) continue;
    if (!is_near_enough(profile, device, domain)) continue;
    if (!best || cost(device) < cost(*best)) best = &device;
  }
  return best;
}

}  // namespace gpuward
