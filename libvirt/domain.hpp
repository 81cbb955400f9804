// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/uuid.hpp"
#include "libvirt/domain_state.hpp"

// As <libvirt/libvirt.h> has it; that is included in domain.cpp alone.
struct _virDomain;

namespace gpuward {

/// As virDomainState and its reason have it.
Condition condition_of(int state, int reason);

/// What libvirt knows a domain to be paused by (virDomainState and its reason), as QEMU calls it;
/// "" when it is not paused or libvirt knows no cause.
std::string_view cause_of_pause(int state, int reason);

/// A domain of a connection. A copy is one more reference. Each call is a round trip, which may
/// take as long as libvirt keeps the domain to itself: 30 s for a job, without end when its QEMU
/// is blocked.
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
  /// Whether a user used QEMU's monitor or its command line past libvirt, by libvirt's record.
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

}  // namespace gpuward
