// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/kernel_write.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

/// A mediated device: /sys/bus/mdev/devices/UUID.
struct Instance {
  Uuid uuid;
  std::string parent;
  std::string type;  ///< "" while the kernel is still making it: the link mdev_type comes last
};

std::vector<Instance> list_instances(const Root& root);
/// Their UUIDs as the kernel writes them, sorted.
std::vector<std::string> instance_names(const Root& root);
std::optional<Instance> find_instance(const Root& root, const Uuid& uuid);

/// Its directory in sysfs, whether it exists or not.
std::string instance_path(const Root& root, const Uuid& uuid);

/// Whether this very one is there: one look where find_instance and a comparison take two.
bool exists_as(const Root& root, const Instance& instance);

KernelWrite creation(const Root& root, const Instance& instance);
KernelWrite removal(const Root& root, const Uuid& uuid);

/// What a failed write to `create` means. Drivers disagree on the errno for "nothing left".
enum class CreateFailure {
  no_capacity,  ///< ENOSPC mtty, ENOMEM old mbochs, EUSERS the core's own count
  gone,         ///< the parent or the type was removed
  taken,        ///< the UUID exists somewhere on this host
  other,
};
CreateFailure create_failure(int code);

/// Its directory below its parent; nothing when it is gone. An instance whose removal blocks
/// because it is open leaves /sys/bus/mdev/devices at once and keeps this, its capacity and its
/// UUID until it is closed (seen on 6.1 and 6.12: device_del comes before vfio_unregister_group_dev
/// waits).
std::optional<std::string> instance_directory(const Root& root, const Uuid& uuid);

/// The parent that this UUID is taken on, be it that its removal blocks; nothing when it is free.
std::optional<std::string> parent_of_uuid(const Root& root, const Uuid& uuid);

/// Waits until that is gone: the write to `remove` may return before.
bool wait_until_gone(const Root& root, const Uuid& uuid, std::chrono::milliseconds deadline);

/// Where mdevctl keeps the definitions of one parent's instances, a file each; of "" a directory
/// for each parent.
std::string mdevctl_directory(const Root& root, std::string_view parent);

/// Whether mdevctl has a definition of this UUID for this parent.
bool mdevctl_defines(const Root& root, const std::string& parent, const Uuid& uuid);

}  // namespace gpuward
