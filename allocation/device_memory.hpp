// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <vector>

#include "base/root.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// How much memory of its card a claimed device has, in MiB, as the host shows it; nothing where
/// that is not known: of VFs whose driver does not report it, and of a whole GPU without amdgpu.
/// `type`: of a vendor_vf whose vGPU is still to be created. Throws SystemError.
std::optional<unsigned> memory_of_device(const Root& root, const ClaimedDevice& device,
                                         const std::string& type);

/// The same; nothing also where it cannot be read.
std::optional<unsigned> known_memory(const Root& root, const ClaimedDevice& device);

/// The claims with the memory of those devices that were claimed without it, as far as the host
/// shows it.
std::vector<Claim> with_memory(const Root& root, std::vector<Claim> claims);

}  // namespace gpuward
