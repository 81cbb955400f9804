// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>

namespace gpuward {

/// "NVIDIA Corporation GA102GL [A40]" from udev's hardware database; "" when it does not know it.
std::string hardware_name(uint16_t vendor, uint16_t device);

}  // namespace gpuward
