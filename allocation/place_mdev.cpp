// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/place_mdev.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "allocation/mdev_refusal.hpp"
#include "allocation/mdev_rooms.hpp"
#include "allocation/place_several.hpp"
#include "allocation/pool.hpp"
#include "allocation/quota.hpp"
#include "allocation/request.hpp"
#include "allocation/stranded.hpp"
#include "base/error.hpp"
#include "config/gpu_settings.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/type_limit.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"
#include "pci/card_facts.hpp"
#include "pci/identity.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

namespace {

using State = ClaimedDevice::State;

bool is_near(const MdevPlacing& placing, const Profile& profile, const Parent& parent) {
  DevicePlace place{parent.numa_node};
  const bool by_socket = profile.numa == Numa::socket;
  if ((by_socket || !placing.domain.cpus.empty()) && parent.address)
    place.cpus = local_cpus(pci_path(placing.root, *parent.address));
  if (by_socket) widen_to_socket(placing.root, place);
  return is_near(profile.numa, {placing.domain.numa_nodes, placing.domain.cpus}, place);
}

/// With what this domain has been placed on it.
std::vector<Claim> with_own(const MdevPlacing& placing) {
  std::vector<Claim> claims = placing.others;
  std::erase_if(claims, [&](const Claim& claim) { return claim.domain == placing.claim.domain; });
  claims.push_back(placing.claim);
  return claims;
}

/// What of [gpu] max, or of the fractions on it, keeps another instance of the type from the card
/// of this parent.
std::optional<ReachedLimit> limit_reached(const MdevPlacing& placing, const Profile& profile,
                                          const Parent& parent, const std::string& type,
                                          const std::vector<Claim>& claims) {
  if (auto fractions = fraction_limit(placing.root, placing.config, profile, parent, claims))
    return fractions;
  const auto max = settings_of(placing.config, parent).max;
  const std::string card =
      parent.physical_function ? to_string(*parent.physical_function) : parent.name;
  return reached_limit(placing.root, max, card, {profile.use, type}, claims);
}

/// What limit_reached() checks needs reads of what others have, for each instance again.
bool may_be_limited(const Config& config, const Profile& profile, const Parent& parent) {
  return profile.memory_mib || !settings_of(config, parent).max.empty();
}

/// Where the GPUs of the domain are that have been placed, but for the one of this alias.
std::vector<GpuSpot> spots_of_domain(const MdevPlacing& placing, const std::string& without = {}) {
  std::vector<PciAddress> cards;
  for (const ClaimedDevice& other : placing.claim.devices) {
    if (other.parent.empty() || other.alias == without || !is_gpu_of_profile(other)) continue;
    if (const auto card = parse_pci_address(card_of(placing.root, other))) cards.push_back(*card);
  }
  return spots_of(placing.root, cards);
}

/// Nothing of a parent that is no PCI device.
std::optional<GpuSpot> spot_of(const Root& root, const Parent& parent) {
  const auto card = parent.physical_function ? parent.physical_function : parent.address;
  if (!card) return {};
  return GpuSpot{*card, parent.numa_node, bus_path(root, *card)};
}

/// Where the candidates with room are, by the card of each.
std::map<std::string, GpuSpot> spots_with_room(const MdevPlacing& placing,
                                               const std::vector<Parent>& parents,
                                               std::span<const Candidate> candidates) {
  std::set<std::string_view> with_room;
  for (const Candidate& candidate : candidates)
    if (candidate.available > 0) with_room.insert(candidate.parent);
  std::map<std::string, GpuSpot> spots;
  for (const Parent& parent : parents) {
    if (!with_room.contains(parent.name) || spots.contains(card_of(parent))) continue;
    if (auto spot = spot_of(placing.root, parent)) spots.emplace(card_of(parent), *std::move(spot));
  }
  return spots;
}

void add_links(const MdevPlacing& placing, std::vector<GpuSpot*> cards,
               std::vector<GpuSpot>& beside) {
  cards.reserve(cards.size() + beside.size());
  for (GpuSpot& spot : beside) cards.push_back(&spot);
  add_nvlinks(placing.root, cards, *placing.asked);
}

/// Of one that has no room none. Nothing is read for the only GPU of a domain.
void add_distances(const MdevPlacing& placing, const std::vector<Parent>& parents,
                   std::vector<GpuSpot> beside, std::vector<Candidate>& candidates) {
  if (beside.empty()) return;
  auto spots = spots_with_room(placing, parents, candidates);
  std::vector<GpuSpot*> cards;
  cards.reserve(spots.size());
  for (auto& [name, spot] : spots) cards.push_back(&spot);
  if (cards.size() > 1) add_links(placing, std::move(cards), beside);
  for (Candidate& candidate : candidates) {
    const auto spot = spots.find(card_of(candidate));
    if (spot != spots.end()) candidate.distance = distance_to(spot->second, beside);
  }
}

/// Of all requests of the domain, read once.
std::vector<Parent> read_parents(const MdevPlacing& placing) {
  std::vector<Parent> parents;
  KnownCards cards;
  for (const std::string& name : parent_names(placing.root))
    if (auto parent = find_parent(placing.root, placing.config, name, cards))
      parents.push_back(std::move(*parent));
  return parents;
}

/// Without what the domain has on them. `claims`: that count for limits.
FoundParents search_parents(const MdevPlacing& placing, const std::vector<Parent>& parents,
                            const Profile& profile, const std::vector<Claim>& claims) {
  FoundParents found;
  for (const Parent& parent : parents) {
    const std::string& name = parent.name;
    if (!serves(placing.config, profile, parent)) {
      Reason unclear = settings_of(placing.config, parent).unclear;
      if (unclear.problem.empty()) unclear = unclear_for(profile, parent);
      if (!unclear.problem.empty()) found.unexpected = std::move(unclear);
      continue;
    }
    if (const Verdict verdict = check_identity(placing.root, placing.config, parent); !verdict) {
      found.unexpected = verdict.reason;
      continue;
    }
    const auto user = user_of_parent(placing.taken, parent);
    for (unsigned rank = 0; rank < profile.types.size(); ++rank) {
      const std::string& type = profile.types[rank];
      const auto available = available_instances(placing.root, name, type);
      if (!available || placing.refused.contains({name, type})) continue;
      const auto limit = limit_reached(placing, profile, parent, type, claims);
      if (user || limit) found.without.push_back({{name, type}, user ? user->what : limit->text});
      if (user)
        found.unavailable.emplace(user->what, user->remedy);
      else if (limit)
        found.unavailable.emplace(limit->text, limit->is_permanent ? limit->remedy : "");
      else
        found.candidates.push_back(
            {name, type, *available, rank, is_near(placing, profile, parent),
             parent.physical_function ? to_string(*parent.physical_function) : ""});
    }
  }
  return found;
}

bool is_of(const Candidate& candidate, const ClaimedDevice& device) {
  return candidate.parent == device.parent && candidate.type == device.type;
}

/// What `device` takes that the kernel does not count yet. A VF has one instance of any type.
void subtract(std::vector<Candidate>& candidates, const ClaimedDevice& device) {
  for (Candidate& candidate : candidates) {
    const bool is_on_vf = candidate.parent == device.parent && !candidate.card.empty();
    if ((is_on_vf || is_of(candidate, device)) && candidate.available > 0) --candidate.available;
  }
}

/// Only root can read the lock. Another user only asks, as `gpuward doctor` does: to that user no
/// domain is worked on.
bool is_worked_on(const MdevPlacing& placing, const Uuid& domain) try {
  return placing.claims.is_worked_on(domain);
} catch (const SystemError& error) {
  if (error.code != EACCES || ::geteuid() == 0) throw;
  return false;
}

/// Others that have claimed and not yet created. To be called after available_instances was read:
/// one created in between is then counted by neither, and the kernel has the last word; the other
/// way round it would be counted twice and a domain refused for nothing.
std::vector<const ClaimedDevice*> pending_devices(const MdevPlacing& placing) {
  std::vector<const ClaimedDevice*> pending;
  if (placing.others.empty()) return pending;
  // One pass over all instances: one for each claim would be made while eighty others wait.
  const auto there = instance_names(placing.root);
  for (const Claim& other : placing.others) {
    if (other.domain == placing.claim.domain) continue;
    for (const ClaimedDevice& device : other.devices)
      if (is_mediated(device.use) && device.state == State::claimed &&
          !std::binary_search(there.begin(), there.end(), to_string(device.instance)) &&
          is_worked_on(placing, other.domain))
        pending.push_back(&device);
  }
  return pending;
}

void subtract_all(std::vector<Candidate>& candidates,
                  const std::vector<const ClaimedDevice*>& coming) {
  for (const ClaimedDevice* const device : coming) subtract(candidates, *device);
}

/// Whether there is a choice between cards. Where there is none nothing more is read.
bool are_on_several_cards(const std::vector<Candidate>& candidates) {
  const Candidate* first = nullptr;
  for (const Candidate& candidate : candidates) {
    if (candidate.available == 0) continue;
    if (first && (candidate.card != first->card ||
                  (candidate.card.empty() && candidate.parent != first->parent)))
      return true;
    first = &candidate;
  }
  return false;
}

/// What each candidate leaves that no profile can use. `coming`: created soon, by this domain or
/// others.
void add_stranded(const MdevPlacing& placing, const std::vector<Parent>& parents,
                  FoundParents& found, const std::vector<const ClaimedDevice*>& coming) {
  if (!are_on_several_cards(found.candidates)) return;
  std::map<std::string, std::string> cards;  // by parent
  std::set<std::string> used;
  for (const Parent& parent : parents) {
    cards.emplace(parent.name, card_of(parent));
    if (user_of_parent(placing.taken, parent)) used.insert(parent.name);
  }
  auto rooms = mdev_rooms(placing.root, placing.config, parents, found.candidates,
                          [&](const std::string& parent) { return !used.contains(parent); });
  for (const ClaimedDevice* const device : coming)
    if (const auto room = rooms.find(cards[device->parent]); room != rooms.end())
      take_anyway(room->second, device->type);
  std::map<std::pair<std::string_view, std::string_view>, Candidate> noted;  // of a card's VFs one
  for (Candidate& candidate : found.candidates) {
    const std::string& card = card_of(candidate);
    const auto room = rooms.find(card);
    if (room == rooms.end()) continue;
    const auto [same, is_new] = noted.try_emplace({room->first, candidate.type}, candidate);
    if (is_new) note_stranded(room->second, same->second);
    candidate.stranded_mib = same->second.stranded_mib;
    candidate.opens_card = same->second.opens_card;
  }
}

/// With what is available for this device beside the domain's others.
FoundParents search_beside_others(const MdevPlacing& placing, const std::vector<Parent>& parents,
                                  const MdevRequest& request) {
  const auto& [profile, device] = request;
  FoundParents found =
      search_parents(placing, parents, profile, without_device(with_own(placing), device));
  auto coming = pending_devices(placing);
  for (const ClaimedDevice& own : placing.claim.devices)
    if (needs_instance(own, placing.existing) && own.alias != device.alias) coming.push_back(&own);
  subtract_all(found.candidates, coming);
  add_distances(placing, parents, spots_of_domain(placing, device.alias), found.candidates);
  add_stranded(placing, parents, found, coming);
  return found;
}

void note(const Candidate& chosen, ClaimedDevice& device) {
  device.parent = chosen.parent;
  device.type = chosen.type;
}

// ---- several at once

/// Requests of one profile have the same candidates.
struct Wanted {
  const Profile& profile;
  std::vector<Candidate> candidates;
};

/// What the cards of the candidates have room for together, and where they are.
std::map<std::string, CardToPlaceOn> cards_to_place_on(const MdevPlacing& placing,
                                                       const std::vector<Parent>& parents,
                                                       const std::deque<Wanted>& wanted) {
  std::vector<Candidate> candidates;
  std::set<std::string> usable;
  for (const Wanted& each : wanted)
    for (const Candidate& candidate : each.candidates) {
      candidates.push_back(candidate);
      usable.insert(candidate.parent);
    }
  std::map<std::string, CardToPlaceOn> cards;
  for (auto& [name, room] :
       mdev_rooms(placing.root, placing.config, parents, candidates,
                  [&](const std::string& parent) { return usable.contains(parent); }))
    cards[name].room = std::move(room);
  for (const Parent& parent : parents)
    if (const auto card = cards.find(card_of(parent)); card != cards.end() && !card->second.spot)
      card->second.spot = spot_of(placing.root, parent);
  std::vector<GpuSpot*> with_room;
  std::set<std::string_view> known;
  for (const Candidate& candidate : candidates) {
    const auto card = cards.find(card_of(candidate));
    if (candidate.available > 0 && card != cards.end() && card->second.spot &&
        known.insert(card->first).second)
      with_room.push_back(&*card->second.spot);
  }
  std::vector<GpuSpot> none;
  if (with_room.size() > 1) add_links(placing, std::move(with_room), none);
  return cards;
}

/// Those of the requests that are chosen; the others have no place.
void note_all(const std::vector<Candidate>& chosen, const std::vector<MdevRequest>& requests) {
  for (size_t number = 0; number < requests.size(); ++number)
    if (number < chosen.size())
      note(chosen[number], requests[number].device);
    else
      requests[number].device.parent.clear();
}

/// Whether all of them have been placed, so that a later one is not left without because an earlier
/// one has what it could have left to it.
bool place_together(const MdevPlacing& placing, const std::vector<Parent>& of_host,
                    const std::vector<MdevRequest>& requests) {
  const auto beside = spots_of_domain(placing);
  const auto claims = with_own(placing);
  std::deque<Wanted> wanted;  // its elements stay where they are
  std::vector<SeveralRequest> several;
  for (const MdevRequest& request : requests) {
    auto same = std::find_if(wanted.begin(), wanted.end(),
                             [&](const Wanted& other) { return other.profile == request.profile; });
    if (same == wanted.end()) {
      FoundParents found = search_parents(placing, of_host, request.profile, claims);
      subtract_all(found.candidates, pending_devices(placing));
      add_distances(placing, of_host, beside, found.candidates);
      wanted.push_back({request.profile, std::move(found.candidates)});
      same = std::prev(wanted.end());
    }
    several.push_back({same->profile, same->candidates});
  }
  const auto is_allowed = [&](const std::vector<Candidate>& chosen, const Candidate& next) {
    const auto parent = std::find_if(of_host.begin(), of_host.end(), [&](const Parent& other) {
      return other.name == next.parent;
    });
    const Profile& profile = several[chosen.size()].profile;
    if (!may_be_limited(placing.config, profile, *parent)) return true;
    note_all(chosen, requests);
    return !limit_reached(placing, profile, *parent, next.type, with_own(placing));
  };
  const auto chosen =
      place_several(several, cards_to_place_on(placing, of_host, wanted), is_allowed);
  note_all(chosen.value_or(std::vector<Candidate>()), requests);
  return chosen.has_value();
}

}  // namespace

