// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/prepare.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "allocation/offered_types.hpp"
#include "allocation/placement.hpp"
#include "allocation/pool.hpp"
#include "allocation/quota.hpp"
#include "allocation/request.hpp"
#include "allocation/type_limit.hpp"
#include "base/error.hpp"
#include "base/joined.hpp"
#include "base/kernel_write.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "lifecycle/pci_device_life.hpp"
#include "lifecycle/pci_request.hpp"
#include "lifecycle/release.hpp"
#include "mdev/gpu_settings.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"
#include "pci/identity.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {

namespace {

using State = ClaimedDevice::State;

struct ParentType {
  std::string parent;
  std::string type;
  // NOLINTNEXTLINE(modernize-use-nullptr): the 0 is the compiler's
  auto operator<=>(const ParentType&) const = default;
};

/// One prepare at work.
struct Preparation {
  const Root& root;
  const Config& config;
  const Domain& domain;
  const Deadlines& deadlines;
  const Deadlines& undo_deadlines;
  std::vector<ResolvedRequest> requests;  ///< of the domain
  Claims claims;
  Claim claim;
  std::set<ParentType> refused;  ///< where the kernel said no although it had said there was room
  std::set<std::string> made;    ///< aliases of the devices whose instance is there
  std::vector<std::string> marks{};  ///< files of single use that this prepare has written
  Reason unexpected;                 ///< a GPU that is not the one that [gpu] expects
  DevicesInUse taken{};              ///< by claims, and what this domain has of PCI devices
  std::map<std::string, std::string> unavailable{};  ///< parents and who has them, with the remedy
  bool is_made(const ClaimedDevice& device) const { return made.contains(device.alias); }

  /// The request that the device was claimed for: each that is not by hand has one, a companion
  /// without an alias that of its profile.
  const ResolvedRequest& request_of(const ClaimedDevice& device) const {
    for (const ResolvedRequest& request : requests)
      if (request.alias == gpu_alias(device.alias)) return request;
    for (const ResolvedRequest& request : requests)
      if (request.profile.name == device.profile) return request;
    throw Error(device_name(device), "not requested by the domain");
  }
  const Profile& profile_of(const ClaimedDevice& device) const {
    return request_of(device).profile;
  }

