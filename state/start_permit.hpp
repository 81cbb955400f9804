// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/lock.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

// `gpuward start DOMAIN --anyway REASON` writes a permit, asks libvirt to start the domain and
// removes the permit again. The hook of this start, when it would refuse, renames the permit to a
// record: that one rename both uses it up and keeps what is shown until the domain is shut off. No
// other start can use it: libvirt starts a domain once at a time, the permit counts only while the
// process that wrote it still waits for libvirt (it has a lock, which ends with the process), it is
// of this boot, and it expires.

/// The longest time from the permit to the hook: libvirt may wait 30 s for another job of the
/// domain (qemu_domainjob.c) before it calls the hook.
inline constexpr time_t start_permit_lifetime = 120;  // seconds

struct StartPermit {
  Uuid domain;
  std::string name;                     ///< of the domain
  std::string reason;                   ///< of the administrator; one line, printable
  time_t time = 0;                      ///< when it was written, seconds since 1970
  std::string boot{};                   ///< boot id of the host
  std::vector<std::string> refusals{};  ///< what the hook would have refused, of a record
};

/// The permit while the process that wrote it waits for libvirt; removed at the end of its life
/// where the hook has not used it.
class GrantedStart {
 public:
  /// Throws Error when another process has granted one for this domain, or /run cannot be written.
  GrantedStart(const Root& root, StartPermit permit);
  ~GrantedStart();
  GrantedStart(const GrantedStart&) = delete;
  GrantedStart& operator=(const GrantedStart&) = delete;

 private:
  Root root_;
  Uuid domain_;
  Lock lock_;
};

/// The permit for this start, which is used up by that: by UUID, or by name where the domain's XML
/// cannot be read. Nothing when there is none; `why` says why one that is there does not count.
/// Throws SystemError when that cannot be known.
std::optional<StartPermit> use_start_permit(const Root& root, const std::optional<Uuid>& domain,
                                            std::string_view name, std::string& why);

/// Writes the record of a permit that was used, with its refusals. Throws SystemError.
void record_started_anyway(const Root& root, const StartPermit& permit);

/// The record of a domain that runs by a permit; nothing without one. Throws Error when it cannot
/// be read.
std::optional<StartPermit> started_anyway(const Root& root, const Uuid& domain);

/// All of them, by UUID; what cannot be read is told in `unreadable`, a line each.
std::vector<StartPermit> all_started_anyway(const Root& root, std::vector<std::string>& unreadable);

/// The domains of all records, also of those that cannot be read. Throws SystemError.
std::vector<Uuid> domains_started_anyway(const Root& root);

/// The domain is shut off; absent is well. Throws SystemError.
void forget_started_anyway(const Root& root, const Uuid& domain);

/// Removes permits that processes which were killed left behind. Throws SystemError.
void sweep_start_permits(const Root& root);

/// "2026-11-29 22:04, REASON" in local time.
std::string to_string(const StartPermit& permit);

}  // namespace gpuward
