// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <optional>

#include "base/lock.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

/// Held from reading a domain's persistent definition to replacing it: libvirt takes whatever comes
/// last, and what another gpuward process wrote meanwhile would be lost. Nothing for users who may
/// not write to /run/gpuward, as libvirt serves others than root, too. Throws Error when another
/// has it for longer than `deadline`.
std::optional<Lock> lock_definition(const Root& root, const Uuid& domain,
                                    std::chrono::milliseconds deadline);

}  // namespace gpuward