  /// Whether an instance is still to be made; a PCI device has its place in the domain's XML.
  bool needs_instance(const ClaimedDevice& device) const {
    return device.use == Use::mdev && !is_by_hand(device) && !is_made(device);
  }
};

bool is_near(const Preparation& preparation, const Profile& profile, const Parent& parent) {
  DevicePlace place{parent.numa_node};
  if (!preparation.domain.cpus.empty() && parent.address)
    place.cpus = local_cpus(pci_path(preparation.root, *parent.address));
  return is_near(profile.numa, {preparation.domain.numa_nodes, preparation.domain.cpus}, place);
}

/// With what this domain has been placed on it.
std::vector<Claim> with_own(const Preparation& preparation, std::vector<Claim> claims) {
  std::erase_if(claims,
                [&](const Claim& claim) { return claim.domain == preparation.claim.domain; });
  claims.push_back(preparation.claim);
  return claims;
}

/// What of [gpu] max keeps another instance of the type from the card of this parent.
std::optional<ReachedLimit> limit_reached(const Preparation& preparation, const Parent& parent,
                                          const std::string& type,
                                          const std::vector<Claim>& claims) {
  const auto max = settings_of(preparation.config, parent).max;
  const std::string card =
      parent.physical_function ? to_string(*parent.physical_function) : parent.name;
  return reached_limit(preparation.root, max, card, type, claims);
}

std::vector<Candidate> candidates_of(Preparation& preparation, const Profile& profile,
                                     const std::vector<Claim>& others) {
  std::vector<Candidate> candidates;
  const auto claims = with_own(preparation, others);
  preparation.unavailable.clear();
  for (const std::string& name : parent_names(preparation.root)) {
    const auto parent = find_parent(preparation.root, name);
    if (!parent || !serves(preparation.config, profile, *parent)) continue;
    if (const Verdict verdict = check_identity(preparation.root, preparation.config, *parent);
        !verdict) {
      preparation.unexpected = verdict.reason;
      continue;
    }
    const auto user = user_of_parent(preparation.taken, *parent);
    for (unsigned rank = 0; rank < profile.types.size(); ++rank) {
      const std::string& type = profile.types[rank];
      const auto available = available_instances(preparation.root, name, type);
      if (!available || preparation.refused.contains({name, type})) continue;
      const auto limit = limit_reached(preparation, *parent, type, claims);
      if (user)
        preparation.unavailable.emplace(user->what, user->remedy);
      else if (limit)
        preparation.unavailable.emplace(limit->text, "");
      else
        candidates.push_back(
            {name, type, *available, rank, is_near(preparation, profile, *parent),
             parent->physical_function ? to_string(*parent->physical_function) : ""});
    }
  }
  return candidates;
}

bool is_of(const Candidate& candidate, const ClaimedDevice& device) {
  return candidate.parent == device.parent && candidate.type == device.type;
}

/// What `device` takes that the kernel does not count yet.
void subtract(std::vector<Candidate>& candidates, const ClaimedDevice& device) {
  for (Candidate& candidate : candidates)
    if (is_of(candidate, device) && candidate.available > 0) --candidate.available;
}

/// Only root can read the lock. Another user only asks, as `gpuward doctor` does: to that user no
/// domain is worked on.
bool is_worked_on(const Preparation& preparation, const Uuid& domain) try {
  return preparation.claims.is_worked_on(domain);
} catch (const SystemError& error) {
  if (error.code != EACCES || ::geteuid() == 0) throw;
  return false;
}

/// Others that have claimed and not yet created. To be called after available_instances was read:
/// one created in between is then counted by neither, and the kernel has the last word; the other
/// way round it would be counted twice and a domain refused for nothing.
void subtract_pending(const Preparation& preparation, const std::vector<Claim>& others,
                      std::vector<Candidate>& candidates) {
  if (others.empty()) return;
  // One look at all instances: one for each claim would be made while eighty others wait.
  const auto there = instance_names(preparation.root);
  for (const Claim& other : others) {
    if (other.domain == preparation.claim.domain) continue;
    for (const ClaimedDevice& device : other.devices)
      if (device.use == Use::mdev && device.state == State::claimed &&
          !std::binary_search(there.begin(), there.end(), to_string(device.instance)) &&
          is_worked_on(preparation, other.domain))
        subtract(candidates, device);
  }
}

/// Other domains: the claim of this one is on disk already when the kernel has no room.
std::string holders_of_types(const std::vector<Claim>& claims, const Uuid& domain,
                             const Profile& profile) {
  std::set<std::string> names;
  for (const Claim& claim : claims)
    for (const ClaimedDevice& device : claim.devices)
      if (claim.domain != domain &&
          std::find(profile.types.begin(), profile.types.end(), device.type) != profile.types.end())
        names.insert(in_quotes(claim.name));
  return first_three_of(names);
}

std::string unavailable_text(const Preparation& preparation) {
  std::set<std::string> users;
  for (const auto& [user, remedy] : preparation.unavailable) users.insert(user);
  return first_three_of(users);
}

std::string way_to_capacity(const Profile& profile) {
  return profile.is_configured ? "shut one down or add GPUs to [profile " + profile.name + "]"
                               : "shut one of the domains down";
}

/// All that have its types are in use in another way than by mdevs.
[[noreturn]] void throw_unavailable(const Preparation& preparation, const ClaimedDevice& device,
                                    const Profile& profile) {
  std::string remedy;
  for (const auto& [user, way_out] : preparation.unavailable)
    if (remedy.empty()) remedy = way_out;
  throw InUse(gpu_title(device.alias),
              "no GPU of " + title_of(profile) + " is available: " + unavailable_text(preparation),
              remedy.empty() ? way_to_capacity(profile) : remedy);
}

/// What attach would settle for the GPU now, where that is not what it settled: the driver of the
/// GPUs has changed since.
std::optional<SettledRequest> settled_otherwise(const Preparation& preparation,
                                                const ClaimedDevice& device) {
  for (const GpuRequest& gpu : preparation.domain.requests) {
    if (gpu.alias != device.alias || !gpu.settled) continue;
    auto now = settle_type(offered_types(preparation.root, preparation.config,
                                         read_gpus(preparation.root, preparation.config))
                               .types,
                           gpu.profile);
    if (now && now != gpu.settled) return now;
  }
  return {};
}

[[noreturn]] void throw_no_type(const Preparation& preparation, const ClaimedDevice& device,
                                const Profile& profile, const std::string& types) {
  const std::string title = gpu_title(device.alias);
  const std::string problem = "no GPU allowed by " + title_of(profile) + " supports type " + types;
  if (const auto now = settled_otherwise(preparation, device))
    throw Error(
        title,
        problem + ", GPUs of this host offer it now with use " + std::string(use_word(now->use)),
        "run: gpuward reassign " + shell_word(preparation.domain.name));
  throw Error(title, problem, "run: gpuward list types");
}

/// "; 1 of 2 requested are available", of a profile of which the domain requests several.
std::string available_of_requested(const Preparation& preparation, const ClaimedDevice& device) {
  unsigned requested = 0, placed = 0;
  for (const ClaimedDevice& own : preparation.claim.devices) {
    if (own.use != Use::mdev || own.profile != device.profile) continue;
    ++requested;
    placed += own.parent.empty() ? 0 : 1;
  }
  if (requested < 2) return {};
  return "; " + std::to_string(placed) + " of " + std::to_string(requested) +
         " requested are available";
}

[[noreturn]] void throw_no_capacity(const Preparation& preparation, const ClaimedDevice& device,
                                    const Profile& profile,
                                    const std::vector<Candidate>& candidates,
                                    const std::vector<Claim>& others) {
  std::string types;
  for (const std::string& type : profile.types) types += (types.empty() ? "" : " or ") + type;
  const std::string title = gpu_title(device.alias);
  if (candidates.empty() && !preparation.unexpected.problem.empty())
    throw Error(about(title, preparation.unexpected));
  if (candidates.empty() && preparation.refused.empty() && !preparation.unavailable.empty())
    throw_unavailable(preparation, device, profile);
  if (candidates.empty() && preparation.refused.empty())
    throw_no_type(preparation, device, profile, types);
  std::set<std::string> parents;
  for (const Candidate& candidate : candidates) parents.insert(candidate.parent);
  for (const ParentType& refused : preparation.refused) parents.insert(refused.parent);
  std::string text = "no available instance of " + types + " on " + joined(parents);
  if (profile.numa == Numa::require)
    text += " local to the domain's memory and CPUs (numa = require)";
  if (const std::string holders = holders_of_types(others, preparation.domain.uuid, profile);
      !holders.empty())
    text += " (in use by domains " + holders + ")";
  if (!preparation.unavailable.empty()) text += "; " + unavailable_text(preparation);
  text += available_of_requested(preparation, device);
  throw InUse(title, text, way_to_capacity(profile));
}

void place_device(Preparation& preparation, ClaimedDevice& device,
                  const std::vector<Claim>& others) {
  const Profile& profile = preparation.profile_of(device);
  auto candidates = candidates_of(preparation, profile, others);
  subtract_pending(preparation, others, candidates);
  for (const ClaimedDevice& own : preparation.claim.devices)
    if (preparation.needs_instance(own) && own.alias != device.alias) subtract(candidates, own);
  const auto chosen = place(profile, candidates);
  if (!chosen) throw_no_capacity(preparation, device, profile, candidates, others);
  device.parent = chosen->parent;
  device.type = chosen->type;
}

/// An instance of this UUID is there although no claim names it: it is this domain's by its UUID.
/// Taken when it is what the profile asks for, refused when not.
void adopt(Preparation& preparation, ClaimedDevice& device) {
  const auto instance = find_instance(preparation.root, device.instance);
  if (!instance) return;
  const std::string title = gpu_title(device.alias);
  const std::string what = "instance " + to_string(device.instance);
  if (mdevctl_defines(preparation.root, instance->parent, device.instance))
    throw Error(title, what + " is defined in mdevctl",
                "run: mdevctl undefine --uuid " + to_string(device.instance));
  if (const auto holder = OpenDevices(preparation.root).holder_of(device.instance))
    throw Error(title, what + " on " + instance->parent + " is in use by " + to_string(*holder),
                "stop that process");
  const Profile& profile = preparation.profile_of(device);
  const auto parent = find_parent(preparation.root, instance->parent);
  const bool fits = std::find(profile.types.begin(), profile.types.end(), instance->type) !=
                        profile.types.end() &&
                    parent && serves(preparation.config, profile, *parent);
  if (!fits)
    throw Error(title,
                what + " already exists on " + instance->parent + " with type " + instance->type +
                    ", which " + title_of(profile) + " does not allow",
                "run: echo 1 > /sys/bus/mdev/devices/" + to_string(device.instance) + "/remove");
  device.parent = instance->parent;
  device.type = instance->type;
  preparation.made.insert(device.alias);
}

/// Again, now that nobody else can claim: since the first look another may have had it and gone.
void require_free(const Preparation& preparation, const ClaimedDevice& device,
                  const ClaimedDevices& claimed) {
  require_unclaimed(
      {preparation.root, preparation.config, preparation.domain, preparation.request_of(device)},
      device, claimed);
  require_not_used(preparation.root, device);
}

/// The parent of an instance that is there, and its card's [gpu] max.
void require_parent_free(const Preparation& preparation, const ClaimedDevice& device,
                         const std::vector<Claim>& others) {
  const auto parent = find_parent(preparation.root, device.parent);
  if (!parent) return;
  const std::string what = "instance " + to_string(device.instance) + " already exists, and ";
  if (const auto user = user_of_parent(preparation.taken, *parent))
    throw InUse(gpu_title(device.alias), what + user->what,
                user->remedy.empty() ? "shut that domain down" : user->remedy);
  const auto claims = without_device(with_own(preparation, others), device);
  if (const auto limit = limit_reached(preparation, *parent, device.type, claims))
    throw InUse(gpu_title(device.alias), what + limit->text, "shut one of the domains down");
}

/// What this domain has of PCI devices gives it no mdevs either.
DevicesInUse in_use_for_mdevs(const Preparation& preparation, const ClaimedDevices& claimed) {
  DevicesInUse taken = claimed.taken;
  std::vector<PciAddress> own;
  for (const ClaimedDevice& device : preparation.claim.devices)
    if (device.use != Use::mdev) own.push_back(device.address);
  add_own_devices(preparation.root, preparation.domain.uuid, own, {}, taken);
  return taken;
}

void require_quota(const Preparation& preparation, const std::vector<Claim>& claims) {
  const Claim& claim = preparation.claim;
  const auto refusal = quota_refusal(
      preparation.config, {claim.domain, claim.name, claim.owner, count_gpus(claim)}, claims);
  if (refusal && refusal->passes) throw InUse(refusal->reason);
  if (refusal) throw Error(refusal->reason);
}

/// Decides where each device that is not there yet shall be.
void place_by(Preparation& preparation, const ClaimedDevices& claimed) {
  require_readable(claimed.unreadable);
  require_quota(preparation, claimed.claims);
  preparation.taken = in_use_for_mdevs(preparation, claimed);
  for (ClaimedDevice& device : preparation.claim.devices)
    if (preparation.needs_instance(device)) device.parent.clear();
  for (ClaimedDevice& device : preparation.claim.devices)
    if (preparation.needs_instance(device)) place_device(preparation, device, claimed.claims);
  for (const ClaimedDevice& device : preparation.claim.devices) {
    if (device.state != State::claimed) continue;  // waits in quarantine, and is not asked for
    if (is_by_hand(device))
      require_allowed(preparation.root, preparation.config, preparation.domain, device, claimed);
    else if (device.use != Use::mdev)
      require_free(preparation, device, claimed);
    else if (preparation.is_made(device))
      require_parent_free(preparation, device, claimed.claims);
  }
}

std::string run_again(const Domain& domain) {
  return "run again: virsh start " + shell_word(domain.name);
}

/// place_by, and writes the claim before anything is touched.
void place_all(Preparation& preparation) {
  const auto wait = preparation.deadlines.lock_wait();
  const auto lock = preparation.claims.lock_host(wait);
  if (!lock)
    throw Error({},
                "timed out after " + std::to_string(wait.count() / 1000) +
                    " s waiting for another allocation on this host",
                run_again(preparation.domain));
  place_by(preparation, claimed_devices(preparation.root));
  preparation.claims.write(preparation.claim);
}

Error create_error(const Preparation& preparation, const ClaimedDevice& device,
                   const WriteResult& result) {
  const std::string title = gpu_title(device.alias);
  const std::string what = "creating " + device.type + " on " + device.parent;
  const std::string check = "check: journalctl -k";
  if (result.outcome == WriteResult::Outcome::blocked)
    return Error(title, what + " is " + blocked_in_kernel(result.child), check);
  if (result.outcome == WriteResult::Outcome::unknown)
    return Error(title, what + " ended without a report", check);
  if (create_failure(result.code) == CreateFailure::taken) {
    const auto parent = parent_of_uuid(preparation.root, device.instance);
    return Error(title,
                 what + " failed: instance " + to_string(device.instance) + " already exists on " +
                     parent.value_or("another GPU"),
                 "run: echo 1 > /sys/bus/mdev/devices/" + to_string(device.instance) + "/remove");
  }
  return Error(title, what + " failed: " + errno_text(result.code), check);
}

/// Whether another place may be tried: the kernel says no, but not because of this instance. EINVAL
/// is what some drivers say when nothing is left.
bool has_no_capacity(const Preparation& preparation, const ClaimedDevice& device,
                     const WriteResult& result) {
  if (result.outcome != WriteResult::Outcome::failed) return false;
  const CreateFailure failure = create_failure(result.code);
  if (failure == CreateFailure::no_capacity || failure == CreateFailure::gone) return true;
  return result.code == EINVAL &&
         available_instances(preparation.root, device.parent, device.type).value_or(0) == 0;
}

/// A write that begins with no time left would look like one that is blocked.
void require_time(const Preparation& preparation) {
  if (preparation.deadlines.end.is_over())
    throw Error({}, "timed out waiting for other gpuward processes", run_again(preparation.domain));
}

/// Creates what is not there yet, in order. True when all are; false when the kernel had no room
/// where it was placed, which is then noted and the rest to be placed again. Throws Error for all
/// else.
bool create_all(Preparation& preparation) {
  std::vector<KernelWrite> writes;
  std::vector<ClaimedDevice*> devices;
  for (ClaimedDevice& device : preparation.claim.devices) {
    if (!preparation.needs_instance(device)) continue;
    writes.push_back(creation(preparation.root, {device.instance, device.parent, device.type}));
    devices.push_back(&device);
  }
  require_time(preparation);
  // The claim names the process that writes before it does (pci_device_life.cpp): one more write of
  // the claim for all instances.
  const auto results = write_in_child(writes, preparation.deadlines.writing([&](pid_t writer) {
    for (ClaimedDevice* const device : devices) device->writer = identify(preparation.root, writer);
    preparation.claims.write(preparation.claim);
  }));
  for (size_t i = 0; i < results.size(); ++i) {
    ClaimedDevice& device = *devices[i];
    if (results[i].outcome != WriteResult::Outcome::blocked) device.writer = {};
    if (results[i].outcome == WriteResult::Outcome::written) {
      preparation.made.insert(device.alias);
      continue;
    }
    if (has_no_capacity(preparation, device, results[i])) {
      preparation.refused.insert({device.parent, device.type});
      return false;
    }
    const Error error = create_error(preparation, device, results[i]);
    if (results[i].outcome == WriteResult::Outcome::blocked) {
      device.state = State::quarantined;
    } else if (results[i].outcome == WriteResult::Outcome::failed) {
      device.parent.clear();  // whatever has this UUID now, we did not make it
    }
    for (size_t rest = i + 1; rest < devices.size(); ++rest) devices[rest]->parent.clear();
    throw error;
  }
  return true;
}

void check_created(const Preparation& preparation) {
  for (const ClaimedDevice& device : preparation.claim.devices) {
    if (device.use != Use::mdev || is_by_hand(device)) continue;
    if (exists_as(preparation.root, {device.instance, device.parent, device.type})) continue;
    const auto instance = find_instance(preparation.root, device.instance);
    throw Error(gpu_title(device.alias),
                "created instance " + to_string(device.instance) + " of type " + device.type +
                    " on " + device.parent + " but it " +
                    (instance ? "has type " + instance->type + " on " + instance->parent
                              : "does not exist"),
                "check: journalctl -k");
  }
}

/// On disk before anything is done to the hardware of the first.
void mark_single_use(Preparation& preparation) {
  for (const ClaimedDevice& device : preparation.claim.devices)
    if (device.one_time && device.state == State::claimed)
      preparation.marks.push_back(mark_pending(preparation.root, device.address,
                                               parse_pci_address(device.parent),
                                               preparation.claim.domain, preparation.claim.name));
}

/// No guest has had the devices, also where one has to wait in quarantine. Last: killed before,
/// this call leaves them as used.
void take_back_marks(const Preparation& preparation) {
  for (const std::string& mark : preparation.marks) take_back_mark(mark);
}

/// PCI devices last: when one of these fails the instances are easily undone. A vGPU's type is
/// known only now.
void set_up_pci_devices(Preparation& preparation) {
  for (ClaimedDevice& device : preparation.claim.devices) {
    if (device.use == Use::mdev || device.state != State::claimed || is_by_hand(device)) continue;
    require_time(preparation);
    set_up_pci_device({preparation.root, preparation.config, preparation.profile_of(device),
                       preparation.claim, preparation.deadlines},
                      device);
  }
}

/// With what was noted of the devices while they were set up.
void complete(Preparation& preparation) {
  preparation.claim.completed = true;
  preparation.claims.write(preparation.claim);
}

/// What an earlier start left that was never released, as the host's hook was killed.
bool no_longer_requested(const Preparation& preparation, const ClaimedDevice& device) {
  return device.use != Use::mdev &&
         std::none_of(preparation.domain.hostdevs.begin(), preparation.domain.hostdevs.end(),
                      [&](const Hostdev& hostdev) { return hostdev.address == device.address; });
}

void release_stale_claim(Preparation& preparation) {
  restore_quarantine(preparation.root, preparation.claims, preparation.claim.domain);
  const auto old = preparation.claims.find(preparation.claim.domain);
  if (!old) return;
  log::warning(domain_title(preparation.domain.name) +
               ": found a claim from an earlier run, releasing it first");
  for (const QuarantinedDevice& kept :
       release_devices(preparation.root, preparation.claims, *old, preparation.deadlines)) {
    if (!no_longer_requested(preparation, kept.device))
      throw Error(gpu_title(kept.device.alias),
                  describe_device(kept.device) + " is quarantined: " + kept.reason,
                  remedy_of(kept));
    log::warning(domain_title(preparation.domain.name) + ": " + to_string(quarantine_reason(kept)));
    preparation.claim.devices.push_back(kept.device);
  }
}

/// What is written of this domain's claim; nothing when it cannot be read, as then nothing is known
/// to be its own.
std::vector<ClaimedDevice> claim_on_disk(const Preparation& preparation) {
  try {
    if (const auto claim = preparation.claims.find(preparation.claim.domain)) return claim->devices;
  } catch (const Error& error) {
    log::error(domain_title(preparation.domain.name) +
               ": cannot roll back: " + without_remedy(error.reason) + "; run: gpuward reconcile");
  }
  return {};
}

/// A vendor VF on which nothing was created: a vGPU that is there is another tool's.
bool is_untouched(const ClaimedDevice& device) {
  return device.use == Use::vendor_vf && device.type == "-" && !device.writer.pid &&
         device.state == State::claimed;
}

/// The first cause is what the user must see, so nothing here throws. No guest has had the devices,
/// so there is nothing to scrub. Only what is on disk as this domain's was touched: a claim that
/// was refused before it was written names devices of others.
void undo(Preparation& preparation) {
  const auto written = claim_on_disk(preparation);
  std::erase_if(preparation.claim.devices, [&](const ClaimedDevice& device) {
    return is_untouched(device) ||
           std::none_of(written.begin(), written.end(),
                        [&](const ClaimedDevice& other) { return is_same_device(device, other); });
  });
  if (preparation.claim.devices.empty() && written.empty()) return;
  preparation.claim.completed = false;
  try {
    for (const QuarantinedDevice& kept : release_devices(
             preparation.root, preparation.claims, preparation.claim, preparation.undo_deadlines))
      log::warning(domain_title(preparation.domain.name) + ": " +
                   to_string(quarantine_reason(kept)));
    take_back_marks(preparation);
  } catch (const Error& error) {
    log::error(domain_title(preparation.domain.name) +
               ": rollback failed: " + without_remedy(error.reason) + "; run: gpuward reconcile");
  }
}

void ask_for(Preparation& preparation, const ResolvedRequest& gpu) {
  if (gives_pci_devices(gpu.profile)) {
    const PciRequest request{preparation.root, preparation.config, preparation.domain, gpu};
    const ClaimedDevices claimed = claimed_devices(preparation.root);
    require_readable(claimed.unreadable);
    require_source_unclaimed(request, claimed);
    for (ClaimedDevice& device : pci_devices_asked(request)) {
      require_unclaimed(request, device,
                        claimed);  // names its domain, where the next says QEMU
      require_unused(preparation.root, preparation.domain, device, preparation.deadlines);
      require_adoptable(preparation.root, preparation.config, device);
      preparation.claim.devices.push_back(std::move(device));
    }
    return;
  }
  preparation.claim.devices.push_back(
      {.alias = gpu.alias,
       .profile = gpu.profile.name,
       .instance = instance_uuid(preparation.domain.uuid, gpu.alias),
       .parent = {},
       .type = {}});
  adopt(preparation, preparation.claim.devices.back());
}

/// Without its devices.
Claim claim_of(const Domain& domain) {
  Claim claim{domain.uuid, domain.name, {}};
  claim.owner = domain.owner;
  return claim;
}

}  // namespace

