// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provision/provision.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/kernel_write.hpp"
#include "domain/domain.hpp"
#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "kinds/mdev.hpp"
#include "state/claim_store.hpp"
#include "state/paths.hpp"

namespace gpuward {

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
  return plan_host(root, config, read_host(root, config));
}

ProvisionPlan plan_host(const Root& root, const Config& config, const Host& host) {
  ProvisionView view = scan_host(root, config, host);
  view.of_requests = instances_of_requests(host.claimed.claims);
  ProvisionPlan plan = plan_provision(config, view);
  if (plan.remove.empty()) return plan;
  view.in_use = users_of(root, host.claimed, plan.remove);
  return view.in_use.empty() ? plan : plan_provision(config, view);
}

/// Why it is not removed; "" when it is. With the host's lock no domain can claim it meanwhile; who
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
