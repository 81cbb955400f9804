// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "allocation/place_mdev.hpp"
#include "allocation/reassignment.hpp"

namespace gpuward {

/// A device that a GPU of a domain could have, and why it gets it or not.
struct ConsideredDevice {
  enum class Result {
    chosen,
    available,  ///< but another was chosen
    unavailable,
  } result = Result::available;
  std::string device;  ///< PCI address, or parent of mdevs
  std::string type{};  ///< of an mdev
  std::string why{};   ///< "" of one that is simply the best
};

/// A GPU of a domain that is shut off, and the device that it would start with now.
struct GpuChoice {
  std::string alias;
  std::string title;  ///< of its request
  std::vector<ConsideredDevice> devices;

  bool has_device() const;
};

/// Of an mdev.
GpuChoice mdev_choice(const MdevChoice& choice, const Profile& profile, const std::string& alias);

/// Of all GPUs of the domain that are PCI devices, after `gpuward reassign`. Pure, as
/// plan_reassignments.
std::vector<GpuChoice> device_choices(const PoolDomain& domain, const DevicePools& pools,
                                      const DevicesByHand& by_hand, const DeviceUse& use);

}  // namespace gpuward
