// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provision/provision.hpp"

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/joined.hpp"
#include "base/kernel_write.hpp"
#include "domain/domain.hpp"
#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "kinds/mdev.hpp"
#include "kinds/types.hpp"
#include "pci/card_facts.hpp"
#include "pci/identity.hpp"
#include "state/claim_store.hpp"
#include "state/paths.hpp"

namespace gpuward {

/// Whether it is what the configuration expects there; the view says what is not.
static bool is_expected(const Root& root, const Config& config, const Parent& device,
                        ProvisionView& view) {
  const Verdict verdict = check_identity(root, config, device);
  if (verdict) return true;
  view.unexpected.push_back(to_string(verdict.reason));
  const std::string why = without_remedy(verdict.reason);
  view.unexpected_parents.emplace(device.name, why);
  if (device.address)
    for (const PciAddress& vf : virtual_functions(root, *device.address))
      view.unexpected_parents.emplace(to_string(vf), why);
  return false;
}

/// Types that the configuration has instances of.
static std::vector<std::string> configured_types(const Config& config) {
  std::vector<std::string> types;
  for (const GpuSection& section : config.gpus)
    for (const InstanceCount& count : section.instances) types.push_back(count.type);
  return types;
}

static void add_rooms(const Root& root, const Config& config, ProvisionView& view) {
  const auto wanted = configured_types(config);
  if (wanted.empty()) return;
  std::map<std::string, std::vector<std::string>> present;  // types by parent
  for (const Instance& instance : view.instances) present[instance.parent].push_back(instance.type);
  std::map<std::string, std::string> card_of;
  for (const Gpu& gpu : read_gpus(root, config)) {
    std::vector<std::string> on_card;
    for (const std::string& parent : gpu.mdev_parents) {
      card_of[parent] = gpu.parent.name;
      const auto& types = present[parent];
      on_card.insert(on_card.end(), types.begin(), types.end());
    }
    if (!gpu.serves_mdevs()) continue;
    view.rooms[gpu.parent.name] = card_room(gpu, types_of(root, gpu, &wanted), std::move(on_card));
  }
  for (ProvisionView::MdevParent& parent : view.parents) parent.card = card_of[parent.parent.name];
}

ProvisionView scan_host(const Root& root, const Config& config) {
  ProvisionView view;
  KnownCards cards;
  for (const std::string& name : parent_names(root)) {
    auto parent = find_parent(root, config, name, cards);
    if (!parent || !is_expected(root, config, *parent, view)) continue;
    auto types = list_directory(root.sys("class/mdev_bus/") + name + "/mdev_supported_types");
    view.parents.push_back({std::move(*parent), std::move(types)});
    for (const std::string& file : list_directory(mdevctl_directory(root, name)))
      if (const auto uuid = parse_uuid(file)) view.mdevctl.emplace(name, *uuid);
  }
  for (PhysicalFunction& pf : physical_functions(root)) {
    read_card_facts(root, config, pf.identity, cards);
    if (is_expected(root, config, pf.identity, view)) view.pfs.push_back(std::move(pf));
  }
  view.instances = list_instances(root);
  add_rooms(root, config, view);
  return view;
}

static bool offers(const ProvisionView::MdevParent& gpu, const std::string& type) {
  return std::find(gpu.types.begin(), gpu.types.end(), type) != gpu.types.end();
}

static std::string title(const Instance& instance) {
  return "instance " + to_string(instance.uuid) + " on " + instance.parent;
}

static std::string not_removed(const Instance& instance, const std::string& why) {
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

void skip_vfs_in_use(const Root& root, ProvisionPlan& plan) {
  std::erase_if(plan.vfs, [&](const VfChange& change) {
    const std::string user = use_of_vfs(root, change.pf);
    if (!user.empty()) plan.kept.push_back(not_changed(change, user));
    return !user.empty();
  });
}

/// "" when no domain has claimed the instance: its author may have written it into the XML by hand.
/// What claims that cannot be read name is not known.
static std::string claim_of(const ClaimedDevices& claimed, const Uuid& instance) {
  if (!claimed.unreadable.empty()) return to_string(claimed.unreadable.front());
  const auto found = claimed.instances.find(instance);
  return found == claimed.instances.end() ? "" : found->second.what;
}

/// "" when no domain and no process uses the instance.
static std::string user_of(const ClaimedDevices& claimed, const OpenDevices& open,
                           const Uuid& instance) {
  if (std::string claim = claim_of(claimed, instance); !claim.empty()) return claim;
  try {
    const auto holder = open.holder_of(instance);
    return holder ? "in use by " + to_string(*holder) : "";
  } catch (const Error& error) {
    return error.what();
  }
}

static std::map<Uuid, std::string> users_of(const Root& root, const ClaimedDevices& claimed,
                                            const std::vector<Instance>& instances) {
  const OpenDevices open(root);
  std::map<Uuid, std::string> users;
  for (const Instance& instance : instances)
    if (std::string user = user_of(claimed, open, instance.uuid); !user.empty())
      users.emplace(instance.uuid, std::move(user));
  return users;
}

/// Of each instance that a claim does not name all 1,024 UUIDs that gpuward gives on its parent are
/// made, to see that it is none of them. The UUID of a request's instance is made of its alias,
/// which has no '/' as theirs have (provisioned_uuid).
static std::set<Uuid> instances_of_requests(const std::vector<Claim>& claims) {
  std::set<Uuid> instances;
  for (const Claim& claim : claims)
    for (const ClaimedDevice& device : claim.devices)
      if (is_mediated(device.use) && !is_by_hand(device) &&
          device.instance == instance_uuid(claim.domain, device.alias))
        instances.insert(device.instance);
  return instances;
}

ProvisionPlan plan_host(const Root& root, const Config& config) {
  return plan_host(root, config, claimed_devices(root));
}

ProvisionPlan plan_host(const Root& root, const Config& config, const ClaimedDevices& claimed) {
  ProvisionView view = scan_host(root, config);
  view.of_requests = instances_of_requests(claimed.claims);
  ProvisionPlan plan = plan_provision(config, view);
  if (plan.remove.empty()) return plan;
  view.in_use = users_of(root, claimed, plan.remove);
  return view.in_use.empty() ? plan : plan_provision(config, view);
}

/// Why it is not removed; "" when it is. With the host's lock nobody can claim it meanwhile; who
/// has it open now is not waited for, as others wait for the lock. A removal takes less than a
/// second, and whoever has the lock next then finds its room free. One that is blocked needs no
/// lock once it has left the bus, which it does before it waits for its driver
/// (drivers/base/bus.c, bus_remove_device): no domain finds it then. Before that it may still be
/// claimed.
static std::string remove_unused(const Root& root, const Uuid& instance, Deadlines deadlines) {
  auto lock = Claims(root).lock_host(deadlines.lock_wait());
  if (!lock) return "timed out waiting for another allocation on this host";
  if (std::string claim = claim_of(claimed_devices(root), instance); !claim.empty()) return claim;
  const auto write = deadlines.write_wait();
  const Deadline end = Deadline::in(write);
  deadlines.release = {};
  deadlines.write = std::min<std::chrono::milliseconds>(write, std::chrono::seconds(1));
  KernelChange removal = remove_instance(root, instance, deadlines);
  if (removal.blocked == 0) return std::move(removal.failure);
  while (find_instance(root, instance) && !end.is_over())
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  lock.reset();
  if (wait_until_gone(root, instance, end.at_most(write))) return {};
  return std::move(removal.failure);
}

/// Between two that take long others get the host's lock, which they try to take every 51 ms.
static void remove_planned(const Root& root, const std::vector<Instance>& instances,
                           const Deadlines& deadlines, Provisioned& done) {
  for (const Instance& instance : instances) {
    const std::string reason = remove_unused(root, instance.uuid, deadlines);
    if (reason.empty()) {
      done.removed.push_back(instance);
      continue;
    }
    done.kept.push_back(not_removed(instance, reason));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

static std::string failure(const Instance& instance, const WriteResult& result) {
  const std::string what = instance.type + " on " + instance.parent + ": ";
  if (result.outcome == WriteResult::Outcome::blocked)
    return what + "creation is " + blocked_in_kernel(result.child) + "; check: journalctl -k";
  if (result.outcome == WriteResult::Outcome::unknown)
    return what + "process creating " + to_string(instance.uuid) + " died; check: journalctl -k";
  if (create_failure(result.code) == CreateFailure::no_capacity)
    return what + "no capacity for instance " + to_string(instance.uuid) + " (" +
           errno_text(result.code) + "); reduce the number or shut down a domain that uses one";
  return what + "creating " + to_string(instance.uuid) + " failed: " + errno_text(result.code);
}

/// Where the process that wrote died without a report, the instance itself tells.
static bool is_created(const Root& root, const Instance& instance, const WriteResult& result) {
  if (result.outcome != WriteResult::Outcome::unknown)
    return result.outcome == WriteResult::Outcome::written;
  const auto found = find_instance(root, instance.uuid);
  return found && found->parent == instance.parent && found->type == instance.type;
}

/// The card, of a VF.
static std::string card_of(const Root& root, const std::string& parent) {
  const auto found = find_parent(root, parent);
  return found && found->physical_function ? to_string(*found->physical_function) : parent;
}

/// Without capacity the rest of that card's type is not tried. Returns what that means.
static std::string skip_type(const Root& root, const Instance& failed, const WriteResult& result,
                             const std::vector<Instance>& planned, std::vector<Instance>& left) {
  const std::string card = card_of(root, failed.parent);
  const auto is_like = [&](const Instance& instance) {
    return instance.type == failed.type && card_of(root, instance.parent) == card;
  };
  const auto wanted = std::count_if(planned.begin(), planned.end(), is_like);
  const auto skipped = std::erase_if(left, is_like);
  return card + ": " + std::to_string(skipped) + " of " + std::to_string(wanted) +
         " instances of " + failed.type + " cannot be created: " + errno_text(result.code) +
         "; reduce instances in the [gpu] section or shut down a domain that uses one";
}

/// After another failure the rest of that parent's type is not tried.
static std::string skip_like(const Root& root, const Instance& failed, const WriteResult& result,
                             const std::vector<Instance>& planned, std::vector<Instance>& left) {
  if (result.outcome == WriteResult::Outcome::failed &&
      create_failure(result.code) == CreateFailure::no_capacity)
    return skip_type(root, failed, result, planned, left);
  std::erase_if(left, [&](const Instance& instance) {
    return instance.type == failed.type && instance.parent == failed.parent;
  });
  return failure(failed, result);
}

/// Creates what it can.
static void create_planned(const Root& root, const std::vector<Instance>& planned,
                           const Deadlines& deadlines, Provisioned& done) {
  std::vector<Instance> left = planned;
  while (!left.empty()) {
    std::vector<KernelWrite> writes;
    writes.reserve(left.size());
    for (const Instance& instance : left) writes.push_back(creation(root, instance));
    const auto results = write_in_child(writes, deadlines.write);
    size_t created = 0;
    while (created < results.size() && is_created(root, left[created], results[created])) ++created;
    done.created.insert(done.created.end(), left.begin(),
                        left.begin() + static_cast<std::ptrdiff_t>(created));
    if (created == left.size()) return;
    const Instance failed = left[created];
    left.erase(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(created));
    // The process died after it had created the one before.
    if (results[created].outcome == WriteResult::Outcome::untried) continue;
    done.failed.push_back(skip_like(root, failed, results[created], planned, left));
  }
}

Provisioned provision(const Root& root, const Config& config, const Deadlines& deadlines) {
  make_directories(paths::run(root));
  const auto lock =
      Lock::acquire(paths::locks(root), lock_number::provision, std::chrono::seconds(60));
  if (!lock)
    throw Error({}, "timed out after 60 s waiting for another gpuward-provision",
                "check: journalctl -t gpuward-provision");
  ProvisionPlan plan = plan_host(root, config);
  skip_vfs_in_use(root, plan);
  Provisioned done{
      .vfs = {}, .created = {}, .removed = {}, .kept = plan.kept, .failed = plan.errors};
  for (const VfChange& change : plan.vfs) {
    const std::string why = change_vfs(root, change, deadlines.lock, deadlines.write);
    if (why.empty())
      done.vfs.push_back(change);
    else
      done.failed.push_back(not_changed(change, why));
  }
  remove_planned(root, plan.remove, deadlines, done);
  create_planned(root, plan.create, deadlines, done);
  return done;
}

/// Itself, or a VF of it.
static bool is_parent(const Root& root, const GpuSelector& selector, const std::string& name) {
  if (find_parent(root, name)) return true;
  if (selector.by != GpuSelector::By::address) return false;
  const auto vfs = virtual_functions(root, selector.address);
  return std::any_of(vfs.begin(), vfs.end(), [&](const PciAddress& vf) {
    return find_parent(root, to_string(vf)).has_value();
  });
}

std::vector<std::string> missing_gpus(const Root& root, const Config& config) {
  std::vector<std::string> missing;
  for (const GpuSection& section : config.gpus) {
    if (section.instances.empty() && !section.vfs) continue;
    const GpuSelector& selector = section.selector;
    if (selector.by != GpuSelector::By::name && selector.by != GpuSelector::By::address) continue;
    const std::string name =
        selector.by == GpuSelector::By::name ? selector.name : to_string(selector.address);
    const bool is_there =
        section.vfs ? exists(root.sys("bus/pci/devices/") + name) : is_parent(root, selector, name);
    if (!is_there) missing.push_back(name);
  }
  return missing;
}

}  // namespace gpuward
