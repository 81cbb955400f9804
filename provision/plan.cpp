// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provision/plan.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/joined.hpp"
#include "mdev/provisioned.hpp"

namespace gpuward {

static bool offers(const ProvisionView::MdevParent& gpu, const std::string& type) {
  return std::find(gpu.types.begin(), gpu.types.end(), type) != gpu.types.end();
}

static std::string title(const Instance& instance) {
  return "instance " + to_string(instance.uuid) + " on " + instance.parent;
}

std::string not_removed(const Instance& instance, const std::string& why) {
  return title(instance) + ": no longer configured, not removed: " + why;
}

using ByUuid = std::map<Uuid, const Instance*>;

/// A plan being made.
struct Planning {
  const Config& config;
  const ProvisionView& view;
  std::map<std::string, CardRoom> rooms;
  ByUuid existing{};
  std::set<std::string> parents_in_use{};  ///< with an instance that stays
  std::set<Uuid> wanted{};
  ProvisionPlan plan{};

  CardRoom* room_of(const ProvisionView::MdevParent& parent) {
    const auto found = rooms.find(parent.card);
    return found == rooms.end() ? nullptr : &found->second;
  }
};

/// Whether it is to be created; what keeps it from that is an error.
static bool is_to_create(Planning& planning, const Instance& wanted) {
  planning.wanted.insert(wanted.uuid);
  const std::string what =
      "instance " + to_string(wanted.uuid) + " (" + wanted.type + " on " + wanted.parent + ")";
  if (const auto found = planning.existing.find(wanted.uuid); found != planning.existing.end()) {
    const Instance& there = *found->second;
    if (there.parent != wanted.parent || (there.type != wanted.type && !there.type.empty()))
      planning.plan.errors.push_back(what + ": UUID already exists with type " + there.type +
                                     " on " + there.parent + "; remove that instance");
    return false;
  }
  if (!planning.view.mdevctl.contains({wanted.parent, wanted.uuid})) return true;
  planning.plan.errors.push_back(what + ": defined in mdevctl; run: mdevctl undefine --uuid " +
                                 to_string(wanted.uuid));
  return false;
}

static std::string too_many(const std::string& card, const InstanceCount& count, unsigned left,
                            const std::string& why) {
  return card + ": " + std::to_string(left) + " of " + std::to_string(count.count) +
         " instances of " + count.type + " cannot be created: " + why;
}

/// Why the card has room for no more of the type.
static std::string full(const CardRoom& room, const std::string& type) {
  return reason_full(room, type) + "; reduce instances in the [gpu] section";
}

/// Adds it to the plan, unless the kernel surely refuses it: how much room is left on a card is not
/// known in full of each driver.
static bool plan_creation(Planning& planning, CardRoom* room, const Instance& instance) {
  if (room && is_surely_full(*room, instance.type)) return false;
  if (room) take_anyway(*room, instance.type);
  planning.plan.create.push_back(instance);
  return true;
}

/// Adds what this GPU shall have to the plan.
static void plan_gpu(Planning& planning, const ProvisionView::MdevParent& gpu) {
  ProvisionPlan& plan = planning.plan;
  const GpuSettings settings = settings_of(planning.config, gpu.parent);
  for (const InstanceCount& count : settings.instances) {
    if (!offers(gpu, count.type)) {
      if (settings.instances_by_name)
        plan.errors.push_back(gpu.parent.name + " does not support type " + count.type +
                              "; supported: " + (gpu.types.empty() ? "none" : joined(gpu.types)));
      continue;
    }
    CardRoom* const room = planning.room_of(gpu);
    unsigned left = 0;
    for (unsigned number = 0; number < count.count; ++number) {
      const Instance instance{provisioned_uuid(gpu.parent.name, count.type, number),
                              gpu.parent.name, count.type};
      if (!is_to_create(planning, instance)) continue;
      if (!plan_creation(planning, room, instance)) ++left;
    }
    if (left > 0)
      plan.errors.push_back(too_many(gpu.parent.name, count, left, full(*room, count.type)));
  }
}

using Card = std::vector<const ProvisionView::MdevParent*>;

/// Adds at most `left` instances of the type on VFs of the card: those that exist, or new ones on
/// VFs without an instance. Returns how many could not be added.
static unsigned plan_on_vfs(Planning& planning, const Card& vfs, const std::string& type,
                            bool that_exist, unsigned left, std::set<std::string>& used) {
  const auto has_instance = [&](const std::string& parent) {
    return planning.parents_in_use.contains(parent);
  };
  for (const ProvisionView::MdevParent* const vf : vfs) {
    const std::string& name = vf->parent.name;
    if (left == 0 || used.contains(name) || !offers(*vf, type)) continue;
    const Instance instance{provisioned_uuid(name, type, 0), name, type};
    if (planning.existing.contains(instance.uuid) != that_exist) continue;
    CardRoom* const room = planning.room_of(*vf);
    if (!that_exist && (has_instance(name) || (room && is_surely_full(*room, type)))) continue;
    --left;
    used.insert(name);
    if (is_to_create(planning, instance)) plan_creation(planning, room, instance);
  }
  return left;
}

/// The same for a card whose VFs are the parents, with one instance each: "T:2" is two of them.
/// Those that exist stay; others are created on VFs that have none.
static void plan_card(Planning& planning, const Card& vfs) {
  const Parent& first = vfs.front()->parent;
  const GpuSettings settings = settings_of(planning.config, first);
  std::set<std::string> used;
  for (const InstanceCount& count : settings.instances) {
    const bool is_offered = std::any_of(vfs.begin(), vfs.end(),
                                        [&](const auto* vf) { return offers(*vf, count.type); });
    if (!is_offered && !settings.instances_by_name) continue;
    unsigned left = plan_on_vfs(planning, vfs, count.type, true, count.count, used);
    left = plan_on_vfs(planning, vfs, count.type, false, left, used);
    if (left == 0) continue;
    const CardRoom* const room = planning.room_of(*vfs.front());
    const bool is_full = is_offered && room && is_surely_full(*room, count.type);
    planning.plan.errors.push_back(
        too_many(to_string(*first.physical_function), count, left,
                 is_full ? full(*room, count.type) : "no other VF supports the type"));
  }
}

/// By its address or a pattern of addresses, which does not speak of its card.
static bool is_section_of_vf(const GpuSection& section, const GpuId& vf) {
  const GpuSelector& selector = section.selector;
  if (selector.by != GpuSelector::By::address && selector.by != GpuSelector::By::addresses)
    return false;
  const GpuId card{.address = vf.physical_function};
  return selects_itself(selector, vf) && !selects_itself(selector, card);
}

/// VFs by their card, but for those that have a section of their own.
static std::map<PciAddress, Card> cards_with_vfs(const Config& config, const ProvisionView& view) {
  std::map<PciAddress, Card> cards;
  for (const ProvisionView::MdevParent& gpu : view.parents) {
    const bool has_section = std::any_of(
        config.gpus.begin(), config.gpus.end(),
        [&](const GpuSection& section) { return is_section_of_vf(section, gpu.parent); });
    if (gpu.parent.physical_function && !has_section)
      cards[*gpu.parent.physical_function].push_back(&gpu);
  }
  return cards;
}

/// Of instances that gpuward created, those that are not configured.
static void plan_removal(Planning& planning) {
  const ProvisionView& view = planning.view;
  ProvisionPlan& plan = planning.plan;
  ProvisionedUuids provisioned;
  for (const Instance& instance : view.instances) {
    if (planning.wanted.contains(instance.uuid) || view.of_requests.contains(instance.uuid) ||
        !provisioned.contains(instance))
      continue;
    const auto unexpected = view.unexpected_parents.find(instance.parent);
    if (unexpected != view.unexpected_parents.end())
      plan.kept.push_back(title(instance) + ": not removed: " + unexpected->second);
    else if (view.mdevctl.contains({instance.parent, instance.uuid}))
      plan.kept.push_back(title(instance) +
                          ": not configured here, not removed: defined in mdevctl");
    else if (const auto user = view.in_use.find(instance.uuid); user != view.in_use.end())
      plan.kept.push_back(not_removed(instance, user->second));
    else
      plan.remove.push_back(instance);
  }
}

/// With this room on the cards, and without these instances.
static ProvisionPlan plan_with(const Config& config, const ProvisionView& view,
                               std::map<std::string, CardRoom> rooms,
                               const std::set<Uuid>& removed) {
  Planning planning{config, view, std::move(rooms)};
  planning.plan.errors = view.unexpected;
  planning.plan.vfs = plan_vfs(config, view.pfs, planning.plan.errors);
  for (const Instance& instance : view.instances) {
    planning.existing[instance.uuid] = &instance;
    if (!removed.contains(instance.uuid)) planning.parents_in_use.insert(instance.parent);
  }
  std::set<const ProvisionView::MdevParent*> of_cards;
  for (const auto& [card, vfs] : cards_with_vfs(config, view)) {
    of_cards.insert(vfs.begin(), vfs.end());
    plan_card(planning, vfs);
  }
  for (const ProvisionView::MdevParent& gpu : view.parents)
    if (!of_cards.contains(&gpu)) plan_gpu(planning, gpu);
  plan_removal(planning);
  return std::move(planning.plan);
}

ProvisionPlan plan_provision(const Config& config, const ProvisionView& view) {
  ProvisionPlan plan = plan_with(config, view, view.rooms, {});
  if (plan.remove.empty()) return plan;
  // What is removed makes room before anything is created.
  std::map<std::string, CardRoom> rooms = view.rooms;
  std::map<std::string_view, std::string_view> card_of;
  for (const ProvisionView::MdevParent& parent : view.parents)
    card_of[parent.parent.name] = parent.card;
  std::set<Uuid> removed;
  for (const Instance& instance : plan.remove) {
    removed.insert(instance.uuid);
    const auto room = rooms.find(std::string(card_of[instance.parent]));
    if (room != rooms.end() && !give_back(room->second, instance.type)) rooms.erase(room);
  }
  return plan_with(config, view, std::move(rooms), removed);
}

}  // namespace gpuward