/// Whether all have been placed. Where they are not the kernel may still have room, one after the
/// other: a driver need not say what its types share.
static bool are_placed_together(const MdevPlacing& placing, const std::vector<Parent>& parents,
                                const std::vector<MdevRequest>& requests) {
  note_all({}, requests);
  return requests.size() > 1 && place_together(placing, parents, requests);
}

void place_mdevs(const MdevPlacing& placing, const std::vector<MdevRequest>& requests) {
  if (requests.empty()) return;
  const auto parents = read_parents(placing);
  if (are_placed_together(placing, parents, requests)) return;
  for (const MdevRequest& request : requests) {
    const FoundParents found = search_beside_others(placing, parents, request);
    const auto chosen = place(request.profile, found.candidates);
    if (!chosen) throw_no_capacity(placing, request.device, request.profile, found);
    note(*chosen, request.device);
  }
}

static std::string links_of(const MdevPlacing& placing, const ClaimedDevice& device) {
  std::vector<GpuSpot> beside = spots_of_domain(placing, device.alias);
  const auto card = parse_pci_address(card_of(placing.root, device));
  if (beside.empty() || !card) return {};
  std::vector<GpuSpot> spots = spots_of(placing.root, {*card});
  if (spots.empty()) return {};
  add_links(placing, {&spots.front()}, beside);
  return links_text(spots.front(), beside);
}

