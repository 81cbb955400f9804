// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/uuid.hpp"
#include "domain/event_kind.hpp"
#include "libvirt/domain.hpp"
#include "libvirt/error.hpp"

// As <libvirt/libvirt.h> has it; that is included in events.cpp alone.
struct _virConnect;

namespace gpuward {

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