/// A hostdev whose device is not there is libvirt's to refuse.
static bool has_none_by_hand(const Root& root, const Config& config, const Domain& domain) {
  Claim claim{domain.uuid, domain.name, {}};
  add_devices_by_hand(root, config, domain, claim);
  return claim.devices.empty();
}

/// In quarantine a device stays until the administrator clears it, so its single use is kept too.
static void forget_scrub_programs(const std::vector<PciAddress>& devices, Claim& claim) {
  for (ClaimedDevice& device : claim.devices)
    if (device.use != Use::mdev &&
        std::find(devices.begin(), devices.end(), device.address) != devices.end())
      device.scrub = unknown_scrub;
}

void prepare_devices(const Root& root, const Config& config, const Domain& domain,
                     const Deadlines& deadlines, const std::vector<PciAddress>& unknown) {
  if (domain.requests.empty() && has_none_by_hand(root, config, domain)) return;
  const Deadlines before_undo = deadlines.before_reserve();
  Preparation preparation{root,         config,
                          domain,       before_undo,
                          deadlines,    resolve_requests(config, domain),
                          Claims(root), claim_of(domain),
                          {},           {},
                          {},           {}};
  preparation.claims.make_ready();
  preparation.claims.sweep();
  const auto wait = preparation.deadlines.lock_wait();
  const auto lock = preparation.claims.lock_domain(domain.uuid, wait);
  if (!lock)
    throw Error({},
                "timed out after " + std::to_string(wait.count() / 1000) +
                    " s: another gpuward process is still preparing or releasing this "
                    "domain's GPUs",
                "run: gpuward list");
  release_stale_claim(preparation);
  for (const ResolvedRequest& gpu : preparation.requests) ask_for(preparation, gpu);
  add_devices_by_hand(root, config, domain, preparation.claim);
  forget_scrub_programs(unknown, preparation.claim);
  try {
    do place_all(preparation);
    while (!create_all(preparation));
    check_created(preparation);
    mark_single_use(preparation);
    set_up_pci_devices(preparation);
    complete(preparation);
  } catch (const Error&) {
    undo(preparation);
    throw;
  }
}

