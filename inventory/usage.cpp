// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/usage.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/xml_document.hpp"
#include "inventory/device_nodes.hpp"
#include "mdev/instance.hpp"
#include "mdev/provisioned.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/virtual_functions.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {

/// Two users of different domains leave nobody for whom the device would be free.
static void block(const PciAddress& device, const User& user, DevicesInUse& taken) {
  const auto [found, is_new] = taken.emplace(device, user);
  if (is_new) return;
  User& there = found->second;
  if (there.is_mark && user.by == User::By::itself) {
    there = user;
    return;
  }
  const bool is_other = there.domain != user.domain;
  if (user.by < there.by) {
    const auto domain = is_other ? std::nullopt : there.domain;
    there = user;
    there.domain = domain;
  } else if (is_other && !user.is_mark) {
    there.domain.reset();
  }
}

std::string single_use_text(const std::string& domain) {
  return "already used by " + (domain.empty() ? "a domain" : domain_title(domain)) +
         " (one-time = yes)";
}

std::string quarantine_text(const std::string& domain) {
  return "quarantined after use by " + (domain.empty() ? "a domain" : domain_title(domain));
}

std::string quarantine_remedy(const Claim& claim) {
  const std::string reconcile = "gpuward reconcile";
  const bool may_run = std::any_of(
      claim.devices.begin(), claim.devices.end(),
      [](const ClaimedDevice& device) { return device.state == ClaimedDevice::State::claimed; });
  return may_run ? "run: virsh shutdown " + shell_word(claim.name) +
                       " (if it is shut off: " + reconcile + ")"
                 : "run: " + reconcile;
}

static User by_part(const User& user, const std::string& part) {
  User by = user;
  by.by = User::By::part;
  by.what = part + ": " + user.what;
  return by;
}

/// An mdev keeps its parent, and a VF its card, from being given as a whole.
static void block_card_of(const Root& root, const PciAddress& device, const User& user,
                          DevicesInUse& taken) {
  if (const auto card = physical_function_of(root, device)) block(*card, user, taken);
}

static void block_for_instance(const Root& root, const std::string& parent,
                               const std::string& instance, const User& user, DevicesInUse& taken) {
  const auto device = parse_pci_address(parent);
  if (!device) return;
  const User by = by_part(user, "instance " + instance + " on " + parent);
  block(*device, by, taken);
  block_card_of(root, *device, by, taken);
}

/// VFIO gives a group to one owner.
static void block_group(const Root& root, const PciAddress& device, const User& user,
                        DevicesInUse& taken) {
  const auto group = iommu_group_of(root, device);
  if (!group) return;
  User by = user;
  by.by = User::By::group;
  by.what = "IOMMU group " + std::to_string(group->number) + ", device " + to_string(device) +
            ": " + user.what;
  for (const PciAddress& member : group->members)
    if (member != device) block(member, by, taken);
}

static void block_device(const Root& root, const PciAddress& device, const User& user,
                         DevicesInUse& taken) {
  block(device, user, taken);
  const User by_card = by_part(user, "GPU " + to_string(device));
  for (const PciAddress& vf : virtual_functions(root, device)) block(vf, by_card, taken);
  block_card_of(root, device, by_part(user, "VF " + to_string(device)), taken);
}

static void add_claimed(const Root& root, const Claim& claim, const ClaimedDevice& device,
                        ClaimedDevices& found) {
  const bool has_it = device.state == ClaimedDevice::State::claimed;
  if (has_it) found.on.insert(claim.domain);
  const User user = has_it ? User{claim.domain, "in use by " + domain_title(claim.name)}
                           : User{.domain = {},
                                  .what = quarantine_text(claim.name),
                                  .remedy = quarantine_remedy(claim)};
  if (is_mediated(device.use)) {
    found.instances.emplace(device.instance, user);
    return block_for_instance(root, device.parent, to_string(device.instance), user, found.taken);
  }
  block_device(root, device.address, user, found.taken);
  // A VF that is not there has its card in the claim alone.
  if (const auto card = parse_pci_address(device.parent); card && *card != device.address)
    block(*card, by_part(user, "VF " + to_string(device.address)), found.taken);
  if (has_it) block_group(root, device.address, user, found.taken);
}

