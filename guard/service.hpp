// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "base/log.hpp"
#include "base/root.hpp"
#include "guard/current_config.hpp"
#include "guard/domain_table.hpp"
#include "guard/guard_decision.hpp"
#include "guard/job_queue.hpp"
#include "guard/open_ports.hpp"
#include "guard/rate_limit.hpp"
#include "guard/reassigner.hpp"
#include "libvirt/events.hpp"

namespace gpuward {

/// Undoes what no hook of libvirt's can refuse. All that is public is called by the thread of the
/// event loop and returns at once; what takes time is done by the workers, one domain by one of
/// them at a time.
class GuardService {
 public:
  /// `sweep_interval`: QEMU's monitor can add a device without an event of libvirt's.
  GuardService(const Root& root, std::string uri,
               std::chrono::milliseconds sweep_interval = std::chrono::minutes(1));

  /// libvirt is there: checks every domain that is on, and releases GPUs of claims whose domain
  /// went off unseen.
  void connected(std::shared_ptr<const LibvirtConnection> connection);
  void disconnected();
  void event(const DomainEvent& event);
  void reload();  ///< checks every domain again, with the configuration as it is now
  bool stop(std::chrono::milliseconds deadline);  ///< as JobQueue::stop

 private:
  struct Case;  // a domain, and what is to be done about it

  void note(const Uuid& uuid, PendingWork todo);
  void note_later(const Uuid& uuid, PendingWork todo, std::chrono::seconds delay);
  void work_on(const Uuid& uuid);
  void act(const Case& at);
  bool act_on_job_and_pause(const Case& at);
  void act_on_devices(const Case& at, bool is_new);
  void try_again(const Case& at, const std::string& why);
  bool retry_later(const Case& at, PendingWork todo, std::chrono::seconds wait);
  void sweep(const LibvirtConnection& connection);
  void keep_sweeping();
  void check_pauses_again();
  void release_orphans(const LibvirtConnection& connection);

  void check_marker(const Case& at);
  bool check_pause(const Case& at);
  void check_pause_by_user(const Case& at);
  void check_pause_without_cause(const Case& at);
  void check_cause(const Case& at, std::string_view cause);
  void check_pause_later(const Case& at);
  void undo_pause(const Case& at, const Decision& decision, std::string_view status);
  void report_pause(const Case& at, std::string_view status);
  void check_job(const Case& at);
  void check_devices(const Case& at);
  DomainFacts first_facts(const Case& at, const DomainFacts& facts);
  void look_past_libvirt(const Case& at);
  void compare_with_qemu(const Case& at);
  void report_unplug(const Case& at, log::Message message, bool first, const std::string& alias,
                     const std::string& reason);
  void check_memory(const Case& at, const MemoryDevice& device, const std::string& xml);
  void check_gpu(const Case& at, const std::string& alias);
  void device_gone(const Case& at, const std::string& name);
  void device_kept(const Case& at, const std::string& name);
  bool may_ask(const Case& at, const std::string& alias, bool& first);

  void say(const Case& at, log::Severity severity, log::Message message, std::string_view outcome,
           std::string_view reason);
  void say_withheld();
  void show_status();

  const Root& root_;
  const std::string uri_;
  const std::chrono::milliseconds sweep_interval_;
  CurrentConfig config_;
  DomainTable table_;
  std::atomic<bool> connected_ = false;
  std::atomic<bool> sweep_armed_ = false;
  std::atomic<bool> asks_plain_ = false;  ///< QEMU of a domain without a GPU
  std::mutex limit_mutex_;
  RateLimit limit_;
  bool withheld_armed_ = false;
  std::mutex status_mutex_;
  std::string status_;
  Reassigner pools_;
  OpenPorts open_ports_;
  JobQueue workers_;  // the last: its threads use all of the above
};

}  // namespace gpuward