DevicesRefusal devices_refusal(const Root& root, const Config& config, const Domain& domain) try {
  Deadlines deadlines;
  deadlines.release = {};  // whoever has a device open now is not waited for
  Preparation preparation{root,         config,
                          domain,       deadlines,
                          deadlines,    resolve_requests(config, domain),
                          Claims(root), claim_of(domain),
                          {},           {},
                          {},           {}};
  for (const ResolvedRequest& gpu : preparation.requests) ask_for(preparation, gpu);
  add_devices_by_hand(root, config, domain, preparation.claim);
  if (!preparation.claim.devices.empty()) place_by(preparation, claimed_devices(root));
  for (const ClaimedDevice& device : preparation.claim.devices)
    if (device.use == Use::vendor_vf)
      require_creatable(root, config, preparation.profile_of(device), device);
  return {};
} catch (const InUse& error) {
  return {error.reason, true};
} catch (const Error& error) {
  return {error.reason, false};
}

static bool is_pci_gpu(const Domain& domain, const GpuRequest& gpu) {
  const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
  return hostdev && hostdev->address;
}

static const GpuRequest* find_request(const Domain& domain, std::string_view alias) {
  for (const GpuRequest& gpu : domain.requests)
    if (gpu.alias == gpu_alias(alias)) return &gpu;
  return nullptr;
}