/// The claims before the marks: a start claims a device before it marks it, and its release drops
/// the claim last. The other way round a device that was used once could be in neither.
ClaimedDevices claimed_devices(const Root& root) {
  ClaimedDevices found;
  AllClaims all = Claims(root).all();
  found.claims = std::move(all.readable);
  found.unreadable = std::move(all.unreadable);
  found.marks = single_use_marks(root);
  for (const UsedDevice& used : used_devices(root, found.marks))
    found.taken[used.address] = {.domain = {},
                                 .what = single_use_text(used.owner),
                                 .is_mark = true,
                                 .remedy = "run: gpuward clear " + to_string(used.address)};
  for (const Claim& claim : found.claims)
    for (const ClaimedDevice& device : claim.devices) add_claimed(root, claim, device, found);
  found.quarantined = unclaimed_quarantine(root, found.claims);
  for (const Claim& record : found.quarantined)
    add_claimed(root, record, record.devices.front(), found);
  return found;
}

std::vector<Claim> ClaimedDevices::with_quarantined() const {
  std::vector<Claim> all = claims;
  for (const Claim& record : quarantined) {
    const auto claim = std::find_if(
        all.begin(), all.end(), [&](const Claim& each) { return each.domain == record.domain; });
    if (claim == all.end())
      all.push_back(record);
    else
      claim->devices.push_back(record.devices.front());
  }
  return all;
}

// ---- open handles

/// A device without a node is open in no process.
std::optional<Holder> OpenDevices::of(const std::vector<dev_t>& numbers) const {
  auto holder = handles_.of(numbers);
  if (holder || numbers.empty() || handles_.unknown().empty() ||
      uninspected_ == Uninspected::ignore)
    return holder;
  const UnreadableProcess& unreadable = handles_.unknown().front();
  throw Error({}, "cannot determine which process uses the device: the open files of " +
                      to_string(unreadable.process) + " cannot be read: " + unreadable.reason);
}

std::optional<Holder> OpenDevices::holder_of(const PciAddress& device) const {
  return of(device_numbers(root_, device));
}

std::optional<Holder> OpenDevices::vfio_holder_of(const PciAddress& device) const {
  return of(vfio_numbers(root_, device));
}

std::optional<Holder> OpenDevices::holder_of(const Uuid& instance) const {
  return of(instance_numbers(root_, instance));
}

std::optional<Holder> OpenDevices::guest_of(const ClaimedDevice& device) const {
  return is_mediated(device.use) ? holder_of(device.instance) : vfio_holder_of(device.address);
}

namespace {

/// The mdevs of the host. Claims are read, a file each, only once one is asked about: most devices
/// have none.
class FoundInstances {
 public:
  explicit FoundInstances(const Root& root) : root_(root) {
    for (Instance& instance : list_instances(root))
      by_parent_[instance.parent].push_back(std::move(instance));
  }

  std::vector<Instance> on(const PciAddress& device) const {
    const auto found = by_parent_.find(to_string(device));
    return found == by_parent_.end() ? std::vector<Instance>() : found->second;
  }

  /// No domain has claimed it, and gpuward does not keep it ready.
  bool is_foreign(const Instance& instance) {
    if (!claimed_) claimed_ = read_claimed();
    return !claimed_->contains(instance.uuid) && !ready_.contains(instance);
  }

 private:
  std::set<Uuid> read_claimed() const {
    std::set<Uuid> claimed;
    for (const Claim& claim : Claims(root_).all().readable)
      for (const ClaimedDevice& device : claim.devices)
        if (is_mediated(device.use)) claimed.insert(device.instance);
    return claimed;
  }

