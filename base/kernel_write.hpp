// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.hpp"

namespace gpuward {

/// One value to put into one control file of the kernel.
struct KernelWrite {
  std::string path;
  std::string value;
};

struct WriteResult {
  enum class Outcome {
    written,
    failed,
    blocked,
    unknown,  ///< the child ended without a report: only the kernel knows whether it was written
    untried,
  } outcome = Outcome::untried;
  int code = 0;     ///< errno when failed
  pid_t child = 0;  ///< the process that is blocked in the kernel when blocked
};

/// What came of changing a device of the kernel's.
struct KernelChange {
  std::string failure;  ///< why it is not so; "" when it is
  pid_t blocked = 0;    ///< the process blocked in the driver, whose write may still be done
};

/// How long writes are waited for, and who is told of the process that does them.
struct WriteOptions {
  // NOLINTNEXTLINE(google-explicit-constructor): most callers have a time and nothing else
  WriteOptions(std::chrono::milliseconds each, Deadline last = {},
               std::function<void(pid_t)> starts = {})
      : deadline(each), end(last), on_start(std::move(starts)) {}

  std::chrono::milliseconds deadline;  ///< for one write
  Deadline end;                        ///< of all
  /// Called with the process before it writes anything: a later process must find it named even
  /// if this program is killed. When it throws, nothing is written.
  std::function<void(pid_t)> on_start;
};

std::string blocked_in_kernel(pid_t process);  ///< "blocked in the kernel (process 4711)"

/// Does the writes in order in one throw-away child and stops at the first that fails or has not
/// ended after `deadline`. A control file may block without a timeout and unkillably (mdev
/// remove, unbind and sriov_numvfs while the device is open: vfio_unregister_group_dev waits for
/// the user), so the caller must never be the one who waits; a blocked child is left to end when
/// its write returns. The child holds none of our descriptors: libvirt waits for the end of a
/// hook's stdout and stderr. Threads may call it at the same time: the child touches no memory that
/// another thread or the caller uses, errno of the caller excepted where it may not be shared (see
/// start_child). A child whose parent was killed before `on_start` returned writes nothing.
std::vector<WriteResult> write_in_child(std::span<const KernelWrite> writes,
                                        const WriteOptions& options);

}  // namespace gpuward
