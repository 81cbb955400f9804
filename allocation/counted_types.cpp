// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/counted_types.hpp"

#include <algorithm>

#include "config/gpu_settings.hpp"
#include "kinds/types.hpp"

namespace gpuward {

/// Of a profile that asks for memory the smallest type that has it.
static const GpuType* smallest_with(const std::vector<GpuType>& types, unsigned mib) {
  const GpuType* smallest = nullptr;
  for (const GpuType& type : types)
    if (type.memory_mib >= mib && (!smallest || type.memory_mib < smallest->memory_mib))
      smallest = &type;
  return smallest;
}

static bool is_for(const Profile& profile, const GpuType& type, const std::vector<GpuType>& types) {
  if (profile.memory_mib) return &type == smallest_with(types, *profile.memory_mib);
  return is_counted(&profile.types, type);
}

std::vector<bool> counted_types(const Config& config,
                                const std::function<bool(const Profile&)>& matches,
                                const std::vector<const GpuId*>& parts,
                                const std::vector<GpuType>& types) {
  std::vector<bool> counts(types.size());
  bool any = false;
  for (const Profile& profile : config.profiles) {
    if (!matches(profile)) continue;
    any = true;
    if (std::none_of(parts.begin(), parts.end(),
                     [&](const GpuId* part) { return serves(config, profile, *part); }))
      continue;
    for (size_t at = 0; at < types.size(); ++at)
      counts[at] = counts[at] || is_for(profile, types[at], types);
  }
  if (!any) counts.assign(types.size(), true);
  return counts;
}

}  // namespace gpuward