/// The candidate that has been noted.
static std::optional<Candidate> noted(const std::vector<Candidate>& candidates,
                                      const ClaimedDevice& device) {
  for (const Candidate& candidate : candidates)
    if (is_of(candidate, device)) return candidate;
  return {};
}

std::vector<MdevChoice> choose_parents(const MdevPlacing& placing,
                                       const std::vector<MdevRequest>& requests) {
  if (requests.empty()) return {};
  const auto parents = read_parents(placing);
  const bool are_placed = are_placed_together(placing, parents, requests);
  std::vector<MdevChoice> choices;
  choices.reserve(requests.size());
  for (const MdevRequest& request : requests) {
    FoundParents found = search_beside_others(placing, parents, request);
    auto chosen = are_placed ? noted(found.candidates, request.device)
                             : place(request.profile, found.candidates);
    if (chosen) note(*chosen, request.device);
    choices.push_back({std::move(found.candidates), std::move(found.without), std::move(chosen)});
  }
  for (size_t number = 0; number < choices.size(); ++number)
    if (choices[number].chosen) choices[number].links = links_of(placing, requests[number].device);
  return choices;
}

bool needs_instance(const ClaimedDevice& device, const std::set<std::string>& existing) {
  return is_mediated(device.use) && !is_by_hand(device) && !existing.contains(device.alias);
}

