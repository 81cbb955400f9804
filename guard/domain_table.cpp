// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/domain_table.hpp"

#include <algorithm>
#include <utility>

#include "protection/guards.hpp"

namespace gpuward {

bool PendingWork::any() const {
  return inspect || sweep || monitor || pause || resumed || job || !added.empty() ||
         !removed.empty() || !kept.empty();
}

void PendingWork::merge(PendingWork&& more) {
  inspect |= more.inspect;
  sweep |= more.sweep;
  monitor |= more.monitor;
  pause |= more.pause;
  resumed |= more.resumed;
  job |= more.job;
  job_is_migrating |= more.job_is_migrating;
  added.merge(more.added);
  removed.merge(more.removed);
  kept.merge(more.kept);
}

static void add_work(GuardWork work, PendingWork& todo) {
  switch (work) {
    case GuardWork::job:
      todo.job = true;
      break;
    case GuardWork::pause:
      todo.pause = true;
      break;
    case GuardWork::devices:
      todo.inspect = true;
      break;
  }
}

PendingWork work_at(EventKind event, const std::string& device) {
  PendingWork todo;
  todo.sweep = true;
  for (const GuardRow& row : guard_table())
    if (std::find(row.events.begin(), row.events.end(), event) != row.events.end())
      add_work(row.work, todo);
  todo.resumed = event == EventKind::resumed;
  todo.job_is_migrating = event == EventKind::migrating;
  if (event == EventKind::device_added) todo.added.insert(device);
  if (event == EventKind::device_removed) todo.removed.insert(device);
  if (event == EventKind::device_kept) todo.kept.insert(device);
  return todo;
}

void DomainTable::started(const Uuid& uuid, Handle handle, unsigned run) {
  const std::scoped_lock lock(mutex_);
  Entry& entry = entries_[uuid];
  // A thread that is busy with the last run keeps its own references and finds them outdated.
  if (entry.run != run) entry = Entry{};
  entry.run = run;
  entry.seen = true;
  entry.handle = std::move(handle);
}

void DomainTable::stopped(const Uuid& uuid) {
  const std::scoped_lock lock(mutex_);
  entries_.erase(uuid);
}

void DomainTable::mark_all_stale() {
  const std::scoped_lock lock(mutex_);
  for (auto& [uuid, entry] : entries_) entry.seen = false;
}

void DomainTable::drop_unseen() {
  const std::scoped_lock lock(mutex_);
  std::erase_if(entries_, [](const auto& item) { return !item.second.seen; });
}

std::vector<Uuid> DomainTable::all() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Uuid> uuids;
  for (const auto& [uuid, entry] : entries_) uuids.push_back(uuid);
  return uuids;
}

bool DomainTable::add_event(const Uuid& uuid, PendingWork todo) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(uuid);
  if (found == entries_.end()) return false;
  return add(found->second, std::move(todo));
}

bool DomainTable::add(Entry& entry, PendingWork todo) {
  if (entry.has_gpu == false)
    todo.pause = todo.resumed = todo.job = todo.job_is_migrating = todo.sweep = false;
  entry.todo.merge(std::move(todo));
  if (!entry.todo.any() || entry.waiting || entry.busy) return false;
  entry.waiting = true;
  return true;
}

std::optional<DomainTable::Work> DomainTable::take(const Uuid& uuid) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(uuid);
  if (found == entries_.end() || !found->second.waiting) return {};
  Entry& entry = found->second;
  entry.waiting = false;
  entry.busy = true;
  Work work{entry.handle, entry.state, std::move(entry.todo)};
  entry.todo = {};
  if (!entry.has_gpu) work.todo.inspect = true;
  return work;
}

bool DomainTable::finish(const Uuid& uuid, const Work& work) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(uuid);
  if (found == entries_.end() || found->second.state != work.state) return false;
  Entry& entry = found->second;
  entry.busy = false;
  entry.waiting = entry.todo.any();
  return entry.waiting;
}

bool DomainTable::keep_unfinished(const Uuid& uuid, const Work& work, PendingWork unfinished,
                                  TimePoint due) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(uuid);
  if (found == entries_.end() || found->second.state != work.state) return false;
  Entry& entry = found->second;
  const bool is_next = !entry.unfinished || due < entry.due;
  if (is_next) entry.due = due;
  if (!entry.unfinished) entry.unfinished.emplace();
  entry.unfinished->merge(std::move(unfinished));
  return is_next;
}

bool DomainTable::retry(const Uuid& uuid, const std::shared_ptr<DomainState>& state) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(uuid);
  if (found == entries_.end() || found->second.state != state) return false;
  const auto unfinished = std::exchange(found->second.unfinished, std::nullopt);
  return unfinished && add(found->second, *unfinished);
}

void DomainTable::drop(const Uuid& uuid, const Work& work) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(uuid);
  if (found != entries_.end() && found->second.state == work.state) entries_.erase(found);
}

void DomainTable::set_gpu(const Uuid& uuid, const Work& work, bool has_gpu) {
  work.state->has_gpu = has_gpu;
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(uuid);
  if (found != entries_.end() && found->second.state == work.state) found->second.has_gpu = has_gpu;
}

std::vector<Uuid> DomainTable::with_gpu() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Uuid> uuids;
  for (const auto& [uuid, entry] : entries_)
    if (entry.has_gpu == true) uuids.push_back(uuid);
  return uuids;
}

size_t DomainTable::gpu_domains() const {
  return with_gpu().size();
}

}  // namespace gpuward
