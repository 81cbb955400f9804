// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/guard_decision.hpp"

namespace gpuward {

using Act = Decision::Act;

std::string_view to_string(Job job) {
  switch (job) {
    case Job::none:
      return "no job";
    case Job::migration:
      return "live migration";
    case Job::save:
      return "save";
    case Job::dump:
      return "dump";
    case Job::snapshot:
      return "snapshot with memory";
    case Job::other:
      break;
  }
  return "another job";
}

static Decision decide(Policy policy, Guard guard, std::string happened) {
  if (policy == Policy::allow) return {};
  return {policy == Policy::block ? Act::undo : Act::report,
          std::move(happened) + " (" + setting_text(guard, policy) + ")"};
}

Decision on_pause(Policy policy, Condition condition) {
  if (condition != Condition::paused_by_user) return {};
  return decide(policy, Guard::pause, "paused by a user");
}

/// What a state of QEMU means and which command comes next; NAME stands for the domain.
struct StoppedState {
  std::string_view status, meaning, remedy;
};

static constexpr StoppedState stopped_states[] = {
    {"postmigrate", "the state was sent to another QEMU, which may use the disks",
     "make sure that no other QEMU runs the domain, then virsh resume NAME, else virsh destroy "
     "NAME"},
    {"finish-migrate", "the state is being sent to another QEMU, which may use the disks",
     "virsh domjobinfo NAME"},
    {"inmigrate", "the incoming state is not complete", "virsh domjobinfo NAME"},
    {"internal-error", "QEMU has an internal error", "virsh reset NAME, then virsh resume NAME"},
    {"io-error", "a disk has an I/O error",
     "virsh domblkerror NAME, repair the disk, then virsh resume NAME"},
    {"watchdog", "the guest's watchdog has expired", "virsh reset NAME, then virsh resume NAME"},
    {"suspended", "the guest has suspended itself", "virsh dompmwakeup NAME"},
    {"guest-panicked", "the guest has crashed", "virsh reset NAME, then virsh resume NAME"},
    {"save-vm", "a snapshot is being written", "virsh domjobinfo NAME"},
    {"restore-vm", "a snapshot is being read", "virsh domjobinfo NAME"},
    {"prelaunch", "QEMU has not started the guest", "virsh domstate --reason NAME"},
};

static std::string with_name(std::string_view text, std::string_view domain) {
  std::string result;
  for (;;) {
    const auto at = text.find("NAME");
    result += text.substr(0, at);
    if (at == text.npos) return result;
    result += domain;
    text.remove_prefix(at + 4);
  }
}

Decision on_pause_in_qemu(Policy policy, std::string_view qemu_status, std::string_view domain) {
  if (qemu_status == "running") return {};  // libvirt is about to learn of it
  if (qemu_status == "paused")
    return decide(policy, Guard::pause, "paused without a job of libvirt");
  if (policy == Policy::allow) return {};
  const StoppedState* found = nullptr;
  for (const StoppedState& state : stopped_states)
    if (state.status == qemu_status) found = &state;
  return {Act::report,
          "QEMU's state is '" + std::string(qemu_status) + "'" +
              (found ? ": " + std::string(found->meaning) : "") + "; run: " +
              with_name(found ? found->remedy : "virsh domstate --reason NAME", domain)};
}

bool is_passing(std::string_view qemu_status) {
  for (const std::string_view passing :
       {"running", "finish-migrate", "inmigrate", "save-vm", "restore-vm", "prelaunch"})
    if (qemu_status == passing) return true;
  return false;
}

Decision on_job(Policy policy, Job job, JobSeen seen) {
  switch (job) {
    case Job::none:
    case Job::other:
      return {};
    case Job::migration:
    case Job::save:
      break;
    case Job::dump:
    case Job::snapshot:
      if (seen == JobSeen::by_name) return {};
      break;
  }
  return decide(policy, Guard::migration, std::string(to_string(job)) + " of a domain with a GPU");
}

static std::string mib(uint64_t kib) {
  return std::to_string(kib / 1024) + " MiB";
}

Decision on_memory(Policy policy, uint64_t had, uint64_t has) {
  if (has <= had) return {};
  return decide(policy, Guard::memory_hotplug,
                had == 0 ? "memory of " + mib(has) + " was added while running"
                         : "memory device grew from " + mib(had) + " to " + mib(has));
}

Decision on_hostdev(Policy policy, bool is_gpu, bool was_there) {
  if (!is_gpu || was_there) return {};
  return decide(policy, Guard::gpu_hotplug, "GPU was added while running");
}

Decision on_hostdev_gone(Policy policy, bool was_gpu) {
  if (!was_gpu) return {};
  Decision decision = decide(policy, Guard::gpu_hotplug, "GPU was unplugged while running");
  if (decision.act == Act::undo) decision.act = Act::report;
  return decision;
}

}  // namespace gpuward
