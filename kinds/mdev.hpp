// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <vector>

#include "base/kernel_write.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"
#include "kinds/deadlines.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

// Instances of mediated devices, which are created and removed by themselves, not set up.

/// Creates those of a domain in their order, by one process. `write_claim` writes their claim with
/// that process as their writer, before it begins. Returns how many are there: fewer than all where
/// the kernel had no room for the next one where it was placed. Throws Error for all else; no
/// parent is noted then of those that are not there.
size_t create_instances(const Root& root, const std::vector<ClaimedDevice*>& devices,
                        const Deadlines& deadlines, const std::function<void()>& write_claim);

/// Removes one instance that no process has open; no failure when it is gone. `on_start`: as of
/// WriteOptions.
KernelChange remove_instance(const Root& root, const Uuid& instance, const Deadlines& deadlines,
                             std::function<void(pid_t)> on_start = {});

}  // namespace gpuward
