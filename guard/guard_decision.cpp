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

static std::string_view word(Policy policy) {
  return policy == Policy::block ? "block" : policy == Policy::warn ? "warn" : "allow";
}

static Decision decide(Policy policy, Guard guard, std::string happened) {
  if (policy == Policy::allow) return {};
  return {policy == Policy::block ? Act::undo : Act::report,
          std::move(happened) + " (" + std::string(to_string(guard)) + " = " + std::string(word(policy)) + ")"};
}

Decision on_pause(Policy policy, Condition condition) {
  if (condition != Condition::paused_by_user) return {};
  return decide(policy, Guard::pause, "it was paused by a user");
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
                had == 0 ? "memory of " + mib(has) + " was added while it runs"
                         : "its memory device grew from " + mib(had) + " to " + mib(has));
}

Decision on_hostdev(Policy policy, bool is_gpu, bool was_there) {
  if (!is_gpu || was_there) return {};
  return decide(policy, Guard::gpu_hotplug, "a GPU was added while it runs");
}

Decision on_hostdev_gone(Policy policy, bool was_gpu) {
  if (!was_gpu) return {};
  Decision decision = decide(policy, Guard::gpu_hotplug, "a GPU was taken out while it runs");
  if (decision.act == Act::undo) decision.act = Act::report;
  return decision;
}

}  // namespace gpuward
