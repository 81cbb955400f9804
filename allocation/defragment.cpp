// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/defragment.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "allocation/cheapest_flow.hpp"
#include "base/quote.hpp"

namespace gpuward {

namespace {

struct Owner {
  const PoolDomain* domain;
  const PoolGpu* gpu;
};

/// GPUs of shut-off domains that are assigned one device.
struct Group {
  PciAddress at;
  std::vector<Owner> owners;
  std::set<PciAddress> targets{};  ///< that each of them could have instead
};

bool is_in_use_by_another(const PciAddress& device, const Uuid& domain, const DevicesInUse& taken) {
  const auto user = taken.find(device);
  return user != taken.end() && user->second.domain != domain;
}

/// Without those whose device another has: at its next start that GPU needs another anyway.
std::vector<Group> groups_of(const std::vector<PoolDomain>& off, const DevicesInUse& taken) {
  std::map<PciAddress, Group> groups;
  for (const PoolDomain& domain : off)
    for (const PoolGpu& gpu : domain.gpus) {
      if (!gpu.at || is_in_use_by_another(*gpu.at, domain.uuid, taken)) continue;
      Group& group = groups[*gpu.at];
      group.at = *gpu.at;
      group.owners.push_back({&domain, &gpu});
    }
  std::vector<Group> all;
  all.reserve(groups.size());
  for (auto& [at, group] : groups) all.push_back(std::move(group));
  return all;
}

/// What the search works on.
struct Search {
  const Fragmented& host;
  std::vector<Group> groups;
  std::map<PciAddress, const PoolDevice*> devices{};  ///< of all pools
  std::set<PciAddress> excluded{};  ///< never assigned anew: what goes with it is somebody's

  const PoolDevice* device(const PciAddress& address) const {
    const auto found = devices.find(address);
    return found == devices.end() ? nullptr : found->second;
  }
  std::optional<unsigned> iommu_group(const PciAddress& address) const {
    const auto found = host.iommu_groups.find(address);
    return found == host.iommu_groups.end() ? std::nullopt : std::optional(found->second);
  }
  bool are_in_one_iommu_group(const PciAddress& one, const PciAddress& other) const {
    const auto group = iommu_group(one);
    return one != other && group && group == iommu_group(other);
  }
  static DeviceUse use_of(const Fragmented& host, const PoolDomain& domain) {
    return {in_use_by_others(host.taken, domain.uuid), {}, domain.own};
  }
  /// Whether it may be assigned anew to this domain, or to one that is not there yet.
  bool is_free(const Profile& profile, const PoolDevice& device, const DeviceUse& use,
               const DomainPlace& place) const {
    return !excluded.contains(device.address) && !device.is_full &&
           !find_user(device, host.by_hand) && is_possible(profile, device, use, place);
  }
  std::set<PciAddress> targets_of(const Owner& owner) const {
    std::set<PciAddress> targets;
    const auto& [domain, gpu] = owner;
    const auto pool = host.pools.find(title_of(gpu->profile));
    if (pool == host.pools.end()) return targets;
    const DeviceUse use = use_of(host, *domain);
    for (const PoolDevice& device : pool->second)
      if (device.address != gpu->at &&
          is_free(gpu->profile, device, use, {domain->numa_nodes, domain->cpus}))
        targets.insert(device.address);
    return targets;
  }
  void find_targets() {
    for (Group& group : groups) {
      group.targets = targets_of(group.owners.front());
      for (const Owner& owner : group.owners) {
        const auto others = targets_of(owner);
        std::erase_if(group.targets, [&](const PciAddress& at) { return !others.contains(at); });
      }
    }
  }
};

/// `device` of this address: null where it is of no pool any more.
bool are_parts_of_one(const PoolDevice* device, const PciAddress& address,
                      const PoolDevice& other) {
  return is_conflict(device ? *device : PoolDevice{address, {}, {}, {address}}, other);
}

/// The other device of its IOMMU group that a shut-off domain has by hand.
std::optional<PciAddress> group_by_hand(const Search& search, const PciAddress& address) {
  for (const auto& [other, user] : search.host.by_hand)
    if (user.by == User::By::itself && search.are_in_one_iommu_group(address, other)) return other;
  return {};
}

Search search_of(const Fragmented& host) {
  Search search{host, groups_of(host.off, host.taken)};
  for (const auto& [title, pool] : host.pools)
    for (const PoolDevice& device : pool) search.devices.emplace(device.address, &device);
  for (const auto& [address, device] : search.devices)
    for (const Group& group : search.groups) {
      if (address != group.at && (are_parts_of_one(search.device(group.at), group.at, *device) ||
                                  search.are_in_one_iommu_group(address, group.at)))
        search.excluded.insert(address);
    }
  for (const auto& [address, device] : search.devices)
    if (group_by_hand(search, address)) search.excluded.insert(address);
  return search;
}

/// Who gets what.
struct Outcome {
  unsigned available = 0, possible = 0;
  std::vector<PciAddress> given;  ///< to what is to be made room for
  std::vector<std::pair<const Group*, PciAddress>> moved;
};

/// Units are GPUs: those of shut-off domains go to the device that they have, at the cost of a move
/// for each to another one; those to make room for go over their cards to any of the pool.
class Network {
 public:
  Network(const Search& search, unsigned wanted)
      : search_(search), flow_(3 + count_nodes(search)), next_(3) {
    for (const auto& [address, device] : search.devices) add_device(address);
    for (const Group& group : search.groups) add_group(group);
    add_new(wanted);
  }
  Outcome solve(unsigned wanted) {
    Outcome outcome;
    for (bool is_free = true; outcome.possible < wanted; ++outcome.possible) {
      const auto cost = flow_.send(added, end);
      if (!cost) break;
      is_free = is_free && *cost == 0;
      outcome.available += is_free ? 1 : 0;
    }
    for (const auto& [way, move] : moves_)
      if (flow_.is_used(way)) outcome.moved.push_back(move);
    for (const auto& [way, device] : new_)
      if (flow_.is_used(way)) outcome.given.push_back(device);
    return outcome;
  }

