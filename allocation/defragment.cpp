// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/defragment.hpp"

#include <algorithm>
#include <functional>
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
  std::set<PciAddress> excluded{};  ///< never reassigned: what goes with it is somebody's
  /// Devices that may be assigned, of each card with a room of its own.
  std::map<PciAddress, unsigned> capacity{};

  const PoolDevice* device(const PciAddress& address) const {
    const auto found = devices.find(address);
    return found == devices.end() ? nullptr : found->second;
  }
  /// With a room of its own.
  std::optional<PciAddress> card_of(const PciAddress& address) const {
    const PoolDevice* const found = device(address);
    if (!found || !found->physical_function || !host.rooms.contains(*found->physical_function))
      return {};
    return found->physical_function;
  }
  unsigned assigned_on(const PciAddress& card) const {
    return static_cast<unsigned>(
        std::count_if(groups.begin(), groups.end(),
                      [&](const Group& group) { return card_of(group.at) == card; }));
  }
  /// So many devices of the card; no new one where more are assigned.
  void limit_to(const PciAddress& card, unsigned count) {
    const unsigned assigned = assigned_on(card);
    capacity[card] = std::max(count, assigned);
    if (count >= assigned) return;
    for (const auto& [address, found] : devices)
      if (card_of(address) == card) excluded.insert(address);
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
  /// Whether it may be reassigned to this domain, or to one that is not there yet.
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

/// As many as fit of the one that the card has room for most of.
unsigned most_on(const Search& search, const CardRoom& room) {
  unsigned most = room_for_first(room, search.host.profile.types);
  for (const Group& group : search.groups)
    for (const Owner& owner : group.owners)
      most = std::max(most, room_for_first(room, owner.gpu->profile.types));
  return most;
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
  for (const auto& [card, room] : host.rooms) search.limit_to(card, most_on(search, room));
  return search;
}

/// Who gets what.
struct Outcome {
  unsigned possible = 0;
  std::vector<PciAddress> given;  ///< to what is to be made room for
  std::vector<std::pair<const Group*, PciAddress>> moved;
};

/// Units are GPUs: those of shut-off domains go to the device that they have, at the cost of a move
/// for each to another one; those to make room for go to any of the pool. From there all go over
/// the card, where that has a room of its own.
class Network {
 public:
  explicit Network(const Search& search)
      : search_(search), flow_(3 + count_nodes(search)), next_(3) {
    for (const auto& [address, device] : search.devices) add_device(address);
    for (const Group& group : search.groups) add_group(group);
    add_new();
  }
  Outcome solve(unsigned wanted) {
    Outcome outcome;
    while (outcome.possible < wanted && flow_.send(added, end)) ++outcome.possible;
    for (const auto& [way, move] : moves_)
      if (flow_.is_used(way)) outcome.moved.push_back(move);
    for (const auto& [way, device] : new_)
      if (flow_.is_used(way)) outcome.given.push_back(device);
    return outcome;
  }

 private:
  static constexpr size_t start = 0, end = 1, added = 2;

  /// A device and a group each, and the cards.
  static size_t count_nodes(const Search& search) {
    return search.devices.size() + 2 * search.groups.size() + search.capacity.size();
  }
  /// Its node and its way to the end.
  std::pair<size_t, size_t> add_card(const PciAddress& card) {
    const auto [found, is_new] = cards_.emplace(card, std::pair(next_, size_t{0}));
    if (is_new) {
      const auto capacity = static_cast<int>(search_.capacity.at(card));
      found->second.second = flow_.add(next_++, end, capacity);
    }
    return found->second;
  }
  size_t add_device(const PciAddress& address) {
    const auto [found, is_new] = devices_.emplace(address, next_);
    if (!is_new) return found->second;
    const size_t node = next_++;
    const auto card = search_.card_of(address);
    ways_.emplace(address, flow_.add(node, card ? add_card(*card).first : end, 1));
    return node;
  }
  void add_group(const Group& group) {
    const size_t device = add_device(group.at);
    const size_t node = next_++;
    flow_.use(flow_.add(start, node, 1));
    flow_.use(flow_.add(node, device, 1));
    flow_.use(ways_.at(group.at));
    if (const auto card = search_.card_of(group.at)) flow_.use(add_card(*card).second);
    const int cost = static_cast<int>(group.owners.size());
    for (const PciAddress& target : group.targets)
      moves_.emplace_back(flow_.add(node, devices_.at(target), 1, cost), std::pair(&group, target));
  }
  void add_new() {
    const Fragmented& host = search_.host;
    const DeviceUse use{host.taken, {}};
    for (const PoolDevice& device : host.pools.at(title_of(host.profile)))
      if (search_.is_free(host.profile, device, use, {}))
        new_.emplace_back(flow_.add(added, devices_.at(device.address), 1), device.address);
  }

  const Search& search_;
  CheapestFlow flow_;
  size_t next_;
  std::map<PciAddress, size_t> devices_{}, ways_{};  ///< nodes, and ways from there
  std::map<PciAddress, std::pair<size_t, size_t>> cards_{};
  std::vector<std::pair<size_t, std::pair<const Group*, PciAddress>>> moves_{};
  std::vector<std::pair<size_t, PciAddress>> new_{};
};

/// One that cannot be assigned beside another that is reassigned, too.
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

/// False where there is no room: what a shut-off domain is to have is counted all the same.
bool take_first(CardRoom& room, const std::vector<std::string>& types) {
  for (const std::string& type : types)
    if (take(room, type)) return true;
  for (const std::string& type : types)
    if (has_type(room, type)) {
      take_anyway(room, type);
      break;
    }
  return false;
}

/// Whether nothing more fits where this is left.
bool leaves_no_more(const CardRoom& one, const CardRoom& other) {
  return std::equal(one.left.begin(), one.left.end(), other.left.begin(), other.left.end(),
                    std::less_equal<>()) &&
         std::all_of(one.types.begin(), one.types.end(), [&](const TypeRoom& type) {
           return room_for(one, type.id) <= room_for(other, type.id);
         });
}

struct Taken {
  bool fits = true;      ///< each of those that share the device
  bool is_least = true;  ///< of all types no less can be left than is counted
};

/// Only one of those that share a device has it at a time: the one that leaves least.
Taken take_for(CardRoom& room, const Group& group, const std::vector<std::string>& wanted) {
  Taken taken;
  std::vector<CardRoom> rooms;
  rooms.reserve(group.owners.size());
  size_t least = 0;
  for (const Owner& owner : group.owners) {
    rooms.push_back(room);
    taken.fits = take_first(rooms.back(), owner.gpu->profile.types) && taken.fits;
    const unsigned left = room_for_first(rooms.back(), wanted);
    const unsigned before = room_for_first(rooms[least], wanted);
    if (left < before || (left == before && leaves_no_more(rooms.back(), rooms[least])))
      least = rooms.size() - 1;
  }
  room = rooms[least];
  taken.is_least = std::all_of(rooms.begin(), rooms.end(),
                               [&](const CardRoom& other) { return leaves_no_more(room, other); });
  return taken;
}

/// What is assigned on the card: the devices that stay so, then the others.
struct OnCard {
  std::vector<const Group*> staying{}, moved{};
  unsigned given = 0;
};

OnCard assigned_on(const Search& search, const Outcome& outcome, const PciAddress& card) {
  OnCard on;
  std::set<const Group*> moved;
  for (const auto& [group, to] : outcome.moved) {
    moved.insert(group);
    if (search.card_of(to) == card) on.moved.push_back(group);
  }
  for (const Group& group : search.groups)
    if (search.card_of(group.at) == card && !moved.contains(&group)) on.staying.push_back(&group);
  for (const PciAddress& address : outcome.given)
    if (search.card_of(address) == card) ++on.given;
  return on;
}

/// Nothing is moved beside those of which it is not known which of them leaves least for it.
bool has_room_for(const CardRoom& room, const OnCard& on, const std::vector<std::string>& wanted) {
  CardRoom left = room;
  bool is_least = true;
  for (const Group* const group : on.staying)
    is_least = take_for(left, *group, wanted).is_least && is_least;
  for (const Group* const group : on.moved) {
    const Taken taken = take_for(left, *group, wanted);
    if (!is_least || !taken.fits) return false;
    is_least = taken.is_least;
  }
  return on.given == 0 || room_for_first(left, wanted) >= on.given;
}

/// Limits a card on which more is assigned than it has room for; false without one.
bool limit_overfull(Search& search, const Outcome& outcome) {
  for (const auto& [card, room] : search.host.rooms) {
    const OnCard on = assigned_on(search, outcome, card);
    if (has_room_for(room, on, search.host.profile.types)) continue;
    const size_t count = on.staying.size() + on.moved.size() + on.given;
    search.limit_to(card, static_cast<unsigned>(count - 1));
    return true;
  }
  return false;
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

/// Whether they could have one that nobody is to have after the moves.
bool has_another(const Search& search, const Outcome& outcome, const Group& group) {
  std::set<PciAddress> left = group.targets;
  for (const PciAddress& given : outcome.given) left.erase(given);
  for (const auto& [moved, to] : outcome.moved) left.erase(to);
  for (const Group& other : search.groups) left.erase(other.at);
  return !left.empty();
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
      return {device.address,
              assigned_to(group) + (has_another(search, outcome, group)
                                        ? ", and reassigning makes no more room"
                                        : ", for which no other device is available"),
              {}};
  if (std::string why = why_impossible(host.profile, device, {host.taken, {}}, {}); !why.empty())
    return {device.address, std::move(why), {}};
  for (const Group& group : search.groups)
    if (are_parts_of_one(search.device(group.at), group.at, device))
      return {device.address, assigned_to(group), {}};
  if (std::string why = why_by_iommu_group(search, outcome, device.address); !why.empty())
    return {device.address, std::move(why), {}};
  return {device.address, why_worse(Criterion::capacity, host.profile), {}};
}

Outcome solve(Search& search, unsigned wanted, bool with_moves) {
  for (;;) {
    if (with_moves) search.find_targets();
    Outcome outcome = Network(search).solve(wanted);
    const auto conflict = conflict_in(search, outcome);
    if (conflict)
      search.excluded.insert(*conflict);
    else if (!limit_overfull(search, outcome))
      return outcome;
  }
}

}  // namespace

Defragmented defragment(const Fragmented& host, unsigned wanted) {
  Search at_rest = search_of(host), moving = search_of(host);
  const Outcome as_is = solve(at_rest, wanted, false);
  const Outcome moved = as_is.possible < wanted ? solve(moving, wanted, true) : Outcome{};
  const bool helps = moved.possible > as_is.possible;
  if (!helps) at_rest.find_targets();
  const Search& search = helps ? moving : at_rest;
  const Outcome& outcome = helps ? moved : as_is;
  Defragmented found{as_is.possible, outcome.possible, in_order(outcome.moved), {}};
  if (found.possible == wanted) return found;
  const std::set<PciAddress> given(outcome.given.begin(), outcome.given.end());
  for (const PoolDevice& device : host.pools.at(title_of(host.profile)))
    if (!given.contains(device.address))
      found.hindrances.push_back(hindrance(search, outcome, device));
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