/// As prepare does it (pci_devices_asked): a companion is neither scrubbed nor marked.
static std::string add_profile(const Config& config, const GpuRequest* request,
                               ClaimedDevice& device) {
  const bool is_companion = gpu_alias(device.alias) != device.alias;
  if (!request || is_companion) return {};
  const Resolution found = resolve(config, *request);
  if (found.profile) {
    device.scrub = found.profile->scrub;
    device.one_time = found.profile->one_time;
    return {};
  }
  device.scrub = unknown_scrub;
  return gpu_title(device.alias) + ": " + found.refusal.problem +
         ", so the device is quarantined when the domain stops; ";
}

/// Adds it to the claim, as far as the host tells what it is; says what is wrong with it.
static std::string check_pci_device(const Root& root, const Config& config, const Domain& domain,
                                    const Hostdev& hostdev, Claim& claim) {
  const auto device = find_pci_device(root, *hostdev.address);
  if (!device)
    return gpu_title(hostdev.alias) + ": PCI device " + to_string(*hostdev.address) +
           " no longer exists; ";
  const GpuRequest* const request = find_request(domain, hostdev.alias);
  claim.devices.push_back({.alias = hostdev.alias,
                           .profile = request ? profile_word(*request) : "-",
                           .instance = {},
                           .parent = to_string(device->physical_function.value_or(device->address)),
                           .type = "-"});
  claim.devices.back().address = device->address;
  claim.devices.back().use = !device->physical_function            ? Use::whole
                             : offers_vgpus(root, device->address) ? Use::vendor_vf
                                                                   : Use::vf;
  return add_profile(config, request, claim.devices.back());
}

