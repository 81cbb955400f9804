// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/kernel_write.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "kinds/deadlines.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// What is needed to set up a claimed device, beside the device.
struct DeviceSetup {
  const Root& root;
  const Config& config;
  const Profile& profile;  ///< that the device is claimed for
  const Claim& owner;      ///< the claim on disk, in which each process is named before it writes
  const Deadlines& deadlines;
};

/// "GPU 0 (0000:41:00.4)", of a companion "device 0000:41:00.1".
std::string device_title(const ClaimedDevice& device);

/// "instance UUID on mbochs", "0000:41:00.0"
std::string describe_device(const ClaimedDevice& device);

/// The claim names the process that writes before it does: whatever comes of a blocked write, or
/// whose hook is killed, until it has come, releasing finds it being made and keeps the device in
/// quarantine. One write of a small file in memory, before one to a driver.
WriteOptions named_writing(const Root& root, const Claim& owner, ClaimedDevice& device,
                           const Deadlines& deadlines);

/// Throws Error when it failed; one that is not blocked is no writer any more.
void require_changed(ClaimedDevice& device, const std::string& what, const KernelChange& change);

}  // namespace gpuward