 private:
  static constexpr size_t start = 0, end = 1, added = 2;

  /// A device, its card, and a group each.
  static size_t count_nodes(const Search& search) {
    return 2 * search.devices.size() + 2 * search.groups.size();
  }
  size_t add_device(const PciAddress& address) {
    const auto [found, is_new] = devices_.emplace(address, next_);
    if (!is_new) return found->second;
    to_end_.emplace(address, flow_.add(next_, end, 1));
    return next_++;
  }
  void add_group(const Group& group) {
    const size_t device = add_device(group.at);
    const size_t node = next_++;
    flow_.use(flow_.add(start, node, 1));
    flow_.use(flow_.add(node, device, 1));
    flow_.use(to_end_.at(group.at));
    const int cost = static_cast<int>(group.owners.size());
    for (const PciAddress& target : group.targets)
      moves_.emplace_back(flow_.add(node, devices_.at(target), 1, cost), std::pair(&group, target));
  }
  void add_new(unsigned wanted) {
    const Fragmented& host = search_.host;
    std::map<PciAddress, size_t> cards;
    const DeviceUse use{host.taken, {}};
    for (const PoolDevice& device : host.pools.at(title_of(host.profile))) {
      if (!search_.is_free(host.profile, device, use, {})) continue;
      const PciAddress card = device.physical_function.value_or(device.address);
      const auto [found, is_new] = cards.emplace(card, next_);
      if (is_new) {
        const auto most = host.most.find(card);
        flow_.add(added, next_++,
                  static_cast<int>(most == host.most.end() ? wanted : most->second));
      }
      new_.emplace_back(flow_.add(found->second, devices_.at(device.address), 1), device.address);
    }
  }

