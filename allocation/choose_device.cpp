// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/choose_device.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

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

bool is_possible(const Profile& profile, const PoolDevice& device, const DeviceUse& use,
                 const DomainPlace& domain) {
  return !find_user(device, use.taken) && !has_others_vgpu(device) && is_viable(device, use.own) &&
         is_near_enough(profile, device, domain);
}

std::string why_impossible(const Profile& profile, const PoolDevice& device, const DeviceUse& use,
                           const DomainPlace& domain) {
  if (const auto user = find_user(device, use.taken)) return user->what;
  if (has_others_vgpu(device)) return "device has a vGPU that gpuward did not create";
  if (!is_near_enough(profile, device, domain))
    return "device is not local to the domain's memory and CPUs " + numa_text(profile.numa);
  if (is_viable(device, use.own)) return {};
  return "IOMMU group is not viable: " + to_string(device.host_bound_members.front()) +
         " is bound to a host driver";
}

GpuSpot spot_of(const PoolDevice& device) {
  return {device.physical_function.value_or(device.address), device.numa_node, device.bus,
          device.links};
}

namespace {

/// Of Costs, then of what is left.
constexpr std::array device_criteria{Criterion::capacity, Criterion::vgpu,     Criterion::stranded,
                                     Criterion::numa,     Criterion::assigned, Criterion::fill,
                                     Criterion::stranded, Criterion::distance, Criterion::name};

/// A cost that counts from 0: an int may be negative.
uint64_t stranded_cost(const PoolDevice& device) {
  return static_cast<uint64_t>(int64_t{device.stranded_mib} - std::numeric_limits<int>::min());
}

/// What one of several requests is chosen by.
struct Choosing {
  const Profile& profile;
  const std::vector<PoolDevice>& pool;
  const DeviceUse& use;
  const DomainPlace& domain;
  std::vector<SpotWithRoom> possible{};  ///< cards with links, where others are placed after it

  /// How many VFs of its PF are taken.
  unsigned fill_of(const PoolDevice& device) const {
    if (!device.physical_function) return 0;
    return static_cast<unsigned>(
        std::count_if(pool.begin(), pool.end(), [&](const PoolDevice& other) {
          return other.physical_function == device.physical_function && find_user(other, use.taken);
        }));
  }
  /// Its own card may have room for no other.
  unsigned missing_links_of(const PoolDevice& device) const {
    if (possible.empty()) return 0;
    const GpuSpot spot = spot_of(device);
    std::vector<SpotWithRoom> others = possible;
    std::erase_if(others, [&](const SpotWithRoom& other) { return other.spot.card == spot.card; });
    return missing_links(spot, others, use.still_to_place);
  }
  /// In the order of device_criteria.
  Costs costs_of(const PoolDevice& device) const {
    const auto assigned = use.assigned_count.find(device.address);
    const unsigned fill = fill_of(device);
    const bool is_binpack = profile.placement == Placement::binpack;
    return {device.is_full,
            device.has_vgpu,
            is_binpack ? stranded_cost(device) : 0,
            profile.numa != Numa::ignore && !is_near(profile, device, domain),
            assigned == use.assigned_count.end() ? 0U : assigned->second,
            is_binpack ? ~0U - fill : fill,
            is_binpack ? 0 : stranded_cost(device),
            distance_to(spot_of(device), use.beside) + missing_links_of(device)};
  }
};

}  // namespace

Comparison decide(const Profile& profile, const std::vector<PoolDevice>& pool, const DeviceUse& use,
                  const DomainPlace& domain, const PoolDevice& one, const PoolDevice& other) {
  const Choosing choosing{profile, pool, use, domain};
  const Costs costs = choosing.costs_of(one), others = choosing.costs_of(other);
  const auto differs = std::mismatch(costs.begin(), costs.end(), others.begin()).first;
  return {device_criteria[static_cast<size_t>(differs - costs.begin())],
          std::tie(costs, one.address) < std::tie(others, other.address)};
}

