// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/uuid.hpp"
#include "domain/event_kind.hpp"
#include "libvirt/domain_state.hpp"

// As <libvirt/libvirt.h> has them; that is included in events.cpp alone.
struct _virConnect;
struct _virDomain;

namespace gpuward {

/// libvirt refused or failed; what() ends with its text.
struct LibvirtError : Error {
  using Error::Error;
};

/// As virDomainState and its reason have it.
Condition condition_of(int state, int reason);

/// What libvirt knows a domain to be paused by (virDomainState and its reason), as QEMU calls it;
/// "" when it is not paused or libvirt knows no cause.
std::string_view cause_of_pause(int state, int reason);

/// A domain of a connection. A copy is one more reference. Each call is a round trip, which may
/// take as long as libvirt keeps the domain to itself: 30 s for a job, for ever when its QEMU
/// hangs.
class LibvirtDomain {
 public:
  explicit LibvirtDomain(_virDomain* domain);  ///< takes a reference of its own
  LibvirtDomain(const LibvirtDomain& other) : LibvirtDomain(other.domain_) {}
  LibvirtDomain& operator=(const LibvirtDomain&) = delete;
  ~LibvirtDomain();

  Uuid uuid() const;         ///< no round trip
  const char* name() const;  ///< no round trip
  unsigned id() const;       ///< libvirt's id: another one for each start. No round trip.
  Condition condition() const;
  /// QEMU's word for what libvirt knows as the cause of a pause; "" when there is none to act on.
  std::string_view cause_of_pause() const;
  void resume() const;
  /// What QEMU's monitor answers to a QMP command. libvirt marks the domain as tainted by that, so
  /// it is for what libvirt itself cannot know.
  std::string monitor(const std::string& qmp) const;
  /// Whether somebody used QEMU's monitor or its command line past libvirt, by libvirt's record.
  bool was_changed_past_libvirt() const;
  std::string live_xml() const;
  /// The persistent definition, passwords included; nothing when there is no such domain any more.
  std::optional<std::string> inactive_xml() const;
  bool has_saved_state() const;  ///< of `virsh managedsave`: its next start is no start
  Job job() const;
  void abort_job() const;
  void unplug(const std::string& alias) const;  ///< asks the guest; an event says how it ended
  void update(const std::string& device_xml) const;

 private:
  _virDomain* domain_;
};

/// Something happened to a domain.
struct DomainEvent {
  using Kind = EventKind;
  Kind kind;
  LibvirtDomain domain;
  std::string device;  ///< of the kinds that are about one
};

/// libvirt's event loop (virEventRegisterDefaultImpl); once, before the first connection.
void register_event_loop();
void run_event_loop_once();  ///< waits for one thing to happen; throws LibvirtError
/// Called from within run_event_loop_once, as long as the program lives.
void when_readable(int fd, std::function<void()> call);
void every(std::chrono::milliseconds interval, std::function<void()> call);

/// A connection to libvirt and the events of its domains. Calls of different threads go on at the
/// same time; libvirtd works on five of one client (max_client_requests).
class LibvirtConnection {
 public:
  using OnEvent = std::function<void(const DomainEvent&)>;
  using OnClosed = std::function<void(const std::string& why)>;

  /// Both are called from within run_event_loop_once, whichever thread met the event or the end.
  /// Throws LibvirtError.
  LibvirtConnection(const std::string& uri, OnEvent on_event, OnClosed on_closed);
  ~LibvirtConnection();
  LibvirtConnection(const LibvirtConnection&) = delete;
  LibvirtConnection& operator=(const LibvirtConnection&) = delete;

  std::vector<LibvirtDomain> active_domains() const;
  std::vector<LibvirtDomain> persistent_domains() const;

  /// Replaces a domain's persistent definition by one made of its own XML.
  void define(const std::string& xml) const;

  /// Whether libvirt has the domain on; nothing when it cannot be asked.
  std::optional<bool> is_active(const Uuid& domain) const;

 private:
  std::vector<LibvirtDomain> domains(unsigned flags) const;
  void watch_domains();
  void close();

  OnEvent on_event_;
  OnClosed on_closed_;
  _virConnect* connection_ = nullptr;
  std::vector<int> callbacks_;
  int migration_callback_ = -1;
};

}  // namespace gpuward
