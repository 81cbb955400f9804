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

std::string to_string(const Holder& holder);  ///< "process 4711 (qemu-system-x86)"

/// One whose open files cannot be read.
struct UnreadableProcess {
  Holder process;
  std::string reason;  ///< "/proc/4711/fd: Permission denied"
};

/// Which process has which character device open: one walk over /proc/*/fd. A file counts by its
/// device number, never by its name: any user can give any file any name in a mount namespace of
/// their own. Removing an mdev that is open, or taking its driver from a device that is, blocks the
/// remover unkillably (kernel drivers/vfio/vfio_main.c), so look first.
class OpenHandles {
 public:
  explicit OpenHandles(const Root& root);

  /// The first process that has one of these device numbers open.
  std::optional<Holder> of(const std::vector<dev_t>& numbers) const;

  /// Processes that could not be inspected: whether they have a device open is unknown.
  const std::vector<UnreadableProcess>& unknown() const { return unknown_; }

 private:
  void add(const Root& root, const Holder& process);
  std::map<dev_t, Holder> by_number_;
  std::vector<UnreadableProcess> unknown_;
};

/// What `find` finds when it finds nobody or `deadline` is over: a QEMU that libvirt killed needs a
/// moment to be gone from /proc.
std::optional<Holder> wait_until_closed(std::chrono::milliseconds deadline,
                                        const std::function<std::optional<Holder>()>& find);

}  // namespace gpuward