  const Root& root_;
  std::map<std::string, std::vector<Instance>> by_parent_;
  std::optional<std::set<Uuid>> claimed_;
  ProvisionedUuids ready_;
};

}  // namespace

/// Who has an mdev on this device open. One that another program has created is that program's,
/// open or not.
static std::optional<User> user_of_instances(const Root& root, const OpenDevices& open,
                                             FoundInstances& instances, const PciAddress& device) {
  for (const Instance& instance : instances.on(device)) {
    const std::string uuid = to_string(instance.uuid);
    const std::string title = "instance " + uuid + " on " + to_string(device);
    if (const auto holder = open.holder_of(instance.uuid))
      return User{{}, title + ": in use by " + to_string(*holder), true, User::By::part};
    // One that was claimed when it was listed may have been released before the claims were read.
    if (instances.is_foreign(instance) && instance_directory(root, instance.uuid))
      return User{.domain = {},
                  .what = title + ": created by another program",
                  .by = User::By::part,
                  .remedy = "run: echo 1 > /sys/bus/mdev/devices/" + uuid + "/remove"};
  }
  return {};
}

/// Who has a VF of this device or an mdev on it or on one of those open. What the host itself has
/// open of a VF that it drives counts too.
static std::optional<User> user_of_parts(const Root& root, const OpenDevices& open,
                                         FoundInstances& instances, const PciAddress& device) {
  if (auto user = user_of_instances(root, open, instances, device)) return user;
  for (const PciAddress& vf : virtual_functions(root, device)) {
    if (auto user = user_of_instances(root, open, instances, vf)) return user;
    if (const auto holder = open.holder_of(vf))
      return User{
          {}, "VF " + to_string(vf) + ": in use by " + to_string(*holder), true, User::By::part};
  }
  return {};
}

static std::optional<User> open_user(const Root& root, const OpenDevices& open,
                                     FoundInstances& instances, const PciAddress& device) {
  if (const auto holder = open.holder_of(device))
    return User{{}, "in use by " + to_string(*holder), true};
  return user_of_parts(root, open, instances, device);
}

std::optional<User> open_user_after(const Root& root, const PciAddress& device,
                                    std::chrono::milliseconds deadline) {
  std::optional<User> user;
  wait_until_closed(deadline, [&]() -> std::optional<Holder> {
    FoundInstances instances(root);
    user = open_user(root, OpenDevices(root), instances, device);
    return user && user->is_process ? std::optional(Holder()) : std::nullopt;
  });
  return user;
}

void add_open_devices(const Root& root, const std::vector<PciAddress>& devices,
                      DevicesInUse& taken) {
  const OpenDevices open(root, Uninspected::ignore);  // a choice, which prepare decides about
  FoundInstances instances(root);
  for (const PciAddress& device : devices) {
    if (taken.contains(device)) continue;
    if (const auto user = open_user(root, open, instances, device)) block(device, *user, taken);
  }
}

DevicesInUse taken_devices(const Root& root, const Uuid& domain) {
  return taken_devices(root, claimed_devices(root), domain);
}

DevicesInUse taken_devices(const Root& root, const ClaimedDevices& claimed, const Uuid& domain) {
  DevicesInUse taken = claimed.taken;
  add_open_devices(root, pci_addresses(root), taken);
  return in_use_by_others(taken, domain);
}

DevicesInUse in_use_by_others(const DevicesInUse& taken, const Uuid& domain) {
  DevicesInUse others = taken;
  std::erase_if(others, [&](const auto& device) { return device.second.domain == domain; });
  return others;
}

/// Who has this very device; null when nobody has, or only processes.
static const User* user_itself(const DevicesInUse& taken, const std::optional<PciAddress>& device) {
  const auto found = device ? taken.find(*device) : taken.end();
  if (found == taken.end()) return nullptr;
  const User& user = found->second;
  return user.by == User::By::itself && !user.is_process ? &user : nullptr;
}

std::optional<User> user_of_card(const DevicesInUse& taken, const std::optional<PciAddress>& card) {
  const User* const user = user_itself(taken, card);
  return user ? std::optional(by_part(*user, "GPU " + to_string(*card))) : std::nullopt;
}

