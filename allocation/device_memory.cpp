// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/device_memory.hpp"

#include "base/error.hpp"
#include "kinds/kind.hpp"
#include "kinds/types.hpp"

namespace gpuward {

std::optional<unsigned> memory_of_device(const Root& root, const ClaimedDevice& device,
                                         const std::string& type) {
  const ClaimedType own = claimed_type(root, device);
  const auto memory = kind_of(own.use).memory;
  return memory ? memory(root, device, is_by_hand(device) ? own.id : type) : std::nullopt;
}

std::optional<unsigned> known_memory(const Root& root, const ClaimedDevice& device) try {
  return memory_of_device(root, device, device.type);
} catch (const Error&) {
  return {};
}

std::vector<Claim> with_memory(const Root& root, std::vector<Claim> claims) {
  for (Claim& claim : claims)
    for (ClaimedDevice& device : claim.devices)
      if (!device.memory_mib) device.memory_mib = known_memory(root, device);
  return claims;
}

}  // namespace gpuward
