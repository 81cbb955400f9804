// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/config_space.hpp"

#include <unistd.h>

#include "base/retried.hpp"

namespace gpuward {

std::optional<uint32_t> config_register(int config, unsigned offset) {
  unsigned char bytes[4];
  const ssize_t size =
      retried([&] { return ::pread(config, bytes, sizeof bytes, static_cast<off_t>(offset)); });
  if (size != sizeof bytes) return {};
  return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

/// 16 bits of id, 4 of version, 12 of the next one's offset (PCIe, Extended Capability Header).
std::optional<unsigned> find_extended_capability(int config, unsigned id) {
  constexpr unsigned last = 0xffc, least_size = 8;
  unsigned offset = first_extended_capability;
  for (unsigned seen = 0; seen < (last - first_extended_capability) / least_size; ++seen) {
    const auto header = config_register(config, offset);
    if (!header || *header == 0 || *header == no_answer) return {};
    if ((*header & 0xffff) == id) return offset;
    offset = *header >> 20 & last;
    if (offset < first_extended_capability) return {};
  }
  return {};
}

/// A pointer at byte 52; 8 bits of id, 8 of the next one's offset (PCI Local Bus, Capabilities
/// List).
std::optional<unsigned> find_capability(int config, unsigned id) {
  constexpr unsigned pointer = 0x34, first = 0x40, most = (0x100 - first) / 4;
  auto offset = config_register(config, pointer);
  for (unsigned seen = 0; offset && seen < most; ++seen) {
    const unsigned at = *offset & 0xfc;
    if (at < first) return {};
    const auto header = config_register(config, at);
    if (!header || *header == no_answer) return {};
    if ((*header & 0xff) == id) return at;
    offset = *header >> 8;
  }
  return {};
}

}  // namespace gpuward
