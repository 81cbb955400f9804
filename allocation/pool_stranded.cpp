// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/pool_stranded.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "allocation/counted_types.hpp"
#include "allocation/stranded.hpp"
#include "kinds/kind.hpp"
#include "kinds/types.hpp"
#include "pci/card_facts.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

namespace {

struct VgpuCard {
  std::vector<PoolDevice*> devices{};  ///< VFs on which one of the profile can be created
  Parent part{};                       ///< one of them
  std::vector<GpuType> types{};        ///< that can be created
};

using VgpuCards = std::map<PciAddress, VgpuCard>;

VgpuCards cards_with_room(std::vector<PoolDevice>& pool) {
  VgpuCards cards;
  for (PoolDevice& device : pool)
    if (device.physical_function && device.exists && !device.has_vgpu && !device.is_full)
      cards[*device.physical_function].devices.push_back(&device);
  return cards;
}

Gpu gpu_of(const PciAddress& address) {
  Gpu gpu;
  gpu.parent.name = to_string(address);
  gpu.parent.address = address;
  gpu.offers_vgpus = true;
  return gpu;
}

/// Of one VF, as all of a card list the same.
void read_types(const PoolQuery& query, const PciAddress& address, VgpuCard& card) {
  card.part = read_identity(query.root, query.config, card.devices.front()->address, query.cards);
  Gpu gpu = gpu_of(address);
  for (const PoolDevice* const device : card.devices) gpu.vfs.push_back(device->address);
  std::string unknown;
  card.types = kind_of(query.profile.use).types(query.root, gpu, nullptr, true, unknown);
  for (GpuType& type : card.types) {
    type.on.clear();
    for (const PoolDevice* const device : card.devices)
      type.on.push_back({to_string(device->address), 1});
  }
}

/// A card lists no type that does not fit beside what it has, which may be of such a type: cards of
/// its model tell how large that is.
void add_types_of_model(const VgpuCards& cards, VgpuCard& card) {
  for (const auto& [address, other] : cards) {
    if (std::pair(other.part.vendor, other.part.device) !=
        std::pair(card.part.vendor, card.part.device))
      continue;
    for (const GpuType& type : other.types) {
      const bool is_listed = std::any_of(card.types.begin(), card.types.end(),
                                         [&](const GpuType& one) { return one.id == type.id; });
      if (is_listed) continue;
      card.types.push_back(type);
      card.types.back().on.clear();
    }
  }
}

std::vector<std::string> present_on(const PoolQuery& query, const PciAddress& address,
                                    const VgpuCard& card) {
  Gpu gpu = gpu_of(address);
  for (const PciAddress& vf : virtual_functions(query.root, address))
    if (std::none_of(card.devices.begin(), card.devices.end(),
                     [&](const PoolDevice* device) { return device->address == vf; }))
      gpu.vfs.push_back(vf);
  return kind_of(query.profile.use).existing_types(query.root, gpu);
}

/// Of profiles that leave the use open what they are where the pool's kind serves them.
Config with_use(Config config, Use use) {
  for (Profile& profile : config.profiles)
    if (profile.any_use) profile.use = use;
  return config;
}

CardRoom room_of(const PoolQuery& query, const Config& config, const PciAddress& address,
                 const VgpuCard& card) {
  CardRoom room = card_room(gpu_of(address), card.types, present_on(query, address, card));
  const auto counts = counted_types(
      config, [&](const Profile& profile) { return profile.use == query.profile.use; },
      {&card.part}, card.types);
  for (size_t at = 0; at < counts.size(); ++at) room.types[at].counts = counts[at];
  return room;
}

/// The type that is created: the first of the profile's that can be.
std::string first_type(const Profile& profile, const VgpuCard& card) {
  for (const std::string& wanted : profile.types)
    for (const GpuType& type : card.types)
      if (!type.on.empty() && (type.id == wanted || type.name == wanted)) return type.id;
  return {};
}

}  // namespace

void note_stranded(const PoolQuery& query, std::vector<PoolDevice>& pool) {
  if (!kind_of(query.profile.use).existing_types) return;
  VgpuCards cards = cards_with_room(pool);
  if (cards.size() < 2) return;
  for (auto& [address, card] : cards) read_types(query, address, card);
  VgpuCards with_model = cards;
  const Config config = with_use(query.config, query.profile.use);
  for (auto& [address, card] : with_model) {
    add_types_of_model(cards, card);
    const CardRoom room = room_of(query, config, address, card);
    const int stranded = stranded_by(room, first_type(query.profile, card));
    for (PoolDevice* const device : card.devices) device->stranded_mib = stranded;
  }
}

}  // namespace gpuward
