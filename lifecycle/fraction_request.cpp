// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/fraction_request.hpp"

#include <algorithm>

#include "allocation/device_memory.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "config/use.hpp"

namespace gpuward {

/// Of a vGPU that is still to be created: that of the largest type that it may be. A full card, and
/// one whose VFs are not enabled, lists no types; a request by memory then counts as what it
/// requests, and what creates the vGPU refuses less.
static std::optional<unsigned> memory_to_come(const Root& root, const Profile& profile,
                                              const ClaimedDevice& device) {
  unsigned most = 0;
  for (const std::string& type : profile.types) {
    const auto memory = memory_of_device(root, device, type);
    if (!memory) return profile.memory_mib;
    most = std::max(most, *memory);
  }
  return most ? std::optional(most) : std::nullopt;
}

/// A vGPU that is still to be created.
static bool is_to_come(const ClaimedDevice& device) {
  return is_typed_vf(device.use) && device.type == "-";
}

void note_memory(const Root& root, ClaimedDevice& device) {
  if (!is_to_come(device)) device.memory_mib = known_memory(root, device);
}

void require_memory(const Root& root, const Domain& domain, const Profile& profile,
                    ClaimedDevice& device) {
  device.memory_mib = is_to_come(device) ? memory_to_come(root, profile, device)
                                         : memory_of_device(root, device, device.type);
  if (!profile.memory_mib || device.memory_mib >= profile.memory_mib) return;
  const std::string found =
      device.memory_mib ? std::to_string(*device.memory_mib) + " MiB" : "an unknown amount";
  throw Error(gpu_title(device.alias),
              title_of(profile) + " has " + found + " of memory, requested are " +
                  std::to_string(*profile.memory_mib) + " MiB",
              "run: gpuward reassign " + shell_word(domain.name));
}

}  // namespace gpuward
