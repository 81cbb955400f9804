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
#include "guard/live_domain.hpp"

namespace gpuward {

class LibvirtDomain;

/// What is to be done about a domain. The same twice is the same once, so a storm of events does
/// not make a queue that grows.
struct Todo {
  bool inspect = false;           ///< compare what it has with what it had
  bool pause = false;             ///< it may stand still
  bool sweep = false;             ///< compare what libvirt knows of it with what QEMU has
  bool job = false;               ///< it may be on its way to another host or into a file
  bool job_is_migrating = false;  ///< QEMU itself said so
  std::set<std::string> added, removed, kept;  ///< devices, by the names that events give them

  bool any() const;
  void merge(Todo&& more);
};

/// What the one thread that works on a domain knows of it; nobody else looks at it.
struct Watched {
  std::optional<DomainFacts> baseline;  ///< what it had when it started, or was first seen
  bool has_gpu = false;
  struct Asked {
    std::chrono::steady_clock::time_point again;  ///< not before
    std::chrono::seconds interval{0};
  };
  std::map<std::string, Asked> asked;      ///< devices that the guest was asked to let go of
  std::set<std::string> reported_objects;  ///< of QEMU, that libvirt does not know
  std::string reported_pause;              ///< QEMU's state that was reported last; "" since it ran
  std::chrono::seconds pause_wait{0};      ///< the last wait for the end of a job that pauses it
  std::chrono::seconds retry{0};  ///< the last pause before another attempt; 0 when all is well
};

/// The domains that are on. Threads may call it at the same time; it never waits for libvirt.
class DomainTable {
 public:
  using Handle = std::shared_ptr<const LibvirtDomain>;

  /// The domain is on, in that run of it (libvirt's id): known ones of the same run keep what is
  /// known, others begin anew.
  void is_on(const Uuid& uuid, Handle handle, unsigned run);
  void is_off(const Uuid& uuid);

  /// libvirt went away: what `is_on` is not called for until drop_unseen is off.
  void forget_seen();
  void drop_unseen();
  std::vector<Uuid> all() const;

  /// Notes what is to be done; true when the caller has to have someone `begin`. Of a domain that
  /// is not known, and of one without a GPU, only what could make it one of ours counts.
  bool happened(const Uuid& uuid, Todo todo);

  struct Work {
    Handle domain;
    std::shared_ptr<Watched> watched;
    Todo todo;
  };
  /// Takes what is to be done about it, and the domain with it, until `end`.
  std::optional<Work> begin(const Uuid& uuid);
  /// Gives it back; true when more has happened and someone has to `begin` again.
  bool end(const Uuid& uuid, const Work& work);

  /// Keeps what an attempt did not finish for one retry; true when none is pending and the caller
  /// has to arrange a `retry`. Attempts that fail meanwhile add to that one.
  bool keep_unfinished(const Uuid& uuid, const Work& work, Todo unfinished);
  /// The retry is due, in the run of the domain that `watched` is of; true as `happened`.
  bool retry(const Uuid& uuid, const std::shared_ptr<Watched>& watched);

  /// It turned out to be off.
  void drop(const Uuid& uuid, const Work& work);

  void set_gpu(const Uuid& uuid, const Work& work, bool has_gpu);
  size_t gpu_domains() const;
  std::vector<Uuid> with_gpu() const;

 private:
  struct Entry {
    Handle handle;
    unsigned run = 0;
    bool seen = false;            ///< since libvirt came
    std::optional<bool> has_gpu;  ///< nothing until it was looked at
    std::shared_ptr<Watched> watched = std::make_shared<Watched>();
    Todo todo;
    std::optional<Todo> unfinished;  ///< a retry is pending
    bool waiting = false;            ///< someone will begin
    bool busy = false;               ///< someone has begun
  };
  static bool add(Entry& entry, Todo todo);

  mutable std::mutex mutex_;
  std::map<Uuid, Entry> entries_;
};

}  // namespace gpuward