void require_within_max(const MdevPlacing& placing, const Profile& profile, const Parent& parent,
                        const ClaimedDevice& device) {
  const auto claims = without_device(with_own(placing), device);
  const auto limit = limit_reached(placing, profile, parent, device.type, claims);
  if (!limit) return;
  const Reason reason{
      is_by_hand(device) ? "hostdev " + to_string(device.instance) : gpu_title(device.alias),
      "instance " + to_string(device.instance) + " already exists, and " + limit->text,
      limit->remedy};
  if (limit->is_permanent) throw Error(reason);
  throw InUse(reason);
}

void require_parent_available(const MdevPlacing& placing, const Profile& profile,
                              const ClaimedDevice& device) {
  const auto parent = find_parent(placing.root, placing.config, device.parent);
  if (!parent) return;
  if (Verdict verdict = check_identity(placing.root, placing.config, *parent); !verdict)
    throw Error(about(gpu_title(device.alias), std::move(verdict.reason)));
  const std::string what = "instance " + to_string(device.instance) + " already exists, and ";
  if (const auto user = user_of_parent(placing.taken, *parent))
    throw InUse(gpu_title(device.alias), what + user->what,
                user->remedy.empty() ? "shut that domain down" : user->remedy);
  require_within_max(placing, profile, *parent, device);
}

