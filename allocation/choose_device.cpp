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
  return is_near(profile.numa, domain, {device.numa_node, device.local_cpus, device.local_nodes});
}

bool is_near_enough(const Profile& profile, const PoolDevice& device, const DomainPlace& domain) {
  return !requires_near(profile.numa) || is_near(profile, device, domain);
}

/// Whether nothing keeps the domain from having it.
static bool is_possible(const Profile& profile, const PoolDevice& device, const DeviceUse& use,
                        const DomainPlace& domain) {
  return !find_user(device, use.taken) && !has_others_vgpu(device) && is_viable(device, use.own) &&
         is_near_enough(profile, device, domain);
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
    if (!is_possible(profile, device, use, domain)) continue;
    if (!best || cost(device) < cost(*best)) best = &device;
  }
  return best;
}

// ---- several

/// Whether no domain can have both: they are one device, share a companion, or one is a VF of the
/// other.
static bool is_conflict(const PoolDevice& one, const PoolDevice& other) {
  const auto has = [](const PoolDevice& device, const std::optional<PciAddress>& address) {
    return address && std::find(device.functions.begin(), device.functions.end(), *address) !=
                          device.functions.end();
  };
  return has(one, other.physical_function) || has(other, one.physical_function) ||
         std::any_of(one.functions.begin(), one.functions.end(),
                     [&](const PciAddress& function) { return has(other, function); });
}

using Chosen = std::vector<const PoolDevice*>;

DeviceUse use_beside_others(const std::vector<DeviceRequest>& requests, const Chosen& chosen,
                            size_t number) {
  DeviceUse use = requests[number].use;
  for (size_t other = 0; other < requests.size(); ++other) {
    if (other == number || !chosen[other]) continue;
    for (const PciAddress& function : chosen[other]->functions) {
      use.taken[function] = {{}, "already assigned to this domain"};
      use.own.push_back(function);
    }
    const auto& left = requests[other].at;
    if (left && use.assigned_count[*left] > 0) --use.assigned_count[*left];
    ++use.assigned_count[chosen[other]->address];
  }
  return use;
}

namespace {

/// Maximum matching by augmenting paths (Kuhn): each step gives one more GPU a device, where one
/// that has it finds another.
struct Matching {
  const std::vector<DeviceRequest>& requests;
  const DomainPlace& domain;
  Chosen& chosen;
  std::vector<const PoolDevice*> tried{};

  /// Those that have a device with which this one cannot be had.
  std::vector<size_t> owners(size_t number, const PoolDevice& device) const {
    std::vector<size_t> found;
    for (size_t other = 0; other < requests.size(); ++other)
      if (other != number && chosen[other] && is_conflict(*chosen[other], device))
        found.push_back(other);
    return found;
  }
  bool is_tried(const PoolDevice& device) const {
    return std::any_of(tried.begin(), tried.end(),
                       [&](const PoolDevice* other) { return other->address == device.address; });
  }
  /// Whether it has another device then than those that were tried.
  bool find(size_t number) {
    const DeviceRequest& request = requests[number];
    for (const PoolDevice& device : request.pool) {
      if (is_tried(device) || !is_possible(request.profile, device, request.use, domain)) continue;
      tried.push_back(&device);
      const auto others = owners(number, device);
      if (others.size() > 1) continue;
      const Chosen before = chosen;
      if (!others.empty() && !find(others.front())) continue;
      if (!owners(number, device).empty()) {
        chosen = before;
        continue;
      }
      chosen[number] = &device;
      return true;
    }
    return false;
  }
};

}  // namespace

void choose_devices(const std::vector<DeviceRequest>& requests, const DomainPlace& domain,
                    std::vector<const PoolDevice*>& chosen) {
  chosen.resize(requests.size());
  for (size_t number = 0; number < requests.size(); ++number)
    if (!chosen[number])
      chosen[number] = choose_device(requests[number].profile, requests[number].pool,
                                     use_beside_others(requests, chosen, number), domain);
  for (size_t number = 0; number < requests.size(); ++number)
    if (!chosen[number]) Matching{requests, domain, chosen}.find(number);
}

}  // namespace gpuward
