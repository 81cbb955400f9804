// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// Whether the device has the memory that the profile requests, which is written into the claim.
/// Throws Error with the command that chooses another type, also where its memory is not known.
void require_memory(const Root& root, const Domain& domain, const Profile& profile,
                    ClaimedDevice& device);

/// Writes the memory into the claim as far as it is known, for what is counted of it later; whoever
/// creates a vGPU writes that of its type.
void note_memory(const Root& root, ClaimedDevice& device);

}  // namespace gpuward
