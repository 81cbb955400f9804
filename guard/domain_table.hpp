// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/uuid.hpp"
#include "domain/event_kind.hpp"
#include "libvirt/live_domain.hpp"

namespace gpuward {

class LibvirtDomain;

/// What is to be done about a domain. The same twice is the same once, so a storm of events does
/// not make a queue that grows.
struct PendingWork {
  bool inspect = false;           ///< compare what it has with what it had
  bool pause = false;             ///< it may be paused
  bool resumed = false;           ///< it ran since it was checked
  bool sweep = false;             ///< compare what libvirt knows of it with what QEMU has
  bool monitor = false;           ///< the same, of a domain without a GPU too
  bool job = false;               ///< it may be on its way to another host or into a file
  bool job_is_migrating = false;  ///< QEMU itself said so
  std::set<std::string> added, removed, kept;  ///< devices, by the names that events give them

  bool any() const;
  void merge(PendingWork&& more);
};

/// What the guards whose event it is inspect (guard_table()), and what the event tells beside that.
/// `device`: of the events that are about one.
PendingWork work_at(EventKind event, const std::string& device);

/// What the one thread that works on a domain knows of it; no other thread reads it.
struct DomainState {
  std::optional<DomainFacts> baseline;  ///< what it had when it started, or was first seen
  bool has_gpu = false;
  struct Requested {
    std::chrono::steady_clock::time_point again;  ///< not before
    std::chrono::seconds interval{0};
  };
  std::map<std::string, Requested> requested;  ///< devices whose unplug the guest was requested
  std::set<std::string> reported_objects;      ///< of QEMU, that libvirt does not know
  std::string reported_pause;          ///< QEMU's state that was reported last; "" since it ran
  std::chrono::seconds pause_wait{0};  ///< the last wait for the end of a job that pauses it
  std::chrono::seconds retry{0};  ///< the last pause before another attempt; 0 when all is well
};

/// The domains that run. Threads may call it at the same time; it never waits for libvirt.
class DomainTable {
 public:
  using Handle = std::shared_ptr<const LibvirtDomain>;
  using TimePoint = std::chrono::steady_clock::time_point;

  /// The domain runs, in that run of it (libvirt's id): known ones of the same run keep what is
  /// known, others start again without it.
  void started(const Uuid& uuid, Handle handle, unsigned run);
  void stopped(const Uuid& uuid);

  /// libvirt went away: a domain for which `started` is not called before drop_unseen has stopped.
  void mark_all_stale();
  void drop_unseen();
  std::vector<Uuid> all() const;

  /// Notes what is to be done; true when the caller has to have a thread `take` it. Of a domain
  /// that is not known, and of one without a GPU, only what could make it one of ours counts.
  bool add_event(const Uuid& uuid, PendingWork todo);

  struct Work {
    Handle domain;
    std::shared_ptr<DomainState> state;
    PendingWork todo;
  };
  /// Takes what is to be done for the domain, and the domain with it, until `finish`.
  std::optional<Work> take(const Uuid& uuid);
  /// Returns the domain; true when events were added and a thread has to `take` it again.
  bool finish(const Uuid& uuid, const Work& work);

  /// Keeps what an attempt did not finish, or has to check again, for one retry; true when none
  /// is pending by `due` and the caller has to arrange a `retry` then. What is added meanwhile is
  /// done by that one.
  bool keep_unfinished(const Uuid& uuid, const Work& work, PendingWork unfinished, TimePoint due);
  /// The retry is due, in the run of the domain that `state` is of; true as `add_event`.
  bool retry(const Uuid& uuid, const std::shared_ptr<DomainState>& state);

  /// It turned out to be shut off.
  void drop(const Uuid& uuid, const Work& work);

  void set_gpu(const Uuid& uuid, const Work& work, bool has_gpu);
  size_t gpu_domains() const;
  std::vector<Uuid> with_gpu() const;

 private:
  struct Entry {
    Handle handle;
    unsigned run = 0;
    bool seen = false;            ///< since libvirt came
    std::optional<bool> has_gpu;  ///< nothing until it was checked
    std::shared_ptr<DomainState> state = std::make_shared<DomainState>();
    PendingWork todo;
    std::optional<PendingWork> unfinished;  ///< a retry is pending
    TimePoint due;                          ///< of that retry
    bool waiting = false;                   ///< a thread will take it
    bool busy = false;                      ///< a thread has taken it
  };
  static bool add(Entry& entry, PendingWork todo);

  mutable std::mutex mutex_;
  std::map<Uuid, Entry> entries_;
};

}  // namespace gpuward
