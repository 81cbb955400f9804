// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/defragment.hpp"

#include <algorithm>

#include "allocation/pool.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "cli/attach_requests.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/profile_offers.hpp"
#include "cli/table.hpp"
#include "config/gpu_settings.hpp"
#include "kinds/type_limit.hpp"
#include "libvirt/client.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

using nlohmann::json;

std::string command_of(const DeviceMove& move, bool only) {
  return "gpuward reassign " + shell_word(move.name) + (only ? "" : " --gpu " + move.alias) +
         " --to " + to_string(move.to);
}

static std::string count_of(unsigned count, const RoomPlan& plan) {
  return (plan.is_at_most ? "at most " : "") + std::to_string(count) + " of " +
         std::to_string(plan.wanted) + " more of " + plan.title;
}

static std::string summary(const RoomPlan& plan) {
  const auto& [available, possible, moves, hindrances] = plan.devices;
  if (moves.empty())
    return "Room for " + count_of(possible, plan) +
           (possible == plan.wanted ? "; no domain has to be reassigned.\n"
                                    : "; reassigning shut-off domains makes no more.\n");
  return "Room for " + count_of(available, plan) + ", and for " +
         (plan.is_at_most ? "at most " : "") + std::to_string(possible) + " after:\n";
}

std::string text_of(const RoomPlan& plan) {
  std::string text = summary(plan);
  for (const PciAddress& card : plan.unknown)
    text += "Capacity of " + to_string(card) + " is not known: each of its free VFs is counted.\n";
  for (const std::string& command : plan.commands) text += command + '\n';
  std::vector<std::vector<std::string>> rows;
  for (const Hindrance& each : plan.devices.hindrances)
    rows.push_back({to_string(each.device), each.why});
  if (!rows.empty()) text += '\n' + format_table({"DEVICE", "NOT AVAILABLE"}, rows);
  rows.clear();
  for (const RoomUser& each : plan.users)
    rows.push_back({each.user, each.frees ? std::to_string(*each.frees) : ""});
  if (!rows.empty()) text += '\n' + format_table({"HAS INSTANCES", "WOULD FREE"}, rows);
  return text;
}

static json addresses_of(const std::vector<PciAddress>& devices) {
  json list = json::array();
  for (const PciAddress& device : devices) list.push_back(to_string(device));
  return list;
}

json json_of(const RoomPlan& plan) {
  json moves = json::array(), devices = json::array(), users = json::array();
  for (size_t at = 0; at < plan.devices.moves.size(); ++at) {
    const DeviceMove& move = plan.devices.moves[at];
    moves.push_back({{"domain", {{"name", move.name}, {"uuid", to_string(move.domain)}}},
                     {"alias", move.alias},
                     {"from", to_string(move.from)},
                     {"to", to_string(move.to)},
                     {"command", plan.commands[at]}});
  }
  for (const Hindrance& each : plan.devices.hindrances)
    devices.push_back({{"device", to_string(each.device)},
                       {"reason", each.why},
                       {"domain", each.domain ? json(to_string(*each.domain)) : json(nullptr)}});
  for (const RoomUser& each : plan.users)
    users.push_back(
        {{"user", each.user}, {"frees", each.frees ? json(*each.frees) : json(nullptr)}});
  return {{"wanted", plan.wanted},
          {"available", plan.devices.available},
          {"possible", plan.devices.possible},
          {"at_most", plan.is_at_most},
          {"unknown_capacity", addresses_of(plan.unknown)},
          {"moves", std::move(moves)},
          {"not_available", std::move(devices)},
          {"users", std::move(users)}};
}

// ---- PCI devices

/// All that are shut off: a GPU that one has by hand is assigned, too.
static std::vector<PoolDomain> shut_off(const Settings& settings, const Config& config,
                                        RoomPlan& plan) {
  const DomainStore store(settings.root, settings.connect);
  std::vector<PoolDomain> off;
  for (const DomainStore::Found& found : store.all()) {
    if (found.active || !found.persistent) continue;
    try {
      off.push_back(pool_domain(config, parse_domain(store.inactive_xml(found.uuid))));
    } catch (const Error& error) {
      log::warning(found.name, error.what());
      plan.is_unread = true;
    }
    if (store.has_managed_save(found.uuid))
      log::warning(found.name,
                   "has a managed save; its next start uses the devices that it was saved with");
  }
  std::sort(off.begin(), off.end(),
            [](const PoolDomain& one, const PoolDomain& other) { return one.name < other.name; });
  return off;
}