  const Search& search_;
  CheapestFlow flow_;
  size_t next_;
  std::map<PciAddress, size_t> devices_{}, to_end_{};
  std::vector<std::pair<size_t, std::pair<const Group*, PciAddress>>> moves_{};
  std::vector<std::pair<size_t, PciAddress>> new_{};
};

/// One that cannot be assigned beside another that is assigned anew, too.
std::optional<PciAddress> conflict_in(const Search& search, const Outcome& outcome) {
  std::vector<const PoolDevice*> assigned;
  for (const PciAddress& address : outcome.given) assigned.push_back(search.device(address));
  for (const auto& [group, to] : outcome.moved) assigned.push_back(search.device(to));
  for (const PoolDevice* const one : assigned)
    for (const PoolDevice* const other : assigned)
      if (one->address < other->address &&
          (is_conflict(*one, *other) ||
           search.are_in_one_iommu_group(one->address, other->address)))
        return other->address;
  return {};
}

/// Those first whose target nobody has any more.
std::vector<DeviceMove> in_order(std::vector<std::pair<const Group*, PciAddress>> moved) {
  std::vector<DeviceMove> moves;
  while (!moved.empty()) {
    const auto is_ready = [&](const auto& move) {
      return std::none_of(moved.begin(), moved.end(),
                          [&](const auto& other) { return other.first->at == move.second; });
    };
    auto next = std::find_if(moved.begin(), moved.end(), is_ready);
    if (next == moved.end()) next = moved.begin();
    for (const Owner& owner : next->first->owners)
      moves.push_back({owner.domain->uuid, owner.domain->name, owner.gpu->alias, next->first->at,
                       next->second});
    moved.erase(next);
  }
  return moves;
}

std::string assigned_to(const Group& group) {
  return "assigned to shut-off " + domain_title(group.owners.front().domain->name);
}

/// Who has another device of its IOMMU group, after the moves; "" where nobody has.
std::string why_by_iommu_group(const Search& search, const Outcome& outcome,
                               const PciAddress& address) {
  std::map<PciAddress, std::string> users;
  for (const PciAddress& given : outcome.given) users.emplace(given, "counted as room");
  for (const auto& [group, to] : outcome.moved) users.emplace(to, assigned_to(*group));
  for (const Group& group : search.groups) users.emplace(group.at, assigned_to(group));
  if (const auto by_hand = group_by_hand(search, address))
    users.emplace(*by_hand, search.host.by_hand.at(*by_hand).what);
  for (const auto& [other, what] : users)
    if (search.are_in_one_iommu_group(address, other))
      return "IOMMU group " + std::to_string(*search.iommu_group(address)) + ", device " +
             to_string(other) + ": " + what;
  return {};
}

/// Why no further domain gets the device, after the moves.
Hindrance hindrance(const Search& search, const Outcome& outcome, const PoolDevice& device) {
  const Fragmented& host = search.host;
  if (const auto user = find_user(device, host.taken))
    return {device.address, user->what, user->domain};
  if (const auto user = find_user(device, host.by_hand)) return {device.address, user->what, {}};
  for (const auto& [group, to] : outcome.moved)
    if (to == device.address) return {device.address, assigned_to(*group), {}};
  for (const Group& group : search.groups)
    if (group.at == device.address)
      return {device.address, assigned_to(group) + ", for which no other device is available", {}};
  if (std::string why = why_impossible(host.profile, device, {host.taken, {}}, {}); !why.empty())
    return {device.address, std::move(why), {}};
  for (const Group& group : search.groups)
    if (are_parts_of_one(search.device(group.at), group.at, device))
      return {device.address, assigned_to(group), {}};
  if (std::string why = why_by_iommu_group(search, outcome, device.address); !why.empty())
    return {device.address, std::move(why), {}};
  return {device.address, why_worse(Criterion::capacity, host.profile), {}};
}

}  // namespace

Defragmented defragment(const Fragmented& host, unsigned wanted) {
  Search search = search_of(host);
  Outcome outcome;
  for (;;) {
    search.find_targets();
    outcome = Network(search, wanted).solve(wanted);
    const auto conflict = conflict_in(search, outcome);
    if (!conflict) break;
    search.excluded.insert(*conflict);
  }
  Defragmented found{outcome.available, outcome.possible, in_order(outcome.moved), {}};
  if (found.possible == wanted) return found;
  const std::set<PciAddress> given(outcome.given.begin(), outcome.given.end());
  for (const PoolDevice& device : host.pools.at(title_of(host.profile)))
    if (!given.contains(device.address))
      found.in_the_way.push_back(hindrance(search, outcome, device));
  return found;
}

// ---- mdevs

/// How many more fit without what the user has; nothing where that is not known.
static std::optional<unsigned> freed(const SharedCard& card, const std::string& user,
                                     const std::vector<std::string>& types) {
  const auto& removed = card.types.at(user);
  CardRoom after = card.room;
  for (const std::string& type : removed)
    if (!give_back(after, type)) return {};
  const bool counts = !card.not_in_max.contains(user);
  for (const auto& [type, more] : card.within_max) {
    const auto gone = counts ? std::count(removed.begin(), removed.end(), type) : 0;
    limit(after, type, more + static_cast<unsigned>(gone));
  }
  const unsigned before = room_for_first(card.room, types);
  return std::max(room_for_first(after, types), before) - before;
}

std::vector<RoomUser> room_users(const std::vector<SharedCard>& cards,
                                 const std::vector<std::string>& types) {
  std::map<std::string, std::optional<unsigned>> sums;
  for (const SharedCard& card : cards)
    for (const auto& [user, removed] : card.types) {
      auto& sum = sums.emplace(user, 0U).first->second;
      const auto more = freed(card, user, types);
      sum = sum && more ? std::optional(*sum + *more) : std::nullopt;
    }
  std::vector<RoomUser> users;
  for (const auto& [user, frees] : sums)
    if (frees != 0U) users.push_back({user, frees});
  std::stable_sort(users.begin(), users.end(), [](const RoomUser& one, const RoomUser& other) {
    return one.frees.value_or(0) > other.frees.value_or(0);
  });
  return users;
}

}  // namespace gpuward
