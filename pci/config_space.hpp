// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>

namespace gpuward {

// Configuration space of a PCI function, of its open `config` in sysfs. Nothing here allocates: it
// may run in a throw-away child (base/kernel_read.hpp). Whoever opens it knows that the function is
// awake.

/// What is read of a function that does not answer.
inline constexpr uint32_t no_answer = 0xffffffff;

/// Where extended capabilities begin; readable by root alone.
inline constexpr unsigned first_extended_capability = 0x100;

/// One register, little endian; nothing for less than root beyond byte 64.
std::optional<uint32_t> config_register(int config, unsigned offset);

/// Where the extended capability of that id begins.
std::optional<unsigned> find_extended_capability(int config, unsigned id);

/// Where the capability of that id begins, of those below byte 256.
std::optional<unsigned> find_capability(int config, unsigned id);

}  // namespace gpuward
