// SPDX-License-Identifier: LGPL-2.1-or-later
#include "polkit/permission.hpp"

#include "base/error.hpp"
#include "config/quotes.hpp"
#include "state/gpu_domain_marker.hpp"

namespace gpuward {

using Kind = PermissionAnswer::Kind;

/// From libvirt's remote_protocol.x, "@acl: domain:...". "suspend" is asked for to resume as well,
/// "pm-control" to wake up as well.
static constexpr GuardedPermission all[] = {
    {"suspend", "pause", &GuardPolicy::pause, "suspend and resume"},
    {"pm-control", "pause", &GuardPolicy::pause, "dompmsuspend and dompmwakeup"},
    {"migrate", "migration", &GuardPolicy::migration, "migrate"},
    {"hibernate", "migration", &GuardPolicy::migration, "save and managedsave"},
    {"core-dump", "migration", &GuardPolicy::migration, "dump"},
};

std::span<const GuardedPermission> guarded_permissions() {
  return all;
}

const GuardedPermission* find_guarded_permission(std::string_view permission) {
  for (const GuardedPermission& guarded : all)
    if (guarded.permission == permission) return &guarded;
  return nullptr;
}

PermissionAnswer permission_answer(const GuardedPermission& permission, std::string_view domain,
                                   const LoadedConfig& loaded) {
  const std::string it = "domain " + in_quotes(domain) + " has a GPU and ";
  if (!loaded.problems.empty())
    return {Kind::deny, it + "the configuration has a mistake, " +
                            to_string(loaded.problems.front()) + "; see 'gpuward check'"};
  const std::string set = std::string(permission.guard) + " = ";
  switch (loaded.config.guard.*permission.policy) {
    case Policy::allow:
      return {};
    case Policy::warn:
      return {Kind::warn, it + "[guard] has " + set + "warn"};
    case Policy::block:
      break;
  }
  return {Kind::deny,
          it + "[guard] has " + set + "block in /etc/gpuward/gpuward.conf (or by default)"};
}

PermissionAnswer permission_answer(const Root& root, std::string_view permission,
                                   const Uuid& domain, std::string_view name) {
  const GuardedPermission* guarded = find_guarded_permission(permission);
  try {
    if (!guarded || !has_gpu_now(root, domain)) return {};
  } catch (const Error& error) {
    return {Kind::deny, "whether domain " + in_quotes(name) + " has a GPU cannot be determined: " +
                            error.what() + "; run: gpuward doctor"};
  }
  return permission_answer(*guarded, name, load_config(config_files(root)));
}

std::string to_string(const PermissionAnswer& answer) {
  switch (answer.kind) {
    case Kind::allow:
      return "allow";
    case Kind::warn:
      return "warn " + answer.reason;
    case Kind::deny:
      break;
  }
  return "deny " + answer.reason;
}

}  // namespace gpuward
