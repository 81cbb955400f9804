// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "domain/xml_document.hpp"

namespace gpuward {

/// A size as libvirt reads it (virScaleInteger), in KiB rounded up: number, unit in the attribute,
/// KiB by default. Nothing when it is none.
std::optional<uint64_t> kib_of(const Element& size);

/// A domain's memory as its XML has it. Sizes in KiB.
struct Memory {
  const Element* most = nullptr;  ///< <maxMemory>: room for memory to be added
  uint64_t most_kib = 0;
  unsigned slots = 0;
  uint64_t has_kib = 0;                 ///< what it starts with, devices included, as QEMU gets it
  unsigned devices = 0;                 ///< those that may take a slot
  std::vector<const Element*> growing;  ///< virtio-mem that has more than is requested
};

Memory memory_of(const Document& document);

/// Whether <maxMemory> leaves room or slots for more than it has.
bool has_room(const Memory& memory);

}  // namespace gpuward
