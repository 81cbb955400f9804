// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/mdev_rooms.hpp"

#include <algorithm>
#include <tuple>

#include "allocation/counted_types.hpp"
#include "kinds/types.hpp"
#include "mdev/instance.hpp"

namespace gpuward {

std::string card_of(const Parent& parent) {
  return parent.physical_function ? to_string(*parent.physical_function) : parent.name;
}

namespace {

struct MdevCard {
  std::string name;
  std::vector<const Parent*> parents{};
  std::vector<std::string> requested{};  ///< types
};

std::vector<MdevCard> cards_of(const std::vector<Parent>& parents,
                               const std::vector<Candidate>& candidates) {
  std::map<std::string, MdevCard> cards;
  for (const Candidate& candidate : candidates) {
    const std::string& name = card_of(candidate);
    auto& requested = cards.try_emplace(name, MdevCard{name}).first->second.requested;
    if (std::find(requested.begin(), requested.end(), candidate.type) == requested.end())
      requested.push_back(candidate.type);
  }
  for (const Parent& parent : parents)
    if (const auto card = cards.find(card_of(parent)); card != cards.end())
      card->second.parents.push_back(&parent);
  std::vector<MdevCard> found;
  found.reserve(cards.size());
  for (auto& [name, card] : cards) found.push_back(std::move(card));
  return found;
}

Gpu gpu_of(const MdevCard& card) {
  Gpu gpu;
  gpu.parent.name = card.name;
  gpu.mdev_parents.reserve(card.parents.size());
  for (const Parent* const parent : card.parents) gpu.mdev_parents.push_back(parent->name);
  return gpu;
}

// ---- what the cards say

/// Types as a card of this model that lists these ids has them.
using Catalogues =
    std::map<std::tuple<uint16_t, uint16_t, std::vector<std::string>>, std::vector<GpuType>>;

std::vector<GpuType> types_of_card(const Root& root, const MdevCard& card, const Gpu& gpu,
                                   Catalogues& catalogues) {
  const Parent& first = *card.parents.front();
  const auto [known, is_new] =
      catalogues.try_emplace({first.vendor, first.device, type_ids(root, first.name)});
  if (is_new) known->second = catalogue_of(root, gpu);
  return known->second;
}

void count_available(const Root& root, const Gpu& gpu, GpuType& type) {
  for (const std::string& parent : gpu.mdev_parents)
    if (const auto available = available_instances(root, parent, type.id))
      type.on.push_back({parent, available});
}

std::vector<std::string> present_on(const Gpu& gpu, const std::vector<Instance>& instances) {
  std::vector<std::string> present;
  for (const Instance& instance : instances)
    if (std::find(gpu.mdev_parents.begin(), gpu.mdev_parents.end(), instance.parent) !=
        gpu.mdev_parents.end())
      present.push_back(instance.type);
  return present;
}

}  // namespace

std::map<std::string, CardRoom> mdev_rooms(const Root& root, const Config& config,
                                           const std::vector<Parent>& parents,
                                           const std::vector<Candidate>& candidates,
                                           const IsUsable& is_usable) {
  std::map<std::string, CardRoom> rooms;
  Catalogues catalogues;
  const auto instances = list_instances(root);
  for (const MdevCard& card : cards_of(parents, candidates)) {
    if (card.parents.empty()) continue;  // it went
    const Gpu gpu = gpu_of(card);
    auto types = types_of_card(root, card, gpu, catalogues);
    const auto counts = counted_types(
        config, [](const Profile& profile) { return is_mediated(profile.use); },
        {card.parents.begin(), card.parents.end()}, types);
    for (size_t at = 0; at < types.size(); ++at)
      if (counts[at] || is_counted(&card.requested, types[at]))
        count_available(root, gpu, types[at]);
    CardRoom room = card_room(gpu, types, present_on(gpu, instances), is_usable);
    for (size_t at = 0; at < types.size(); ++at) room.types[at].counts = counts[at];
    rooms.emplace(card.name, std::move(room));
  }
  return rooms;
}

}  // namespace gpuward
