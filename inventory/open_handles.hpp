// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

/// A process that has a device open.
struct Holder {
  pid_t pid = 0;
  std::string command;
};

std::string to_string(const Holder& holder);  ///< "pid 4711 (qemu-system-x86)"

/// Who has which node of a GPU open: one walk over /proc/*/fd. Removing an mdev that is open, or
/// taking its driver from a device that is, blocks the remover unkillably (kernel
/// drivers/vfio/vfio_main.c), so look first.
class DeviceHolders {
 public:
  explicit DeviceHolders(const Root& root);

  /// Who has this instance open; nothing when nobody has.
  std::optional<Holder> of_instance(const Root& root, const Uuid& instance) const;

  /// The same for a node by its name: "/dev/dri/card0".
  std::optional<Holder> of_node(const std::string& node) const;

 private:
  std::map<std::string, Holder> by_node_;  ///< "/dev/vfio/12", "/dev/vfio/devices/vfio3"
};

/// What `find` finds when it finds nobody or `deadline` is over: a QEMU that libvirt killed needs a
/// moment to be gone from /proc.
std::optional<Holder> holder_after(std::chrono::milliseconds deadline,
                                   const std::function<std::optional<Holder>()>& find);

}  // namespace gpuward
