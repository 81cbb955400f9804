// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

/// Whether `uri` (empty: libvirt's default) is of the system libvirt of this host for certain: no
/// transport to another host, no session, no socket or `name` that leads to another daemon.
bool is_system_libvirt(std::string_view uri);

/// Throws Error unless it is. Claims, markers and the pool are of this host: a domain that another
/// libvirt does not have would count as one that is shut off. A directory that stands for the host
/// (`root`) has any libvirt.
void require_system_libvirt(const Root& root, const std::string& uri);

/// What helps where libvirt does not answer at `uri`. `is_denied`: it refused the user.
std::string connection_remedy(const Root& root, const std::string& uri, bool is_denied);

/// The domains as libvirt has them: the one place that calls libvirt. Never used by a hook: libvirt
/// holds the domain's lock while a hook runs (docs/hooks.rst, "must not call back into libvirt").
class DomainStore {
 public:
  /// Connects to `uri` (empty: libvirt's default). Throws Error with libvirt's text and what to do,
  /// or as require_system_libvirt().
  DomainStore(const Root& root, const std::string& uri);
  ~DomainStore();
  DomainStore(const DomainStore&) = delete;
  DomainStore& operator=(const DomainStore&) = delete;

  struct Found {
    std::string name;
    Uuid uuid;
    bool active = false;  ///< running, paused, starting or stopping
    bool persistent = false;
  };

  /// By name or UUID, as virsh takes it; nothing when there is none.
  std::optional<Found> find(const std::string& name_or_uuid) const;
  std::vector<Found> all() const;

  /// The XML that a domain that is on runs with, passwords left out.
  std::string live_xml(const Uuid& domain) const;

  /// Version of the libvirt that answers, 9000000 for 9.0.0; 0 when it does not report it.
  unsigned version() const;

  /// The persistent definition, passwords included, as `virsh dumpxml --inactive --security-info`.
  std::string inactive_xml(const Uuid& domain) const;

  /// Whether a start restores the saved state, with the XML that the domain was saved with, instead
  /// of using the definition (libvirt's qemuDomainObjStart). Not known counts as no.
  bool has_managed_save(const Uuid& domain) const;

  /// Replaces the persistent definition. Throws Error with libvirt's text.
  void define(const std::string& xml);

  /// As `virsh start`. Throws Error with libvirt's text.
  void start(const Uuid& domain);

 private:
  std::string xml(const Uuid& domain, unsigned flags) const;
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace gpuward
