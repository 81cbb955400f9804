// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"
#include "config/config_parser.hpp"
#include "protection/guards.hpp"

namespace gpuward {

/// What libvirt asks polkit for before a call on a domain (org.libvirt.api.domain.PERMISSION),
/// where a guard speaks of it.
struct GuardedPermission {
  Guard guard = Guard::migration;
  std::string_view permission;
};

/// All there are, of guard_table().
std::vector<GuardedPermission> guarded_permissions();

/// Nothing when no guard speaks of it.
std::optional<GuardedPermission> find_guarded_permission(std::string_view permission);

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