std::optional<User> user_of_parent(const DevicesInUse& taken, const Parent& parent) {
  if (const User* const user = user_itself(taken, parent.address))
    return by_part(*user, "parent " + parent.name);
  return user_of_card(taken, parent.physical_function);
}

void add_own_devices(const Root& root, const Uuid& domain, const std::vector<PciAddress>& devices,
                     const std::vector<Uuid>& instances, DevicesInUse& taken) {
  const User own{domain, "already assigned to this domain"};
  for (const PciAddress& device : devices) block_device(root, device, own, taken);
  for (const Uuid& uuid : instances)
    if (const auto instance = find_instance(root, uuid))
      block_for_instance(root, instance->parent, to_string(uuid), own, taken);
}

// ---- the VFs of a PF

/// What of a PF with these VFs a claim names: "" when it is nothing of it.
static std::string part_of(const ClaimedDevice& device, const PciAddress& pf,
                           const std::vector<PciAddress>& vfs) {
  const auto parent = parse_pci_address(device.parent);
  if (is_pci(device.use))
    return parent == pf || device.address == pf ? to_string(device.address) : "";
  const bool is_on_vf = parent && std::find(vfs.begin(), vfs.end(), *parent) != vfs.end();
  return is_on_vf ? "instance " + to_string(device.instance) + " on " + device.parent : "";
}

static Reason open_user_of_vfs(const Root& root, const PciAddress& pf,
                               const std::vector<PciAddress>& vfs) {
  const OpenDevices open(root);
  if (const auto holder = open.vfio_holder_of(pf))
    return {{}, to_string(pf) + " is in use by " + to_string(*holder), {}};
  FoundInstances instances(root);
  for (const PciAddress& vf : vfs)
    if (const auto user = open_user(root, open, instances, vf)) {
      const std::string object = user->by == User::By::itself ? to_string(vf) + " is " : "";
      return {{}, object + user->what, user->remedy};
    }
  return {};
}

/// "" when no claim names one of these VFs or an mdev on one.
static std::string claim_on_vfs(const ClaimedDevices& claimed, const PciAddress& pf,
                                const std::vector<PciAddress>& vfs) {
  for (const Claim& claim : claimed.claims)
    for (const ClaimedDevice& device : claim.devices)
      if (const std::string part = part_of(device, pf, vfs); !part.empty())
        return part + " is in use by " + domain_title(claim.name);
  return {};
}

Reason reason_to_keep_vfs(const Root& root, const PciAddress& pf) {
  return reason_to_keep_vfs(root, claimed_devices(root), pf);
}

Reason reason_to_keep_vfs(const Root& root, const ClaimedDevices& claimed, const PciAddress& pf) {
  const auto vfs = virtual_functions(root, pf);
  if (const auto user = user_of_card(claimed.taken, pf)) return {{}, user->what, user->remedy};
  // A VF that a claim names and that does not exist is there for its domain, or to be scrubbed,
  // once they are enabled.
  if (std::string claim = claim_on_vfs(claimed, pf, vfs); !vfs.empty() && !claim.empty())
    return {{}, claim, {}};
  if (!claimed.unreadable.empty()) return unreadable_reason(claimed.unreadable.front());
  try {
    return open_user_of_vfs(root, pf, vfs);
  } catch (const Error& error) {
    return error.reason;
  }
}

std::string use_of_vfs(const Root& root, const PciAddress& pf) {
  return to_string(reason_to_keep_vfs(root, pf));
}

bool is_claimed_by_another(const Root& root, const Uuid& domain, const ClaimedDevice& device) {
  const auto claims = Claims(root).all().readable;
  return std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
    return claim.domain != domain &&
           std::any_of(claim.devices.begin(), claim.devices.end(),
                       [&](const ClaimedDevice& other) { return is_same_device(device, other); });
  });
}

}  // namespace gpuward
