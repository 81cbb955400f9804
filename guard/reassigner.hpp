// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "allocation/reassignment.hpp"
#include "base/file.hpp"
#include "base/lock.hpp"
#include "base/root.hpp"
#include "guard/current_config.hpp"
#include "guard/job_queue.hpp"
#include "libvirt/events.hpp"
#include "pci/nvml.hpp"
#include "protection/guards.hpp"

namespace gpuward {

/// A domain's XML with its GPUs moved, and the moves that were made.
struct Moved {
  std::string xml;
  std::vector<Reassignment> done;
};

/// Moves only what still is as it was when the move was planned. One that is refused is logged and
/// is no obstacle to the others, but for those that were to get its device: no two hostdevs get
/// the same.
Moved with_moves(const std::string& xml, std::vector<Reassignment> moves, const PoolDomain& seen);

/// Whether a hostdev came or went: protect writes of each by its alias.
bool has_other_hostdevs(const std::string& before, const std::string& after);

/// What protect may count on for a domain whose XML was `before`. The guard's unit cannot become
/// another user (systemd/hardening.conf) and so cannot ask a QEMU for its version. Where that is
/// unknown, an enable-migration that the domain had tells that its QEMU starts with one; an older
/// QEMU than first_qemu_with_enable_migration would not.
QemuCapabilities abilities_as_before(std::optional<unsigned> version, const Document& before);

/// Keeps domains that are off and have GPUs of a pool pointed at devices of it that are free, so
/// that a plain "virsh start" succeeds as long as the pool has one. What others have is read from
/// the claims whenever one comes or goes: a claim is written before the QEMU of its domain starts,
/// which takes far longer than pointing the others elsewhere.
///
/// A look decides, from the claims and the table, without asking libvirt; what it finds is then
/// done domain by domain. All that is public is called by the thread of the event loop and returns
/// at once.
class Reassigner {
 public:
  Reassigner(const Root& root, CurrentConfig& config, JobQueue& workers);

  void connected(std::shared_ptr<const LibvirtConnection> connection);
  void disconnected();
  void defined(const LibvirtDomain& domain);
  void check_all();

 private:
  using Handle = std::shared_ptr<const LibvirtDomain>;
  using Connection = std::shared_ptr<const LibvirtConnection>;
  class Settling;

  /// A persistent domain. One thread at a time works on it.
  struct Entry {
    Handle handle;
    std::optional<PoolDomain> seen;  ///< as it was read last; nothing: it has to be read
    bool queued = false;
    bool busy = false;
    bool again = false;        ///< it changed while it was worked on
    bool overlooked = false;   ///< a look passed it over as it was worked on
    unsigned own_defines = 0;  ///< events of ours that are still to come
    std::vector<Reassignment> moves;
    std::shared_ptr<const Settling> settling;  ///< of the look that ordered the moves
  };
  using EntryPointer = std::shared_ptr<Entry>;
  struct Case {
    Entry& entry;
    const LibvirtDomain& domain;
    const LibvirtConnection& connection;
  };

  void claims_changed();
  void look_soon();
  void look();
  void watch();
  bool is_filled(Settling& settling);
  void plan(const Config& config, const std::shared_ptr<Settling>& settling);
  void schedule_retry(bool wanted);
  void fill(const Connection& connection);

  std::vector<PoolDomain> idle_domains(const std::set<Uuid>& on,
                                       std::map<PciAddress, unsigned>& assigned_count,
                                       Settling& settling);
  void order(const std::vector<Reassignment>& moves, const std::shared_ptr<Settling>& settling);
  void wake(const Uuid& uuid, Entry& entry);
  void work();
  void work_on(const Uuid& uuid, const EntryPointer& entry, std::unique_lock<std::mutex>& lock);
  PoolDomain apply_reassignments(const Case& at, const std::vector<Reassignment>& moves,
                                 const std::string& xml, PoolDomain seen);
  std::string protected_again(const std::string& domain, const std::string& before,
                              const std::string& xml);
  void define(const Case& at, const std::string& xml);
  void forget();

  const Root& root_;
  CurrentConfig& config_;
  JobQueue& workers_;
  Fd watch_;  ///< inotify
  std::atomic<unsigned> looks_wanted_ = 0;
  std::atomic<bool> check_all_ = false;
  std::atomic<bool> patience_armed_ = false;
  std::atomic<bool> told_unknown_qemu_ = false;  ///< once is enough

  // Of the one that looks.
  std::shared_ptr<const Config> seen_by_;  ///< the configuration that the table is of
  int watched_ = -1;                       ///< the directory of claims, as inotify numbers it
  /// Kept, as links do not change: a driver that does not answer delays one look, not each.
  AskedCards nvlinks_;
  std::optional<Lock> answers_;  ///< lock_number::reassignment, while claims are watched
  std::chrono::seconds retry_delay_{1};

  std::mutex mutex_;  ///< of all below; held for moments
  Connection connection_;
  enum class Filled { no, under_way, yes } filled_ = Filled::no;
  std::map<Uuid, EntryPointer> entries_;
  std::deque<Uuid> queue_;
  unsigned working_ = 0;  ///< threads that go through the queue
  bool changed_ = false;  ///< what was read asks for another look
};

}  // namespace gpuward
