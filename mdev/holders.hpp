// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

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

/// Who has which VFIO node open: one walk over /proc/*/fd. Removing an mdev that is open blocks the
/// remover unkillably (kernel drivers/vfio/vfio_main.c), so look first.
class VfioHolders {
 public:
  explicit VfioHolders(const Root& root);

  /// Who has this instance open; nothing when nobody has.
  std::optional<Holder> of_instance(const Root& root, const Uuid& instance) const;

 private:
  std::map<std::string, Holder> by_node_;  ///< "/dev/vfio/12", "/dev/vfio/devices/vfio3"
};

}  // namespace gpuward
