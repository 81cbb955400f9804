// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/device_memory.hpp"

#include "kinds/kind.hpp"

namespace gpuward {

std::optional<unsigned> memory_of_device(const Root& root, const ClaimedDevice& device,
                                         const std::string& type) {
  const auto memory = kind_of(device.use).memory;
  return memory ? memory(root, device, type) : std::nullopt;
}

std::vector<Claim> with_memory(const Root& root, std::vector<Claim> claims) {
  for (Claim& claim : claims)
    for (ClaimedDevice& device : claim.devices)
      if (!device.memory_mib) device.memory_mib = memory_of_device(root, device, device.type);
  return claims;
}

}  // namespace gpuward
