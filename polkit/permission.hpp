// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/root.hpp"
#include "base/uuid.hpp"
#include "config/config_parser.hpp"

namespace gpuward {

/// What libvirt asks polkit for before a call on a domain (org.libvirt.api.domain.PERMISSION),
/// where a guard speaks of it.
struct GuardedPermission {
  std::string_view permission;
  std::string_view guard;  ///< its key in [guard]
  Policy GuardPolicy::*policy;
  std::string_view calls;  ///< what virsh calls it
};

/// All there are. Not among them: "write" is asked for to hot-plug memory and GPUs, but for
/// setmem, metadata and disks too, "snapshot" for snapshots with memory, but for those of disks
/// too, and nothing that polkit is told tells them apart (libvirt's
/// access/viraccessdriverpolkit.c).
std::span<const GuardedPermission> guarded_permissions();

/// Null when no guard speaks of it.
const GuardedPermission* find_guarded_permission(std::string_view permission);

struct PermissionAnswer {
  enum class Kind { allow, warn, deny } kind = Kind::allow;
  std::string reason;  ///< with warn and deny: domain, policy and where it is set
};

/// For a call on a domain with a GPU. A configuration with a mistake is no ground to allow
/// anything.
PermissionAnswer permission_answer(const GuardedPermission& permission, std::string_view domain,
                                   const LoadedConfig& loaded);

/// For a call on any domain of this host. Reads the configuration only for one with a GPU. What
/// cannot be determined is denied.
PermissionAnswer permission_answer(const Root& root, std::string_view permission,
                                   const Uuid& domain, std::string_view name);

/// As the rule reads it: "allow", "warn REASON" or "deny REASON".
std::string to_string(const PermissionAnswer& answer);

}  // namespace gpuward