static DevicesInUse by_hand_of(const Root& root, const std::vector<PoolDomain>& off) {
  DevicesInUse by_hand;
  for (const PoolDomain& domain : off) {
    DevicesInUse own;
    add_own_devices(root, domain.uuid, domain.by_hand, domain.mdevs_by_hand, own);
    for (auto& [device, user] : own)
      by_hand.emplace(device,
                      User{.domain = domain.uuid,
                           .what = "assigned by hand to shut-off " + domain_title(domain.name),
                           .by = user.by});
  }
  return by_hand;
}

/// A card with vGPUs, a profile that may have them there, and its VFs that no process uses.
struct VgpuCard {
  const Profile* profile;
  std::set<std::string> vfs;
};

static std::map<PciAddress, VgpuCard> vgpu_cards(const Offers& offers, const Profile& wanted,
                                                 const DevicePools& pools,
                                                 const std::vector<PoolDomain>& off) {
  std::map<PciAddress, VgpuCard> cards;
  const auto add = [&](const Profile& profile) {
    if (!traits_of(profile.use).has_types) return;
    for (const PoolDevice& device : pools.at(title_of(profile)))
      if (device.physical_function && !find_user(device, offers.taken))
        cards.emplace(*device.physical_function, VgpuCard{&profile, {}})
            .first->second.vfs.insert(to_string(device.address));
  };
  add(wanted);
  for (const PoolDomain& domain : off)
    for (const PoolGpu& gpu : domain.gpus) add(gpu.profile);
  return cards;
}

/// `plan` names the cards of which it is not known.
static std::map<PciAddress, CardRoom> rooms_of(const Offers& offers,
                                               const std::map<PciAddress, VgpuCard>& cards,
                                               RoomPlan& plan) {
  std::map<PciAddress, CardRoom> rooms;
  for (const auto& [address, card] : cards)
    if (auto room = room_for_vgpus(offers, *card.profile, address, card.vfs))
      rooms.emplace(address, std::move(*room));
    else
      plan.unknown.push_back(address);
  return rooms;
}

static bool has_any_type(const CardRoom& room, const Profile& profile) {
  return std::any_of(profile.types.begin(), profile.types.end(),
                     [&](const std::string& type) { return has_type(room, type); });
}

/// Whether a shut-off domain is to have a vGPU of which the card does not list the type now, so
/// that what it takes is not known.
static bool has_unlisted_vgpu(const std::map<PciAddress, CardRoom>& rooms, const DevicePools& pools,
                              const std::vector<PoolDomain>& off) {
  for (const PoolDomain& domain : off)
    for (const PoolGpu& gpu : domain.gpus) {
      const auto pool = pools.find(title_of(gpu.profile));
      const PoolDevice* const at =
          pool == pools.end() ? nullptr : find_device(pool->second, gpu.at);
      if (!at || !at->physical_function || !traits_of(gpu.profile.use).has_types) continue;
      const auto room = rooms.find(*at->physical_function);
      if (room != rooms.end() && !has_any_type(room->second, gpu.profile)) return true;
    }
  return false;
}

static std::map<PciAddress, unsigned> iommu_groups(const Root& root) {
  std::map<PciAddress, unsigned> groups;
  for (const PciAddress& address : pci_addresses(root))
    if (const auto device = find_pci_device(root, address); device && device->iommu_group)
      groups.emplace(address, *device->iommu_group);
  return groups;
}

static bool has_one_gpu(const std::vector<PoolDomain>& off, const Uuid& domain) {
  return std::any_of(off.begin(), off.end(), [&](const PoolDomain& each) {
    return each.uuid == domain && each.gpus.size() == 1;
  });
}

static void plan_devices(const Settings& settings, const Config& config, const Offers& offers,
                         const std::vector<PoolDomain>& off, const Profile& profile,
                         RoomPlan& plan) {
  const auto pool = pool_of({settings.root, config, profile, offers.cards});
  if (pool.empty())
    throw Error(title_of(profile),
                "no device on this host: " + explain_empty_pool(settings.root, config, profile),
                "run: gpuward list gpus");
  DevicePools pools = pools_of(settings.root, config, off, offers.cards.asked);
  pools[title_of(profile)] = pool;
  const auto rooms = rooms_of(offers, vgpu_cards(offers, profile, pools, off), plan);
  plan.is_at_most = !plan.unknown.empty() || has_unlisted_vgpu(rooms, pools, off);
  plan.devices = defragment({profile, pools, off, offers.taken, by_hand_of(settings.root, off),
                             rooms, iommu_groups(settings.root)},
                            plan.wanted);
  for (const DeviceMove& move : plan.devices.moves)
    plan.commands.push_back(command_of(move, has_one_gpu(off, move.domain)));
}

