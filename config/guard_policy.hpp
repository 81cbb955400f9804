// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gpuward {

enum class Policy { block, warn, allow };

/// The word for it in gpuward.conf.
constexpr std::string_view to_string(Policy policy) {
  return policy == Policy::block ? "block" : policy == Policy::warn ? "warn" : "allow";
}

/// [guard]
struct GuardPolicy {
  Policy migration = Policy::block;
  Policy pause = Policy::block;
  Policy memory_hotplug = Policy::block;
  Policy gpu_hotplug = Policy::block;
  bool gpu_hotplug_strict = false;  ///< block, and no PCI port stays open for a device to be added
  bool harden = false;
};

/// What [guard] guards against.
enum class Guard { migration, pause, memory_hotplug, gpu_hotplug };

/// A guard's key in [guard]. All else of a guard is in its row of protection/guards.cpp.
struct GuardKey {
  std::string_view name;
  Policy GuardPolicy::*policy;
  bool GuardPolicy::*strict = nullptr;  ///< set by the value strict, which is block and more
};

/// In the order of Guard.
inline constexpr GuardKey guard_keys[] = {
    {"migration", &GuardPolicy::migration},
    {"pause", &GuardPolicy::pause},
    {"memory-hotplug", &GuardPolicy::memory_hotplug},
    {"gpu-hotplug", &GuardPolicy::gpu_hotplug, &GuardPolicy::gpu_hotplug_strict},
};

constexpr const GuardKey& key_of(Guard guard) {
  return guard_keys[static_cast<size_t>(guard)];
}
constexpr std::string_view to_string(Guard guard) {
  return key_of(guard).name;
}
constexpr Policy policy_of(const GuardPolicy& policy, Guard guard) {
  return policy.*key_of(guard).policy;
}

/// As a line of gpuward.conf: "pause = warn".
inline std::string setting_text(Guard guard, std::string_view value) {
  return std::string(to_string(guard)) + " = " + std::string(value);
}
inline std::string setting_text(Guard guard, Policy policy) {
  return setting_text(guard, to_string(policy));
}

}  // namespace gpuward
