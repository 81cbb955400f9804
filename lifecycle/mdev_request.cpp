// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/mdev_request.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/usage.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"
#include "pci/card_facts.hpp"

namespace gpuward {

/// An instance of this UUID is there although no claim names it: it is this domain's by its UUID.
/// Taken when it is what the profile asks for, refused when not.
static void adopt(const Root& root, const Config& config, const Profile& profile,
                  ClaimedDevice& device) {
  const auto instance = find_instance(root, device.instance);
  if (!instance) return;
  const std::string title = gpu_title(device.alias);
  const std::string what = "instance " + to_string(device.instance);
  if (mdevctl_defines(root, instance->parent, device.instance))
    throw Error(title, what + " is defined in mdevctl",
                "run: mdevctl undefine --uuid " + to_string(device.instance));
  if (const auto holder = OpenDevices(root).holder_of(device.instance))
    throw Error(title, what + " on " + instance->parent + " is in use by " + to_string(*holder),
                "stop that process");
  const auto parent = find_parent(root, config, instance->parent);
  const bool fits = std::find(profile.types.begin(), profile.types.end(), instance->type) !=
                        profile.types.end() &&
                    parent && serves(config, profile, *parent);
  if (!fits)
    throw Error(title,
                what + " already exists on " + instance->parent + " with type " + instance->type +
                    ", which " + title_of(profile) + " does not allow",
                "run: echo 1 > /sys/bus/mdev/devices/" + to_string(device.instance) + "/remove");
  device.parent = instance->parent;
  device.type = instance->type;
}

ClaimedDevice mdev_asked(const Root& root, const Config& config, const Domain& domain,
                         const ResolvedRequest& gpu) {
  ClaimedDevice device{.alias = gpu.alias,
                       .profile = gpu.profile.name,
                       .instance = instance_uuid(domain.uuid, gpu.alias),
                       .parent = {},
                       .type = {}};
  device.use = gpu.profile.use;
  adopt(root, config, gpu.profile, device);
  return device;
}

}  // namespace gpuward
