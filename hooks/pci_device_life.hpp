// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/root.hpp"
#include "config/config.hpp"
#include "hooks/deadlines.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// Makes a claimed PCI device what the domain shall find: makes the VF, creates the vGPU, sets how
/// it is reset. What is chosen is noted in `device`. Throws Error with the cause; what was begun is
/// undone by tear_down_pci_device.
/// `owner`: the claim on disk, in which each process is named before it writes.
void set_up_pci_device(const Root& root, const Config& config, const Claim& owner,
                       ClaimedDevice& device, const Deadlines& deadlines);

/// Takes the domain's traces off a device that libvirt has given back. Returns why it cannot be
/// given to another yet; "" when it can; who hangs in the driver is noted in `device`. `owner`: the
/// domain.
std::string tear_down_pci_device(const Root& root, const Claim& owner, ClaimedDevice& device,
                                 const Deadlines& deadlines);

/// What another tool made is the administrator's: a vGPU on a vendor VF goes only when they say so
/// (adopt = yes), and never while it is open. Throws Error. To be called before the claim is
/// written, too: what a claim names, a release may remove.
void require_adoptable(const Root& root, const Config& config, const ClaimedDevice& device);

}  // namespace gpuward
