// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/root.hpp"
#include "config/config.hpp"
#include "hooks/choose_device.hpp"

namespace gpuward {

/// `xml` of a domain that is off with each GPU of a pool pointed at a free device: those that are
/// stay. Where none is free it stays too: prepare will say who has it. One whose edit is refused is
/// logged, and stays. Throws Error when a pool has no device at all, and when all that could be
/// moved was refused.
std::string repoint(const Root& root, const Config& config, std::string_view xml,
                    const DeviceUse& use);

}  // namespace gpuward