// ---- mdevs

static std::string user_of(const GpuInstance& instance, const std::string& card) {
  if (!instance.domain.empty()) return domain_title(instance.domain);
  if (instance.state == "provisioned") return "provisioned on " + card;
  return "instance " + instance.name + " (" + instance.state + ")";
}

/// How many more of each type [gpu] max of the card permits.
static std::map<std::string, unsigned> within_max(const Offers& offers, const Offer& offer,
                                                  const Profile& profile) {
  std::map<std::string, unsigned> more;
  for (const Parent& parent : offer.parents) {
    if (!serves(offers.config, profile, parent)) continue;
    const auto max = settings_of(offers.config, parent).max;
    for (const GpuType& type : offer.types)
      if (const auto remaining = remaining_of(offers.root, max, offer.gpu->parent.name, type,
                                              offers.host.claimed.claims))
        more[type.id] = *remaining;
  }
  return more;
}

static std::vector<SharedCard> shared_cards(const Offers& offers, const Profile& profile) {
  std::vector<SharedCard> cards;
  const auto uses = use_of_gpus(offers.root, offers.host.gpus, offers.host.instances);
  for (const Offer& offer : offers.gpus) {
    auto room = room_for_mdevs(offers, offer, profile);
    if (!room) continue;
    SharedCard card{std::move(*room)};
    const std::string& name = offer.gpu->parent.name;
    for (const size_t at : uses.at(name).at) {
      const GpuInstance& instance = offers.host.instances[at];
      if (!is_mediated(instance.use) || !instance.exists) continue;
      const std::string user = user_of(instance, name);
      card.types[user].push_back(instance.instance.type);
      if (instance.domain.empty()) card.not_in_max.insert(user);
    }
    card.within_max = within_max(offers, offer, profile);
    cards.push_back(std::move(card));
  }
  return cards;
}

static void plan_mdevs(const Offers& offers, const Profile& profile, RoomPlan& plan) {
  const auto cards = shared_cards(offers, profile);
  if (cards.empty())
    throw Error(title_of(profile), "no GPU of this host can have an instance of it",
                "run: gpuward list types");
  unsigned count = 0;
  for (const SharedCard& card : cards) count += room_for_first(card.room, profile.types);
  plan.devices.available = plan.devices.possible = std::min(count, plan.wanted);
  if (count < plan.wanted) plan.users = room_users(cards, profile.types);
}

int defragment_command(const Settings& settings, const std::string& word) {
  const Config config = require_config(settings.root);
  KnownCards cards;
  const WantedGpus wanted = require_requests(settings, config, {word}, cards.asked).front();
  const Profile& profile = wanted.profile;
  if (profile.memory_mib)
    throw Error(in_quotes(word), "a request by memory may be served in several ways",
                "run: gpuward fit " + std::to_string(*profile.memory_mib) + "MiB");
  Config counted = config;
  if (!profile.is_configured) counted.profiles.push_back(profile);
  RoomPlan plan{title_of(profile), wanted.count, {}};
  const auto off =
      gives_pci_devices(profile) ? shut_off(settings, config, plan) : std::vector<PoolDomain>();
  for (const PoolDomain& domain : off)
    for (const PoolGpu& gpu : domain.gpus) counted.profiles.push_back(gpu.profile);
  const Offers offers = read_offers(settings.root, counted, cards);
  if (!offers.host.claimed.unreadable.empty()) return report_unreadable(offers.host.claimed);
  if (gives_pci_devices(profile))
    plan_devices(settings, config, offers, off, profile, plan);
  else
    plan_mdevs(offers, profile, plan);
  if (settings.json)
    print_json(settings.json, "plan", json_of(plan));
  else
    print_lines(text_of(plan));
  return plan.devices.possible == plan.wanted && !plan.is_unread ? 0 : 1;
}

}  // namespace gpuward
