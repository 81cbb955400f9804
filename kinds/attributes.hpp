// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "kinds/device_setup.hpp"

namespace gpuward {

/// Writes what the profile has in `set` to the instance, or to the VF of a vGPU, in order. Throws
/// Error with the attribute, the value and what the kernel said; the caller undoes the device then.
void write_attributes(const DeviceSetup& setup, ClaimedDevice& device);

}  // namespace gpuward
