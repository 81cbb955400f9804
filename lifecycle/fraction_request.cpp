// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/fraction_request.hpp"

#include "allocation/device_memory.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "config/use.hpp"

namespace gpuward {

/// The type of a vGPU that is still to be created is that of the request.
static std::string type_of(const Profile& profile, const ClaimedDevice& device) {
  const bool is_created = !is_typed_vf(device.use) || device.type != "-";
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
