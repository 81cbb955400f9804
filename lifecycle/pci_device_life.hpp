// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/error.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "lifecycle/deadlines.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// What set_up_pci_device needs beside the device.
struct DeviceSetup {
  const Root& root;
  const Config& config;
  const Profile& profile;  ///< that the device is claimed for
  const Claim& owner;      ///< the claim on disk, in which each process is named before it writes
  const Deadlines& deadlines;
};

/// Makes a claimed PCI device what the domain shall find: makes the VF, creates the vGPU, sets how
/// it is reset. What is chosen is noted in `device`. Throws Error with the cause; what was begun is
/// undone by tear_down_pci_device.
void set_up_pci_device(const DeviceSetup& setup, ClaimedDevice& device);

/// Whether a device waits for its scrub program and is a VF that does not exist although its card
/// does.
bool lacks_vf(const Root& root, const ClaimedDevice& device);

/// Enables the VFs of its card as prepare does, so that it can be scrubbed. Returns why that cannot
/// be, and what helps; no problem when the VF exists. `owner`: its claim on disk, as above.
Reason restore_vf(const Root& root, const Config& config, const Claim& owner, ClaimedDevice& device,
                  const Deadlines& deadlines);

/// What set_up_pci_device would find of a vendor VF right now: whether a type of its profile can be
/// created. Throws Error; InUse where other vGPUs of the card are there. prepare itself does not
/// ask before it has the lock of the PF: a release beside it may be about to make room.
void require_creatable(const Root& root, const Config& config, const Profile& profile,
                       const ClaimedDevice& device);

/// Takes the domain's traces off a device that libvirt has given back. Returns why it cannot be
/// given to another yet; "" when it can; who hangs in the driver is noted in `device`. `owner`: the
/// domain. Throws Error where to try again is no remedy.
std::string tear_down_pci_device(const Root& root, const Claim& owner, ClaimedDevice& device,
                                 const Deadlines& deadlines);

/// What another tool made is the administrator's: a vGPU on a vendor VF goes only when they say so
/// (adopt = yes), and never while it is open. Throws Error. To be called before the claim is
/// written, too: what a claim names, a release may remove.
void require_adoptable(const Root& root, const Config& config, const ClaimedDevice& device);

}  // namespace gpuward
