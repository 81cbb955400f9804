// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "allocation/capacity.hpp"
#include "allocation/choose_device.hpp"
#include "allocation/fraction_host.hpp"
#include "allocation/pool.hpp"
#include "allocation/request.hpp"
#include "allocation/vf_limit.hpp"
#include "base/joined.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/limits_json.hpp"
#include "cli/output.hpp"
#include "cli/profile_offers.hpp"
#include "cli/table.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/gpu_types.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/type_limit.hpp"
#include "kinds/types.hpp"
#include "pci/card_facts.hpp"
#include "pci/identity.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/vf_profile.hpp"

namespace gpuward {

using nlohmann::json;

static std::vector<std::string> types_of_profiles(const Config& config) {
  std::vector<std::string> types;
  for (const Profile& profile : config.profiles)
    types.insert(types.end(), profile.types.begin(), profile.types.end());
  return types;
}

Offers read_offers(const Root& root, const Config& config, KnownCards& cards) {
  Host host = read_host(root, config, cards.asked);
  DevicesInUse taken = taken_devices(root, host.claimed, Uuid{});
  Offers offers{root, config, std::move(host), std::move(taken), {}, cards};
  const auto counted = types_of_profiles(config);
  auto uses = use_of_gpus(root, offers.host.gpus, offers.host.instances);
  for (const Gpu& gpu : offers.host.gpus) {
    Offer offer{&gpu, {}, {}, present_types(uses[gpu.parent.name], offers.host.instances)};
    offer.types = types_of(root, config, gpu, &counted, &offer.unknown);
    for (const std::string& name : gpu.mdev_parents)
      if (auto parent = find_parent(root, config, name, cards))
        offer.parents.push_back(std::move(*parent));
    offers.gpus.push_back(std::move(offer));
  }
  return offers;
}

/// What fits on the usable parts of the card, `part` among them, within its [gpu] max.
static CardRoom room_within_max(const Offers& offers, const Offer& offer, const Parent& part,
                                const std::set<std::string>& usable) {
  CardRoom room = card_room(*offer.gpu, offer.types, offer.present,
                            [&](const std::string& name) { return usable.contains(name); });
  const auto max = settings_of(offers.config, part).max;
  for (const GpuType& type : offer.types)
    if (const auto more =
            remaining_of(offers.root, max, room.card, type, offers.host.claimed.claims))
      limit(room, type.id, *more);
  return room;
}

std::optional<CardRoom> room_for_mdevs(const Offers& offers, const Offer& offer,
                                       const Profile& profile) {
  std::set<std::string> usable;
  const Parent* part = nullptr;
  for (const Parent& parent : offer.parents) {
    if (!serves(offers.config, profile, parent) || user_of_parent(offers.taken, parent) ||
        !check_identity(offers.root, offers.config, parent))
      continue;
    usable.insert(parent.name);
    part = &parent;
  }
  if (!part) return {};
  return room_within_max(offers, offer, *part, usable);
}

static unsigned available_mdevs(const Offers& offers, const Profile& profile) {
  unsigned count = 0;
  for (const Offer& offer : offers.gpus)
    if (const auto room = room_for_mdevs(offers, offer, profile))
      count += room_for_first(*room, profile.types);
  return count;
}

/// Devices of the pool that a domain could be assigned now, by card. An IOMMU group goes to one
/// domain as a whole.
static std::map<PciAddress, std::set<std::string>> free_devices(const Offers& offers,
                                                                const Profile& profile) {
  std::map<PciAddress, std::set<std::string>> free;
  std::set<unsigned> groups;
  for (const PoolDevice& device : pool_of({offers.root, offers.config, profile, offers.cards})) {
    if (find_user(device, offers.taken) || has_others_vgpu(device) || !is_viable(device, {}) ||
        device.is_full)
      continue;
    const auto group = iommu_group_of(offers.root, device.address);
    if (group && !groups.insert(group->number).second) continue;
    free[device.physical_function.value_or(device.address)].insert(to_string(device.address));
  }
  return free;
}

/// VFs that are not enabled yet list no types. Names of vGPUs of one model tell what its card has
/// room for ("NVIDIA L40S-48Q"); ids do not, nor is known which of several models the card is, or
/// what GPU instances of MIG there will be.
static std::optional<CardRoom> room_by_name(const Offers& offers, const Profile& profile,
                                            const Parent& card_of_vfs,
                                            const std::set<std::string>& vfs) {
  std::vector<GpuType> types;
  std::set<unsigned> memory;
  for (const std::string& name : profile.types) {
    GpuType type{.id = name, .name = name, .use = profile.use};
    add_size(type);
    const auto of_card = card_memory_of_vgpu(name);
    if (!of_card || type.of_mig) return {};
    memory.insert(*of_card);
    for (const std::string& vf : vfs) type.on.push_back({vf, 1});
    types.push_back(std::move(type));
  }
  if (memory.size() != 1) return {};
  Gpu card;
  card.offers_vgpus = true;
  CardRoom room = card_room(card, types, {});
  const auto max = settings_of(offers.config, card_of_vfs).max;
  for (const InstanceCount& limited : max)
    if (to_number<unsigned>(limited.type)) return {};  // an id, of which the name is not known
  for (const GpuType& type : types)
    if (const auto more =
            remaining_of(offers.root, max, card_of_vfs.name, type, offers.host.claimed.claims))
      limit(room, type.id, *more);
  return room;
}

std::optional<CardRoom> room_for_vgpus(const Offers& offers, const Profile& profile,
                                       const PciAddress& card, const std::set<std::string>& vfs) {
  const auto offer = std::find_if(offers.gpus.begin(), offers.gpus.end(), [&](const Offer& other) {
    return other.gpu->parent.address == card;
  });
  if (offer == offers.gpus.end() || !offer->gpu->offers_vgpus)
    return room_by_name(offers, profile,
                        read_identity(offers.root, offers.config, card, offers.cards), vfs);
  if (!offer->unknown.empty()) return {};
  if (traits_of(profile.use).needs_program &&
      std::none_of(offer->types.begin(), offer->types.end(),
                   [&](const GpuType& type) { return type.use == profile.use; }))
    return {};  // the program did not tell
  const std::string& vf = *vfs.begin();
  const Parent part =
      read_identity(offers.root, offers.config, *parse_pci_address(vf), offers.cards);
  return room_within_max(offers, *offer, part, vfs);
}

/// Of so many VFs of a card as have a place for a vGPU of the profile: their card limits how many
/// fit together. Nothing where that is not known.
static std::optional<unsigned> available_vgpus(const Offers& offers, const Profile& profile,
                                               const PciAddress& card,
                                               const std::set<std::string>& vfs) {
  const auto room = room_for_vgpus(offers, profile, card, vfs);
  if (!room) return {};
  return std::min(static_cast<unsigned>(vfs.size()), room_for_first(*room, profile.types));
}

static std::optional<unsigned> available(const Offers& offers, const Profile& profile) {
  if (!gives_pci_devices(profile)) return available_mdevs(offers, profile);
  unsigned count = 0;
  for (const auto& [card, devices] : free_devices(offers, profile)) {
    const auto of_card = traits_of(profile.use).has_types
                             ? available_vgpus(offers, profile, card, devices)
                             : static_cast<unsigned>(devices.size());
    if (!of_card) return {};
    count += *of_card;
  }
  return count;
}

/// One profile as it is listed.
struct ListedProfile {
  std::string use;
  std::vector<std::string> types;
  std::optional<unsigned> available;  ///< nothing where it is not known
  std::optional<Limits> limits;       ///< likewise
};

/// Of a profile with `memory`: as attach would serve it now.
static ListedProfile listed_fraction(const Offers& offers, const Profile& profile) {
  const FractionRequest request = fraction_of(profile);
  const auto gpus = fraction_gpus(offers.root, offers.config, offers.host, request, profile.gpus);
  const FractionChoice choice = fraction_choice(request, gpus);
  const FractionCandidate* const best = best_fraction(choice);
  ListedProfile listed{profile.any_use ? "" : std::string(use_word(profile.use)), {}, 0, {}};
  if (may_have_unknown(request, gpus)) listed.available.reset();
  if (!best) return listed;
  listed.use = use_word(best->use);
  if (!best->type.empty()) listed.types = {best->type};
  listed.limits = best->limits;
  const SettledRequest served = settled(*best);
  for (const FractionCandidate& candidate : choice.candidates)
    if (listed.available && settled(candidate) == served) *listed.available += candidate.available;
  return listed;
}

/// As far as it matters for how hard its types are limited.
static FractionGpu sizes_of(const Offers& offers, const Offer& offer) {
  return {.name = offer.gpu->parent.name,
          .memory_mib = memory_of(offers.root, *offer.gpu, offer.types, {}, {}).total_mib,
          .types = offer.types};
}

/// What is so of all VFs that a domain may be assigned; nothing while none is enabled.
static std::optional<Limits> limits_of_vfs(const Offers& offers, const Profile& profile) {
  std::map<PciAddress, std::vector<VfProfile>> cards;
  std::optional<Limits> found;
  for (const PoolDevice& device : pool_of({offers.root, offers.config, profile, offers.cards})) {
    const auto& pf = device.physical_function;
    if (!pf || !device.exists) continue;
    auto card = cards.find(*pf);
    if (card == cards.end()) card = cards.emplace(*pf, vf_profiles(offers.root, *pf)).first;
    const Limits limits = limits_of_vf(card->second, device.address).limits;
    found = found ? weaker(*found, limits) : limits;
  }
  return found;
}

/// Of a profile of types those of the first that a GPU has.
static std::optional<Limits> limits_of(const Offers& offers, const Profile& profile) {
  if (traits_of(profile.use).is_whole_card) return limits_of_whole();
  if (traits_of(profile.use).has_vf_quota) return limits_of_vfs(offers, profile);
  for (const std::string& word : profile.types)
    for (const Offer& offer : offers.gpus)
      for (const GpuType& type : offer.types)
        if (type.use == profile.use &&
            (type.id == word || (traits_of(type.use).has_named_types && type.name == word)))
          return limits_of(type, sizes_of(offers, offer));
  return {};
}

static ListedProfile listed(const Offers& offers, const Profile& profile) {
  if (profile.memory_mib) return listed_fraction(offers, profile);
  return {std::string(use_word(profile.use)), profile.types, available(offers, profile),
          limits_of(offers, profile)};
}

static std::vector<std::string> row_of(const Profile& profile, const ListedProfile& listed) {
  std::string types;
  for (const std::string& type : listed.types) types += (types.empty() ? "" : ", ") + type;
  return {profile.name,
          listed.use,
          types,
          listed.limits ? to_string(listed.limits->memory) : "",
          listed.limits ? to_string(listed.limits->compute) : "",
          listed.available ? std::to_string(*listed.available) : ""};
}

static json json_of(const Profile& profile, const ListedProfile& listed, bool is_known) {
  return {{"name", profile.name},
          {"use", listed.use.empty() ? json(nullptr) : json(listed.use)},
          {"types", listed.types},
          {"limits", listed.limits ? limits_json(*listed.limits) : json(nullptr)},
          {"available", is_known && listed.available ? json(*listed.available) : json(nullptr)}};
}

int list_profiles_command(const Settings& settings) {
  const Config config = require_config(settings.root);
  KnownCards cards;
  const Offers offers = read_offers(settings.root, config, cards);
  // With a claim that cannot be read no domain is assigned a GPU.
  const bool is_known = offers.host.claimed.unreadable.empty();
  std::vector<std::vector<std::string>> rows;
  json profiles = json::array();
  for (const Profile& profile : config.profiles) {
    ListedProfile found = listed(offers, profile);
    if (!is_known) found.available = 0;
    rows.push_back(row_of(profile, found));
    profiles.push_back(json_of(profile, found, is_known));
  }
  if (settings.json)
    print_json(settings.json, "list", json{{"profiles", std::move(profiles)}});
  else if (rows.empty())
    print_lines("No profile in /etc/gpuward/gpuward.conf yet.\n");
  else
    print_lines(format_table(
        {"PROFILE", "USE", "TYPES", "MEMORY LIMIT", "COMPUTE LIMIT", "AVAILABLE"}, rows));
  return report_unreadable(offers.host.claimed);
}

}  // namespace gpuward
