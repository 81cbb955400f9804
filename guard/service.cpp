// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/service.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/quote.hpp"
#include "domain/xml_document.hpp"
#include "guard/notify.hpp"
#include "guard/qemu_view.hpp"
#include "guard/release_unused_text.hpp"
#include "lifecycle/reconcile.hpp"
#include "state/gpu_domain_marker.hpp"

namespace gpuward {

using Act = Decision::Act;
using Clock = JobQueue::Clock;
using Kind = DomainEvent::Kind;
using log::Message;
using log::Severity;
using std::chrono::seconds;

struct GuardService::Case {
  const Uuid& uuid;
  const LibvirtDomain& domain;
  DomainState& state;
  const DomainTable::Work& work;
  const Config& config;
  PendingWork& unfinished;  // of the work
};

static seconds longer(seconds interval, seconds first, seconds most) {
  return interval.count() == 0 ? first : std::min(interval * 2, most);
}

GuardService::GuardService(const Root& root, std::string uri,
                           std::chrono::milliseconds sweep_interval)
    : root_(root),
      uri_(std::move(uri)),
      sweep_interval_(sweep_interval),
      config_(root),
      pools_(root, config_, workers_),
      open_ports_(root, config_, workers_),
      // A hanging QEMU keeps one of them. libvirtd works on five calls of one client at a time.
      workers_(4) {}

bool GuardService::stop(std::chrono::milliseconds deadline) {
  return workers_.stop(deadline);
}

// --- What happens, and who checks it ---

void GuardService::note(const Uuid& uuid, PendingWork todo) {
  if (table_.add_event(uuid, std::move(todo))) workers_.post([this, uuid] { work_on(uuid); });
}

void GuardService::note_later(const Uuid& uuid, PendingWork todo, seconds delay) {
  workers_.post_at(Clock::now() + delay,
                   [this, uuid, todo = std::move(todo)] { note(uuid, todo); });
}

void GuardService::event(const DomainEvent& event) {
  if (event.kind == Kind::defined) {
    pools_.defined(event.domain);
    return;
  }
  const Uuid uuid = event.domain.uuid();
  if (event.kind == Kind::stopped) {
    table_.stopped(uuid);
    open_ports_.stopped(event.domain);
    workers_.post([this] { show_status(); });
    return;
  }
  if (!event.device.empty() && !may_concern_guard(event.device)) return;
  if (event.kind == Kind::started)
    table_.started(uuid, std::make_shared<const LibvirtDomain>(event.domain), event.domain.id());
  note(uuid, work_at(event.kind, event.device));
}

void GuardService::disconnected() {
  connected_ = false;
  table_.mark_all_stale();
  pools_.disconnected();
  open_ports_.disconnected();
  // Our caller tells systemd that the connection is gone: the next status is news whatever it is.
  const std::scoped_lock lock(status_mutex_);
  status_.clear();
}

void GuardService::connected(std::shared_ptr<const LibvirtConnection> connection) {
  connected_ = true;
  workers_.post([this, connection] {
    sweep(*connection);
    release_orphans(*connection);
    show_status();
  });
  pools_.connected(connection);
  open_ports_.connected(std::move(connection));
  workers_.post_at(Clock::now() + seconds(5), [this] { check_pauses_again(); });
  // When the domains of the start have been checked.
  workers_.post_at(Clock::now() + seconds(2), release_unused_text);
}

void GuardService::reload() {
  config_.get();
  pools_.check_all();
  open_ports_.check_all();
  for (const Uuid& uuid : table_.all()) {
    PendingWork todo;
    todo.inspect = todo.sweep = todo.monitor = todo.pause = todo.job = true;
    note(uuid, std::move(todo));
  }
}

/// Events are asked for before this, so nothing falls between.
void GuardService::sweep(const LibvirtConnection& connection) try {
  for (const LibvirtDomain& domain : connection.active_domains()) {
    const Uuid uuid = domain.uuid();
    table_.started(uuid, std::make_shared<const LibvirtDomain>(domain), domain.id());
    PendingWork todo;
    todo.inspect = todo.sweep = todo.monitor = todo.pause = todo.job = true;
    note(uuid, std::move(todo));
  }
  table_.drop_unseen();
} catch (const std::exception& error) {
  // Without the daemon there will be another connection, and another look.
  log::error(error.what());
}

/// A libvirtd that starts takes clients before it has asked each QEMU for its state, and what it
/// then finds paused it notes without an event (qemuProcessUpdateState).
void GuardService::check_pauses_again() {
  for (const Uuid& uuid : table_.with_gpu()) {
    PendingWork todo;
    todo.pause = true;
    if (connected_) note(uuid, std::move(todo));
  }
}

/// As long as domains with a GPU run; without one nothing wakes the guard. Of another domain
/// libvirt is asked, from its memory, whether the monitor was used.
void GuardService::keep_sweeping() {
  if (table_.gpu_domains() == 0 || sweep_armed_.exchange(true)) return;
  workers_.post_at(Clock::now() + sweep_interval_, [this] {
    sweep_armed_ = false;
    const auto with_gpu = table_.with_gpu();
    for (const Uuid& uuid : table_.all()) {
      PendingWork todo;
      todo.monitor = true;
      todo.inspect = todo.sweep = todo.pause =
          std::binary_search(with_gpu.begin(), with_gpu.end(), uuid);
      if (connected_) note(uuid, std::move(todo));
    }
    keep_sweeping();
  });
}

void GuardService::release_orphans(const LibvirtConnection& connection) try {
  const auto is_active = [&](const Uuid& domain) { return connection.is_active(domain); };
  for (const Reconciled& result : reconcile(root_, is_active, Deadlines{}, false))
    log_result(result, "guard");
} catch (const std::exception& error) {
  log::error(std::string("reconcile: ") + error.what());
}

void GuardService::work_on(const Uuid& uuid) {
  const auto work = table_.take(uuid);
  if (!work) return;
  const auto config = config_.get();
  PendingWork unfinished = work->todo;
  const Case at{uuid, *work->domain, *work->state, *work, *config, unfinished};
  try {
    act(at);
  } catch (const std::exception& error) {
    try_again(at, error.what());
  }
  if (table_.finish(uuid, *work)) workers_.post([this, uuid] { work_on(uuid); });
  keep_sweeping();
}

/// As long as it is on. Without libvirt there is nothing to try: all are checked when it is back.
/// One retry at a time: sweeps and events that fail meanwhile add their work to that one.
void GuardService::try_again(const Case& at, const std::string& why) {
  if (!connected_) return;
  // Once is no news: another client may have worked on the domain, or libvirt be about to go.
  bool is_news = at.state.retry.count() > 0;
  try {
    if (at.domain.condition() == Condition::off) return table_.drop(at.uuid, at.work);
  } catch (const LibvirtError&) {
    is_news = false;
  }
  const seconds wait = longer(at.state.retry, seconds(1), seconds(30));
  if (!retry_later(at, at.unfinished, wait)) return;
  at.state.retry = wait;
  if (is_news)
    say(at, Severity::warning, Message::retried, "cannot inspect the domain",
        why + ", retrying in " + std::to_string(at.state.retry.count()) + " s");
}

/// False when a retry is pending that comes no later and does this, too.
bool GuardService::retry_later(const Case& at, PendingWork todo, seconds wait) {
  const auto due = Clock::now() + wait;
  if (!table_.keep_unfinished(at.uuid, at.work, std::move(todo), due)) return false;
  workers_.post_at(due, [this, uuid = at.uuid, state = at.work.state] {
    if (table_.retry(uuid, state)) work_on(uuid);
  });
  return true;
}

/// By what the hook recorded at its start. What the XML says counts too, but only where it can be
/// read: undoing pauses and jobs must not depend on that.
void GuardService::check_marker(const Case& at) {
  if (at.state.has_gpu || !may_have_gpu_now(root_, at.uuid)) return;
  table_.set_gpu(at.uuid, at.work, true);
  show_status();
}

/// A job or pause that libvirt cannot undo, now or ever, keeps no devices from being unplugged. The
/// check past libvirt comes last: while it fails, devices that libvirt reports are unplugged all
/// the same.
void GuardService::act(const Case& at) {
  const bool is_new = !at.state.baseline;
  check_marker(at);
  if (is_new && !at.state.has_gpu) check_devices(at);
  std::exception_ptr failure;
  try {
    if (!act_on_job_and_pause(at)) {
      table_.drop(at.uuid, at.work);
      return show_status();
    }
  } catch (const LibvirtError&) {
    failure = std::current_exception();
  }
  act_on_devices(at, is_new);
  if (failure) std::rethrow_exception(failure);
  at.state.retry = seconds(0);
}

/// False when the domain is shut off.
bool GuardService::act_on_job_and_pause(const Case& at) {
  const PendingWork& todo = at.work.todo;
  if (todo.resumed) at.state.reported_pause.clear();
  at.unfinished.resumed = false;
  // First: while a job runs libvirt resumes nothing, and would wait 30 s for its end.
  if (at.state.has_gpu && todo.job) check_job(at);
  at.unfinished.job = at.unfinished.job_is_migrating = false;
  if (at.state.has_gpu && todo.pause && !check_pause(at)) return false;
  at.unfinished.pause = false;
  return true;
}

void GuardService::act_on_devices(const Case& at, bool is_new) {
  const PendingWork& todo = at.work.todo;
  if (!at.state.baseline) check_devices(at);
  for (const std::string& name : todo.removed) device_gone(at, name);
  for (const std::string& name : todo.kept) device_kept(at, name);
  at.unfinished.removed.clear();
  at.unfinished.kept.clear();
  if (!is_new && todo.inspect) check_devices(at);
  at.unfinished.inspect = false;
  at.unfinished.added.clear();
  if (todo.monitor || (at.state.has_gpu && todo.sweep)) look_past_libvirt(at);
}

// --- Pauses ---

static bool has_job(const LibvirtDomain& domain) {
  try {
    return domain.job() != Job::none;
  } catch (const LibvirtError&) {
    return true;  // libvirt does not report it for an incoming migration
  }
}

/// Whether libvirt would keep a resume waiting until the job ends, 30 s at most. A backup, which
/// may take hours, does not (qemuDomainObjSetAsyncJobMask of qemuBackupBegin).
static bool has_job_without_resume(const LibvirtDomain& domain) {
  try {
    const Job job = domain.job();
    return job != Job::none && job != Job::other;
  } catch (const LibvirtError&) {
    return true;  // an incoming migration
  }
}

/// False when the domain is shut off.
bool GuardService::check_pause(const Case& at) {
  const Condition condition = at.domain.condition();
  if (condition == Condition::off) return false;
  if (at.config.guard.pause == Policy::allow) return true;
  switch (condition) {
    case Condition::running:
      at.state.reported_pause.clear();
      [[fallthrough]];
    case Condition::shutting_down:
    case Condition::off:
      at.state.pause_wait = seconds(0);
      break;
    case Condition::paused_by_user:
      check_pause_by_user(at);
      break;
    case Condition::paused_by_cause:
      check_cause(at, at.domain.cause_of_pause());
      break;
    case Condition::paused:
      check_pause_without_cause(at);
      break;
  }
  return true;
}

/// The way that must be short: four round trips from the event to a running guest. A job is asked
/// for as libvirt would wait 30 s for its end, and with it the worker that is to abort it. A
/// monitor that was used past libvirt may have migrated the paused guest, of which libvirt knows
/// nothing: QEMU is asked.
void GuardService::check_pause_by_user(const Case& at) {
  if (has_job_without_resume(at.domain)) return check_pause_later(at);
  if (at.domain.was_changed_past_libvirt()) return check_pause_without_cause(at);
  undo_pause(at, on_pause(at.config.guard.pause, Condition::paused_by_user), "paused");
}

/// Of a post-copy migration that runs there is nothing to do: the guest is on the other host
/// already.
void GuardService::check_cause(const Case& at, std::string_view cause) {
  if (is_passing(cause) && has_job(at.domain)) return check_pause_later(at);
  report_pause(at, cause);
}

/// While a job runs the pause is its own; what it leaves behind is checked when it is over.
void GuardService::check_pause_without_cause(const Case& at) {
  if (has_job(at.domain)) return check_pause_later(at);
  const auto status = status_in(at.domain.monitor(R"({"execute":"query-status"})"));
  if (!status) throw LibvirtError("QEMU", "does not answer query-status with its state");
  if (is_passing(*status)) check_pause_later(at);
  if (*status != "paused") return report_pause(at, *status);
  undo_pause(at, on_pause_in_qemu(at.config.guard.pause, *status, at.domain.name()), *status);
}

void GuardService::check_pause_later(const Case& at) {
  const seconds wait = longer(at.state.pause_wait, seconds(1), seconds(30));
  PendingWork todo;
  todo.pause = todo.sweep = true;
  if (retry_later(at, std::move(todo), wait)) at.state.pause_wait = wait;
}

void GuardService::undo_pause(const Case& at, const Decision& decision, std::string_view status) {
  at.state.pause_wait = seconds(0);
  if (decision.act == Act::report && std::exchange(at.state.reported_pause, status) != status)
    say(at, Severity::warning, Message::pause_left, "left paused", decision.reason);
  if (decision.act != Act::undo) return;
  at.domain.resume();
  at.state.reported_pause.clear();
  say(at, Severity::info, Message::resumed, "resumed", decision.reason);
}

/// Once as long as it lasts.
void GuardService::report_pause(const Case& at, std::string_view status) {
  if (status.empty() || at.state.reported_pause == status) return;
  const Decision decision =
      on_pause_in_qemu(at.config.guard.pause, status, shell_word(shown(at.domain.name())));
  if (decision.act == Act::nothing) return;
  at.state.reported_pause = status;
  say(at, Severity::error, Message::pause_not_undone, "stopped, not resumed", decision.reason);
}

// --- Migration, save, dump, snapshot ---

void GuardService::check_job(const Case& at) {
  if (at.config.guard.migration == Policy::allow) return;
  const auto seen = at.work.todo.job_is_migrating ? JobSeen::migrating : JobSeen::by_name;
  const Decision decision = on_job(at.config.guard.migration, at.domain.job(), seen);
  if (decision.act == Act::report)
    say(at, Severity::warning, Message::job_left, "job left running", decision.reason);
  if (decision.act != Act::undo) return;
  try {
    at.domain.abort_job();
    say(at, Severity::warning, Message::job_aborted, "aborted", decision.reason);
    check_pause_later(at);  // one that was told to end paused leaves it paused
  } catch (const LibvirtError& error) {
    say(at, Severity::error, Message::job_not_aborted, "failed to abort",
        decision.reason + ": " + error.what());
  }
}

// --- Devices ---

void GuardService::check_devices(const Case& at) {
  const std::string xml = at.domain.live_xml();
  DomainFacts facts = domain_facts(root_, at.config, xml);
  const bool had_gpu = at.state.has_gpu;
  if (!at.state.baseline) at.state.baseline = first_facts(at, facts);
  std::erase_if(at.state.requested, [&](const auto& requested) {
    return !facts.find_memory(requested.first) && !facts.has_gpu_alias(requested.first);
  });
  for (const std::string& alias : facts.gpus) check_gpu(at, alias);
  const bool has_gpu = facts.has_gpu || may_have_gpu_now(root_, at.uuid);
  if (has_gpu)
    for (const MemoryDevice& device : facts.memory) check_memory(at, device, xml);
  table_.set_gpu(at.uuid, at.work, has_gpu);
  if (has_gpu != had_gpu) show_status();
}

/// What the hook saw it start with; for a domain that started without the hook what it has now, but
/// for what events say was added since.
DomainFacts GuardService::first_facts(const Case& at, const DomainFacts& facts) {
  if (const auto started = started_devices(root_, at.uuid)) return facts_at_start(*started, facts);
  DomainFacts first = facts;
  for (const std::string& name : at.work.todo.added) first.forget(name);
  return first;
}

/// Only where libvirt recorded that its monitor or QEMU's command line was used: asking QEMU itself
/// is such a use, and libvirt says so of the domain from then on.
void GuardService::look_past_libvirt(const Case& at) {
  if (!at.domain.was_changed_past_libvirt()) return;
  if (at.state.has_gpu) return compare_with_qemu(at);
  // A QEMU may not answer, and libvirt waits. All those without a GPU keep one worker at most.
  if (asks_plain_.exchange(true)) {
    PendingWork todo;
    todo.monitor = true;
    note_later(at.uuid, std::move(todo), seconds(1));
    return;
  }
  try {
    compare_with_qemu(at);
  } catch (...) {
    asks_plain_ = false;
    throw;
  }
  asks_plain_ = false;
}

void GuardService::compare_with_qemu(const Case& at) {
  std::vector<QemuObject> objects;
  for (const std::string_view folder : object_folders) {
    const auto found = objects_in(at.domain.monitor(list_command(folder)));
    if (!found) throw LibvirtError("QEMU", "does not answer qom-list with a list");
    objects.insert(objects.end(), found->begin(), found->end());
  }
  const DomainFacts facts = domain_facts(root_, at.config, at.domain.live_xml());
  auto unknown = unknown_to_libvirt(objects, facts.aliases);
  // Memory that is added to a domain without a GPU concerns no guard.
  if (!at.state.has_gpu)
    std::erase_if(unknown, [](const std::string& object) { return !object.starts_with("vfio-"); });
  const auto reported = std::exchange(at.state.reported_objects, {unknown.begin(), unknown.end()});
  for (const std::string& object : unknown)
    if (!reported.contains(object))
      say(at, Severity::error, Message::unknown_to_libvirt, "unknown to libvirt",
          object + " was added by QEMU's monitor or command line; run: virsh shutdown " +
              shell_word(shown(at.domain.name())));
}

/// A guest that does not release it is asked again, ever less often. `first`: it was not asked yet.
bool GuardService::may_ask(const Case& at, const std::string& alias, bool& first) {
  auto& requested = at.state.requested[alias];
  first = requested.interval.count() == 0;
  if (!first && Clock::now() < requested.again) return false;
  requested.interval = longer(requested.interval, seconds(10), seconds(600));
  requested.again = Clock::now() + requested.interval;
  PendingWork todo;
  todo.inspect = todo.sweep = true;
  note_later(at.uuid, std::move(todo), requested.interval + seconds(1));
  return true;
}

void GuardService::check_memory(const Case& at, const MemoryDevice& device,
                                const std::string& xml) {
  const MemoryDevice* before = at.state.baseline->find_memory(device.alias);
  const uint64_t had = before ? before->kib : 0;
  const Decision decision = on_memory(at.config.guard.memory_hotplug, had, device.kib);
  if (decision.act == Act::nothing) return;
  const std::string reason = device.alias + ": " + decision.reason;
  bool first = false;
  if (!may_ask(at, device.alias, first)) return;
  if (decision.act == Act::report) {
    if (first) say(at, Severity::warning, Message::memory_left, "left plugged", reason);
    return;
  }
  try {
    const auto smaller = memory_with_size(xml, device.alias, had);
    if (smaller)
      at.domain.update(*smaller);
    else
      at.domain.unplug(device.alias);
    report_unplug(at, Message::memory_unplugged, first, device.alias, reason);
    // libvirt has taken the size at once: the next time is a growth of its own and is met at once.
    if (smaller) at.state.requested.erase(device.alias);
  } catch (const LibvirtError& error) {
    say(at, Severity::error, Message::not_unplugged, "failed to unplug",
        reason + ": " + error.what());
  }
}

/// What the guest still has after it was asked is a problem until it is gone.
void GuardService::report_unplug(const Case& at, Message message, bool first,
                                 const std::string& alias, const std::string& reason) {
  if (first) return say(at, Severity::warning, message, "requested unplug", reason);
  say(at, Severity::error, Message::not_released, "guest has not released the device",
      reason + ", retrying in " + std::to_string(at.state.requested[alias].interval.count()) +
          " s; run: virsh shutdown " + shell_word(shown(at.domain.name())));
}

void GuardService::check_gpu(const Case& at, const std::string& alias) {
  const Decision decision =
      on_hostdev(at.config.guard.gpu_hotplug, true, at.state.baseline->hostdevs.contains(alias));
  if (decision.act == Act::nothing) return;
  const std::string reason = alias + ": " + decision.reason;
  bool first = false;
  if (!may_ask(at, alias, first)) return;
  if (decision.act == Act::report) {
    if (first) say(at, Severity::warning, Message::gpu_left, "left plugged", reason);
    return;
  }
  try {
    at.domain.unplug(alias);
    report_unplug(at, Message::gpu_unplugged, first, alias, reason);
  } catch (const LibvirtError& error) {
    say(at, Severity::error, Message::not_unplugged, "failed to unplug",
        reason + ": " + error.what());
  }
}

void GuardService::device_gone(const Case& at, const std::string& name) {
  if (at.state.requested.erase(name) > 0) {
    say(at, Severity::info, Message::released, "guest released the device", name);
  } else if (at.state.baseline) {
    const Decision decision =
        on_hostdev_gone(at.config.guard.gpu_hotplug, at.state.baseline->has_gpu_alias(name));
    if (decision.act != Act::nothing)
      say(at, Severity::error, Message::gpu_removed, "cannot be restored, restart the domain",
          name + ": " + decision.reason);
  }
  if (at.state.baseline) at.state.baseline->forget(name);
}

void GuardService::device_kept(const Case& at, const std::string& name) {
  if (at.state.requested.contains(name))
    say(at, Severity::error, Message::not_released, "guest has not released the device",
        name + ", retrying");
}

// --- What is told ---

void GuardService::say(const Case& at, Severity severity, Message message, std::string_view outcome,
                       std::string_view reason) {
  const std::string name = shown(at.domain.name());
  const std::string action(to_string(message));
  {
    const std::scoped_lock lock(limit_mutex_);
    if (!limit_.allow(name + ": " + action, Clock::now())) {
      if (!std::exchange(withheld_armed_, true))
        workers_.post_at(*limit_.next_end(), [this] { say_withheld(); });
      return;
    }
  }
  const log::Field fields[] = {{"GPUWARD_DOMAIN", name},
                               {"GPUWARD_UUID", to_string(at.uuid)},
                               {"GPUWARD_ACTION", std::string(action_of(message))},
                               {"GPUWARD_LAYER", "guard"},
                               {"GPUWARD_REASON", std::string(reason)}};
  log::entry(
      severity, message,
      domain_title(at.domain.name()) + ": " + std::string(outcome) + ": " + std::string(reason),
      fields);
}

void GuardService::say_withheld() {
  const std::scoped_lock lock(limit_mutex_);
  for (const auto& [kind, count] : limit_.ended(Clock::now())) {
    const log::Field fields[] = {{"GPUWARD_LAYER", "guard"},
                                 {"GPUWARD_WITHHELD", std::to_string(count)}};
    log::entry(Severity::warning, Message::withheld,
               kind + ": " + std::to_string(count) + " more times in that minute", fields);
  }
  const auto next = limit_.next_end();
  withheld_armed_ = next.has_value();
  if (next) workers_.post_at(*next, [this] { say_withheld(); });
}

void GuardService::show_status() {
  const std::scoped_lock lock(status_mutex_);
  if (!connected_) return;
  std::string status = "STATUS=Connected to " + uri_ +
                       ", domains with a GPU: " + std::to_string(table_.gpu_domains());
  if (status == status_) return;
  status_ = std::move(status);
  notify_manager(status_);
}

}  // namespace gpuward