std::string check_running_domain(const Root& root, const Config& config, const Domain& domain,
                                 const Deadlines& deadlines) {
  if (domain.requests.empty()) return {};
  const Claims claims(root);
  claims.make_ready();
  const auto lock = claims.lock_domain(domain.uuid, deadlines.lock_wait());
  if (!lock) return "cannot check the claim: another gpuward process holds the domain lock";
  std::string found;
  Claim claim = claim_of(domain);
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address && is_ours(hostdev))
      found += check_pci_device(root, config, domain, hostdev, claim);
  for (const GpuRequest& gpu : domain.requests) {
    if (is_pci_gpu(domain, gpu)) continue;
    const auto instance = find_instance(root, instance_uuid(domain.uuid, gpu.alias));
    if (!instance) {
      found += gpu_title(gpu.alias) + ": instance " +
               to_string(instance_uuid(domain.uuid, gpu.alias)) + " no longer exists; ";
      continue;
    }
    claim.devices.push_back({.alias = gpu.alias,
                             .profile = profile_word(gpu),
                             .instance = instance->uuid,
                             .parent = instance->parent,
                             .type = instance->type});
  }
  if (!claim.devices.empty() && !claims.find(domain.uuid)) {
    claim.completed = true;
    claims.write(claim);
    found += "claim file was missing and has been re-created; ";
  }
  return found.empty() ? found : found.substr(0, found.size() - 2);
}

void claim_by_hand_again(const Root& root, const Config& config, const Domain& domain,
                         const Deadlines& deadlines) {
  const Claims claims(root);
  claims.make_ready();
  const auto lock = claims.lock_domain(domain.uuid, deadlines.lock_wait());
  if (!lock) return;
  const auto found = claims.find(domain.uuid);
  Claim claim = found.value_or(claim_of(domain));
  if (!found) claim.completed = true;
  const size_t before = claim.devices.size();
  add_devices_by_hand(root, config, domain, claim);
  if (claim.devices.size() > before) claims.write(claim);
}

}  // namespace gpuward
