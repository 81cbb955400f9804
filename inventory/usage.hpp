// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"
#include "inventory/open_handles.hpp"
#include "mdev/parent.hpp"
#include "state/claim_store.hpp"
#include "state/device_records.hpp"

namespace gpuward {

// Whether a device is in use, and by whom: the one place that puts together claims, marks and open
// handles. A card, its VFs and the mdevs on each are one GPU, and an IOMMU group is in use as a
// whole: what is in use of them is in use by way of the rest, too.
//
// What a command shows comes from its snapshot (snapshot.hpp). Each of these reads what it needs
// when called and is as old as that. So who writes a claim asks again with the host's lock, and who
// changes VFs with that of the PF.
//   claimed_devices                 reads claims, marks and records of quarantine. Placing, with
//                                   the lock; commands and the guard for what they show.
//   user_of_card                    of that answer: whether VFs of a card may be assigned
//   user_of_parent                  of that answer: whether mdevs may be created on a parent
//   taken_devices, add_open_devices with what processes have open, for a choice: attach, reassign,
//                                   the guard, lists. A process that cannot be inspected counts as
//                                   having nothing open; prepare decides.
//   open_user_after, OpenDevices    decide about one device, and refuse where that is unknown:
//                                   prepare, release, clear, reconcile
//   use_of_vfs                      before the VFs of a PF are changed: provisioning
//   add_own_devices                 what a domain's XML names, when another device is chosen for it
//   is_claimed_by_another           release, before it touches a device

/// Why a device cannot be given to a domain.
struct User {
  /// Where the user is.
  enum class By {
    itself,  ///< it has this very device
    part,    ///< a VF of it, an mdev on it or on a VF of it, or the card that it is a VF of
    group,   ///< another device of its IOMMU group
  };
  std::optional<Uuid> domain;  ///< that has claimed it; its own devices are free for it
  std::string what;            ///< after the device: "in use by domain 'web01'"
  bool is_process = false;     ///< no domain: it may close it without notice
  By by = By::itself;
  bool is_mark = false;  ///< no process uses it; it was given once for all
  std::string remedy{};  ///< "run: COMMAND"; "" where it depends on who asks
};

/// A device that another domain or a process has: a refusal that ends with that use.
struct InUse : Error {
  using Error::Error;
};

/// Of a device with the mark of single use.
std::string single_use_text(const std::string& domain);
/// Of a device in quarantine. `domain`: "" where the record of it cannot be read.
std::string quarantine_text(const std::string& domain);
/// What retries the devices of the claim that are in quarantine. reconcile leaves the claim of a
/// running domain alone, and one that names other devices too may be of such a domain.
std::string quarantine_remedy(const Claim& claim);

using DevicesInUse = std::map<PciAddress, User>;

/// What domains have, by their claims, and what was given once already. What is in quarantine is no
/// more its last owner's than another's.
struct ClaimedDevices {
  DevicesInUse taken;
  std::map<Uuid, User> instances;  ///< mdevs
  std::set<Uuid> on;               ///< domains that start or run: their definition is left alone
  std::vector<Claim> claims;
  std::vector<Claim> quarantined;           ///< records that no claim names yet, one device each
  std::vector<UnreadableClaim> unreadable;  ///< what these name is unknown
  std::vector<DeviceRecord> marks;          ///< of single use, wherever their cards are now

  /// What is shown: the claims, each with its domain's devices of `quarantined`.
  std::vector<Claim> with_quarantined() const;
};
ClaimedDevices claimed_devices(const Root& root);

/// Adds those of `devices` that a process has open, or a part of them: of a domain that nobody
/// claimed, or of the host. It walks over all of /proc.
void add_open_devices(const Root& root, const std::vector<PciAddress>& devices,
                      DevicesInUse& taken);

/// All that this host holds, but for what `domain` itself has claimed.
DevicesInUse taken_devices(const Root& root, const Uuid& domain);
/// The same by claims that have been read already.
DevicesInUse taken_devices(const Root& root, const ClaimedDevices& claimed, const Uuid& domain);

/// Without what `domain` itself has claimed.
DevicesInUse in_use_by_others(const DevicesInUse& taken, const Uuid& domain);

/// Why no VF of this card may be enabled or assigned, whether it exists or not: the card is itself
/// in use, in quarantine or marked for its single use. Nothing where parts of it are in use.
std::optional<User> user_of_card(const DevicesInUse& taken, const std::optional<PciAddress>& card);

/// Why no mdev may be created on this parent: it, or the card that it is a VF of, is itself in use,
/// in quarantine or marked for its single use, though its driver still has it and offers types.
/// Nothing where parts of it are in use, as by other mdevs. What the host's processes have open of
/// a parent is its driver's business.
std::optional<User> user_of_parent(const DevicesInUse& taken, const Parent& parent);

/// Adds what the domain's own XML names, as its own: a device is not given to it twice.
/// `instances`: its mdevs.
void add_own_devices(const Root& root, const Uuid& domain, const std::vector<PciAddress>& devices,
                     const std::vector<Uuid>& instances, DevicesInUse& taken);

/// Why the VFs of a PF may not be changed: it, one of them, or an mdev on one, is in use; it is in
/// quarantine or marked. "" when none is. Also while a claim cannot be read.
std::string use_of_vfs(const Root& root, const PciAddress& pf);
/// The same as a value, without a problem when none is. A remedy where that is no domain or process
/// that ends.
Reason reason_to_keep_vfs(const Root& root, const PciAddress& pf);
/// The same by claims that have been read already.
Reason reason_to_keep_vfs(const Root& root, const ClaimedDevices& claimed, const PciAddress& pf);

/// What an answer of no process is worth while a process cannot be inspected.
enum class Uninspected {
  refuse,  ///< nothing: Error, naming what cannot be read
  ignore,  ///< enough, as nothing is decided by it: a user without root sees few processes
};

/// Which process has which device open, now. Its questions throw Error (Uninspected).
class OpenDevices {
 public:
  explicit OpenDevices(const Root& root, Uninspected uninspected = Uninspected::refuse)
      : root_(root), handles_(root), uninspected_(uninspected) {}

  std::optional<Holder> holder_of(const PciAddress& device) const;       ///< through any node
  std::optional<Holder> vfio_holder_of(const PciAddress& device) const;  ///< a guest has it
  std::optional<Holder> holder_of(const Uuid& instance) const;
  std::optional<Holder> guest_of(const ClaimedDevice& device) const;  ///< an mdev, or by VFIO

 private:
  std::optional<Holder> of(const std::vector<dev_t>& numbers) const;
  const Root& root_;
  OpenHandles handles_;
  Uninspected uninspected_;
};

/// Who has the device or a part of it open; nothing when nobody has, or has it no more before
/// `deadline` is over. Throws Error when that is unknown.
std::optional<User> open_user_after(const Root& root, const PciAddress& device,
                                    std::chrono::milliseconds deadline);

/// Whether another domain's claim names the device too.
bool is_claimed_by_another(const Root& root, const Uuid& domain, const ClaimedDevice& device);

}  // namespace gpuward