/// One of the domain's GPUs on each card with links that has a device for it.
static std::vector<SpotWithRoom> cards_with_links(const Profile& profile,
                                                  const std::vector<PoolDevice>& pool,
                                                  const DeviceUse& use, const DomainPlace& domain) {
  std::vector<SpotWithRoom> cards;
  std::set<PciAddress> known;
  if (use.still_to_place == 0) return cards;
  for (const PoolDevice& device : pool)
    if (device.links.is_any() && !device.is_full && is_possible(profile, device, use, domain))
      if (GpuSpot spot = spot_of(device); known.insert(spot.card).second)
        cards.push_back({std::move(spot), 1});
  return cards;
}

const PoolDevice* choose_device(const Profile& profile, const std::vector<PoolDevice>& pool,
                                const DeviceUse& use, const DomainPlace& domain) {
  const Choosing choosing{profile, pool, use, domain, cards_with_links(profile, pool, use, domain)};
  const PoolDevice* best = nullptr;
  Costs least{};
  for (const PoolDevice& device : pool) {
    if (!is_possible(profile, device, use, domain)) continue;
    const Costs costs = choosing.costs_of(device);
    if (best && std::tie(least, best->address) <= std::tie(costs, device.address)) continue;
    best = &device;
    least = costs;
  }
  return best;
}

// ---- several

bool is_conflict(const PoolDevice& one, const PoolDevice& other) {
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
    use.beside.push_back(spot_of(*chosen[other]));
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

/// Those that have none yet and are of the pool of this one.
static std::vector<size_t> of_one_pool(const std::vector<DeviceRequest>& requests,
                                       const Chosen& chosen, size_t number) {
  const auto is_same = [](const PoolDevice& one, const PoolDevice& other) {
    return one.address == other.address;
  };
  std::vector<size_t> numbers;
  const DeviceRequest& first = requests[number];
  for (size_t other = number; other < requests.size(); ++other)
    if (!chosen[other] && title_of(requests[other].profile) == title_of(first.profile) &&
        std::equal(requests[other].pool.begin(), requests[other].pool.end(), first.pool.begin(),
                   first.pool.end(), is_same))
      numbers.push_back(other);
  return numbers;
}

/// The best devices for so many of one request, none where they are VFs: which PF is fuller changes
/// with each that is chosen.
static Chosen best_together(const DeviceRequest& request, const DeviceUse& use,
                            const DomainPlace& domain, size_t count) {
  const Choosing choosing{request.profile, request.pool, use, domain};
  Chosen possible;
  std::vector<SpotCosts> spots;
  for (const PoolDevice& device : request.pool) {
    if (device.physical_function) return {};
    if (!is_possible(request.profile, device, use, domain)) continue;
    Costs costs = choosing.costs_of(device);
    spots.push_back({spot_of(device), {}, static_cast<unsigned>(std::exchange(costs.back(), 0))});
    spots.back().costs = costs;
    possible.push_back(&device);
  }
  Chosen best;
  for (const size_t place : nearest(spots, count)) {
    const PoolDevice* const device = possible[place];
    if (std::any_of(best.begin(), best.end(),
                    [&](const PoolDevice* other) { return is_conflict(*other, *device); }))
      return {};
    best.push_back(device);
  }
  return best;
}

void choose_devices(const std::vector<DeviceRequest>& requests, const DomainPlace& domain,
                    std::vector<const PoolDevice*>& chosen) {
  chosen.resize(requests.size());
  for (size_t number = 0; number < requests.size(); ++number) {
    if (chosen[number]) continue;
    const DeviceRequest& request = requests[number];
    DeviceUse use = use_beside_others(requests, chosen, number);
    const auto numbers = of_one_pool(requests, chosen, number);
    const Chosen best =
        numbers.size() > 1 ? best_together(request, use, domain, numbers.size()) : Chosen{};
    for (size_t at = 0; at < best.size(); ++at) chosen[numbers[at]] = best[at];
    use.still_to_place = static_cast<unsigned>(numbers.size() - 1);
    if (best.empty()) chosen[number] = choose_device(request.profile, request.pool, use, domain);
  }
  for (size_t number = 0; number < requests.size(); ++number)
    if (!chosen[number]) Matching{requests, domain, chosen}.find(number);
}

}  // namespace gpuward
