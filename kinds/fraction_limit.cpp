// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/fraction_limit.hpp"

#include "config/gpu_settings.hpp"
#include "kinds/type_limit.hpp"

namespace gpuward {

Isolation isolation_of(const GpuPart& part) {
  return part.compute_percent ? Isolation::memory_and_compute : Isolation::memory;
}

Isolation isolation_of(const Profile& profile) {
  return isolation_of(GpuPart{profile.memory_mib.value_or(0), profile.compute_percent});
}

static bool is_fraction(const Profile& profile) {
  return profile.memory_mib && !traits_of(profile.use).is_whole_card;
}

void mark_fraction(const Profile& profile, ClaimedDevice& device) {
  if (!is_fraction(profile)) return;
  device.fraction = isolation_of(profile);
  device.compute_percent = profile.compute_percent;
}

std::vector<Isolation> fractions_on(const Root& root, const std::string& card,
                                    const std::vector<Claim>& claims) {
  std::vector<Isolation> found;
  for (const Claim& claim : claims)
    for (const ClaimedDevice& device : claim.devices)
      if (device.fraction && card_of(root, device) == card) found.push_back(*device.fraction);
  return found;
}

std::string tenant_refusal(const std::optional<Isolation>& configured,
                           const std::vector<Isolation>& tenants, Isolation wanted) {
  if (configured && *configured != wanted)
    return "isolation of the GPU is " + std::string(isolation_word(*configured)) + " by [gpu]";
  for (const Isolation tenant : tenants)
    if (tenant != wanted)
      return "isolation of the GPU is " + std::string(isolation_word(tenant)) +
             " by the fractions on it";
  if (tenants.size() >= most_fractions_per_gpu)
    return std::to_string(most_fractions_per_gpu) +
           " fractions are on the GPU, the most there may be";
  return {};
}

std::optional<ReachedLimit> fraction_limit(const Root& root, const Config& config,
                                           const Profile& profile, const Parent& part,
                                           const std::vector<Claim>& claims) {
  if (!is_fraction(profile)) return {};
  const std::string card = part.physical_function ? to_string(*part.physical_function) : part.name;
  const auto configured = settings_of(config, part).isolation;
  const Isolation wanted = isolation_of(profile);
  const std::string why = tenant_refusal(configured, fractions_on(root, card, claims), wanted);
  if (why.empty()) return {};
  const bool is_permanent = configured && *configured != wanted;
  return ReachedLimit{card + ": " + why, is_permanent,
                      is_permanent ? "change isolation in the [gpu] section of " + card
                                   : "shut one of the domains down"};
}

}  // namespace gpuward