/// An instance of this UUID is there although no claim names it: it is this domain's by its UUID.
/// Taken when it is what the profile asks for, refused when not.
static void adopt(const Root& root, const Config& config, const Profile& profile,
                  ClaimedDevice& device) {
  const auto instance = find_instance(root, device.instance);
  if (!instance) return;
  const std::string title = gpu_title(device.alias);
  const std::string what = "instance " + to_string(device.instance);
  if (mdevctl_defines(root, instance->parent, device.instance))
    throw Error(title, what + " is defined in mdevctl",
                "run: mdevctl undefine --uuid " + to_string(device.instance));
  if (const auto holder = OpenDevices(root).holder_of(device.instance))
    throw Error(title, what + " on " + instance->parent + " is in use by " + to_string(*holder),
                "stop that process");
  const auto parent = find_parent(root, config, instance->parent);
  const bool fits = std::find(profile.types.begin(), profile.types.end(), instance->type) !=
                        profile.types.end() &&
                    parent && serves(config, profile, *parent);
  if (!fits)
    throw Error(title,
                what + " already exists on " + instance->parent + " with type " + instance->type +
                    ", which " + title_of(profile) + " does not allow",
                "run: echo 1 > /sys/bus/mdev/devices/" + to_string(device.instance) + "/remove");
  device.parent = instance->parent;
  device.type = instance->type;
}

ClaimedDevice mdev_asked(const Root& root, const Config& config, const Domain& domain,
                         const ResolvedRequest& gpu) {
  ClaimedDevice device{.alias = gpu.alias,
                       .profile = gpu.profile.name,
                       .instance = instance_uuid(domain.uuid, gpu.alias),
                       .parent = {},
                       .type = {}};
  device.use = gpu.profile.use;
  mark_fraction(gpu.profile, device);
  adopt(root, config, gpu.profile, device);
  return device;
}

}  // namespace gpuward
