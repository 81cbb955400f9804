// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace gpuward {

/// A domain's state as libvirt knows it, as far as the guard of pauses asks.
enum class Condition {
  running,
  paused_by_user,   ///< VIR_DOMAIN_PAUSED_USER: a user called for the pause itself
  paused_by_cause,  ///< by what libvirt knows to be more than a pause: an I/O error, a watchdog,
                    ///< ...
  paused,           ///< by a job that runs or ran, or without a cause that libvirt knows
  shutting_down,    ///< or about to run again, as by `virsh reboot`: its QEMU is there
  off,
};

/// What libvirt does with a domain at the moment.
enum class Job { none, migration, save, dump, snapshot, other };

}  // namespace gpuward
