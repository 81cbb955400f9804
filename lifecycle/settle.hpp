// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>

#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

// When a domain claims a device of a pool, or releases it, the guard points domains that are off
// at one that is free. libvirt goes on with its caller when the hook returns, and the next "virsh
// start" may follow at once: so the hook waits until that is done. It asks by a file beside the
// claims, whose removal is the answer; the guard sees the file after the claim came or went, as it
// sees both through one inotify watch.

/// Returns when the guard has checked the claims as they are now, or it is not there, or after
/// `deadline`. No reason to refuse anything.
void wait_for_reassignment(const Root& root, const Uuid& domain,
                           std::chrono::milliseconds deadline);

}  // namespace gpuward
