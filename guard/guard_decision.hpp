// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.hpp"
#include "libvirt/domain_state.hpp"

namespace gpuward {

std::string_view to_string(Job job);  ///< as in a sentence: "live migration"

/// What the guard does about an event.
struct Decision {
  enum class Act { nothing, report, undo } act = Act::nothing;
  std::string reason;  ///< what happened and which setting speaks of it; "" with nothing
};

/// For a pause whose cause libvirt knows. One that libvirt made for a purpose of its own is never
/// undone: the save, dump or migration would come out wrong, and after an I/O error the guest would
/// lose what it cannot write.
Decision on_pause(Policy policy, Condition condition);

/// For a pause without a job, by QEMU's own word for its state (RunState, as in query-status).
/// "paused" is a stop that nobody needs: of the monitor, or of a job that was aborted. All else is
/// reported with what to do and never undone: after "postmigrate" another QEMU may use the disks.
Decision on_pause_in_qemu(Policy policy, std::string_view qemu_status, std::string_view domain);

/// Whether QEMU leaves this state by itself, or with the job that runs. libvirt has no event for
/// the next.
bool is_passing(std::string_view qemu_status);

/// How sure it is that the job copies the state of the devices: a disk-only snapshot and a
/// memory-only dump do not, and these are no business of ours.
enum class JobSeen {
  migrating,  ///< QEMU itself says that it migrates: to a host or into a file
  by_name,    ///< all that is known is libvirt's word for the job
};
Decision on_job(Policy policy, Job job, JobSeen seen);

/// Memory came to a running domain; `had` is the size (KiB) that the device had when the guard
/// first saw the domain, 0 when it was not there, `has` what it is asked to have now.
Decision on_memory(Policy policy, uint64_t had, uint64_t has);

/// A hostdev came to a running domain.
Decision on_hostdev(Policy policy, bool is_gpu, bool was_there);

/// A hostdev left a running domain. It cannot be brought back as the guest had it, so this is
/// never more than a report.
Decision on_hostdev_gone(Policy policy, bool was_gpu);

}  // namespace gpuward
