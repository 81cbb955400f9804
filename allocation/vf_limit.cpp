// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/vf_limit.hpp"

#include <algorithm>

namespace gpuward {

/// "the card", "VF 2"
static std::string function_title(size_t number) {
  return number == 0 ? "the card" : "VF " + std::to_string(number);
}

/// What keeps the times of one function from being a part of their sum; "" when nothing does.
static std::string no_part(const VfProfile& profile, size_t number) {
  const std::string of = " of " + function_title(number);
  constexpr unsigned longest = 1'000'000;  // far more than the driver takes
  if (profile.exec_quantum_ms.value_or(longest + 1) > longest)
    return "exec_quantum_ms" + of + " is not reported by the driver";
  if (*profile.exec_quantum_ms == 0) return "exec_quantum_ms" + of + " is 0, which is no limit";
  if (profile.sched_priority.empty())
    return "sched_priority" + of + " is not reported by the driver";
  if (profile.sched_priority == "low" || profile.sched_priority == "normal") return {};
  return "sched_priority" + of + " is " + profile.sched_priority;
}

/// Functions take turns of exec_quantum_ms each. One of priority normal has its turn also while it
/// has nothing to do; that of one of priority low, as they all are at first, goes to the others
/// then (Documentation/ABI/testing/sysfs-driver-intel-xe-sriov).
static Limit compute_limit(const std::vector<VfProfile>& profiles) {
  unsigned sum = 0;  // the firmware takes 100 s at most for each
  for (const VfProfile& profile : profiles) sum += *profile.exec_quantum_ms;
  const bool is_strict = std::all_of(profiles.begin(), profiles.end(), [](const auto& profile) {
    return profile.sched_priority == "normal";
  });
  if (is_strict) return {Limit::Kind::averaged, sum};
  return {Limit::Kind::contended};
}

VfLimits limits_of_vf(const std::vector<VfProfile>& profiles, const PciAddress& vf) {
  VfLimits found;
  size_t number = 0;
  while (number < profiles.size() && profiles[number].address != vf) ++number;
  if (number == profiles.size()) {
    found.no_memory = found.no_compute = "device is not a VF of the claimed card";
    return found;
  }
  // By the local memory translation table (LMTT) in hardware.
  if (profiles[number].vram_quota.value_or(0) > 0)
    found.limits.memory = {Limit::Kind::hard};
  else
    found.no_memory = std::string("vram_quota ") +
                      (profiles[number].vram_quota ? "is 0" : "is not reported by the driver");
  found.no_compute = no_part(profiles[number], number);
  for (size_t i = 0; i < profiles.size() && found.no_compute.empty(); ++i)
    found.no_compute = no_part(profiles[i], i);
  if (found.no_compute.empty()) found.limits.compute = compute_limit(profiles);
  return found;
}

}  // namespace gpuward
