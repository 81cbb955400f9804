// SPDX-License-Identifier: LGPL-2.1-or-later
#include "polkit/permission.hpp"

#include "base/error.hpp"
#include "base/quote.hpp"
#include "state/gpu_domain_marker.hpp"

namespace gpuward {

using Kind = PermissionAnswer::Kind;

std::vector<GuardedPermission> guarded_permissions() {
  std::vector<GuardedPermission> all;
  for (const GuardRow& row : guard_table())
    for (const GuardedCall& call : row.calls) all.push_back({row.guard, call.permission});
  return all;
}

std::optional<GuardedPermission> find_guarded_permission(std::string_view permission) {
  for (const GuardedPermission& guarded : guarded_permissions())
    if (guarded.permission == permission) return guarded;
  return {};
}

PermissionAnswer permission_answer(const GuardedPermission& permission, std::string_view domain,
                                   const LoadedConfig& loaded) {
  const std::string what = domain_title(domain) + " has a GPU and ";
  if (!loaded.problems.empty())
    return {Kind::deny, what + "the configuration is invalid: " +
                            to_string(loaded.problems.front()) + "; run: gpuward check"};
  const Policy policy = policy_of(loaded.config.guard, permission.guard);
  const std::string set = what + "[guard] has " + setting_text(permission.guard, policy);
  switch (policy) {
    case Policy::allow:
      return {};
    case Policy::warn:
      return {Kind::warn, set};
    case Policy::block:
      break;
  }
  return {Kind::deny, set + " in /etc/gpuward/gpuward.conf (or by default)"};
}

PermissionAnswer permission_answer(const Root& root, std::string_view permission,
                                   const Uuid& domain, std::string_view name) {
  const auto guarded = find_guarded_permission(permission);
  try {
    if (!guarded || !has_gpu_now(root, domain)) return {};
  } catch (const Error& error) {
    return {Kind::deny, "cannot determine whether " + domain_title(name) +
                            " has a GPU: " + error.what() + "; run: gpuward doctor"};
  }
  return permission_answer(*guarded, name, load_host_config(root));
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
