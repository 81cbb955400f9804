// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/fraction_request.hpp"

#include "allocation/device_memory.hpp"
#include "allocation/fraction.hpp"
#include "allocation/type_limit.hpp"
#include "base/quote.hpp"
#include "mdev/gpu_settings.hpp"

namespace gpuward {

void mark_fraction(const Profile& profile, ClaimedDevice& device) {
  if (profile.memory_mib && profile.use != Use::whole) device.fraction = isolation_of(profile);
}

std::string fraction_refusal(const Root& root, const Config& config, const Profile& profile,
                             const Parent& part, const std::vector<Claim>& claims) {
  if (!profile.memory_mib || profile.use == Use::whole) return {};
  const std::string card = part.physical_function ? to_string(*part.physical_function) : part.name;
  const std::string why = tenant_refusal(settings_of(config, part).isolation,
                                         fractions_on(root, card, claims), isolation_of(profile));
  return why.empty() ? "" : card + ": " + why;
}

/// The type of a vGPU that is still to be created is that of the request.
static std::string type_of(const Profile& profile, const ClaimedDevice& device) {
  const bool is_created = device.use != Use::vendor_vf || device.type != "-";
  return is_created || profile.types.empty() ? device.type : profile.types.front();
}

void require_memory(const Root& root, const Domain& domain, const Profile& profile,
                    ClaimedDevice& device) {
  device.memory_mib = memory_of_device(root, device, type_of(profile, device));
  if (!profile.memory_mib || device.memory_mib >= profile.memory_mib) return;
  const std::string found =
      device.memory_mib ? std::to_string(*device.memory_mib) + " MiB" : "an unknown amount";
  throw Error(gpu_title(device.alias),
              title_of(profile) + " has " + found + " of memory, requested are " +
                  std::to_string(*profile.memory_mib) + " MiB",
              "run: gpuward reassign " + shell_word(domain.name));
}

}  // namespace gpuward
