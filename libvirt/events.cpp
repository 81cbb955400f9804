// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/events.hpp"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <cstdlib>
#include <string_view>

namespace gpuward {

using Kind = DomainEvent::Kind;

// --- The event loop ---

static void say_nothing(void*, virErrorPtr) {}

void register_event_loop() {
  ::virSetErrorFunc(nullptr, say_nothing);  // its default prints to stderr
  require(::virEventRegisterDefaultImpl(), "cannot set up libvirt's event loop");
}

void run_event_loop_once() {
  require(::virEventRunDefaultImpl(), "cannot run libvirt's event loop");
}

static void forget_call(void* opaque) {
  delete static_cast<std::function<void()>*>(opaque);
}

void when_readable(int fd, std::function<void()> call) {
  const auto on_readable = [](int, int, int, void* opaque) {
    (*static_cast<std::function<void()>*>(opaque))();
  };
  require(::virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE, on_readable,
                              new std::function<void()>(std::move(call)), forget_call),
          "cannot watch a descriptor");
}

void every(std::chrono::milliseconds interval, std::function<void()> call) {
  const auto on_time = [](int, void* opaque) { (*static_cast<std::function<void()>*>(opaque))(); };
  require(::virEventAddTimeout(static_cast<int>(interval.count()), on_time,
                               new std::function<void()>(std::move(call)), forget_call),
          "cannot set up a timer");
}

// --- Events, as libvirt calls for them. No exception may pass through it. ---

static void tell(void* opaque, Kind kind, virDomainPtr domain, const char* device = "") noexcept {
  (*static_cast<LibvirtConnection::OnEvent*>(opaque))({kind, LibvirtDomain(domain), device});
}

static int on_lifecycle(virConnectPtr, virDomainPtr domain, int event, int, void* opaque) {
  switch (event) {
    case VIR_DOMAIN_EVENT_STARTED:
      tell(opaque, Kind::started, domain);
      break;
    case VIR_DOMAIN_EVENT_SUSPENDED:
    case VIR_DOMAIN_EVENT_PMSUSPENDED:
    case VIR_DOMAIN_EVENT_CRASHED:
      tell(opaque, Kind::suspended, domain);
      break;
    case VIR_DOMAIN_EVENT_RESUMED:
      tell(opaque, Kind::resumed, domain);
      break;
    case VIR_DOMAIN_EVENT_STOPPED:
      tell(opaque, Kind::stopped, domain);
      break;
    case VIR_DOMAIN_EVENT_DEFINED:
    case VIR_DOMAIN_EVENT_UNDEFINED:
      tell(opaque, Kind::defined, domain);
      break;
    default:
      break;
  }
  return 0;
}

static void on_device_added(virConnectPtr, virDomainPtr domain, const char* alias, void* opaque) {
  tell(opaque, Kind::device_added, domain, alias);
}

static void on_device_removed(virConnectPtr, virDomainPtr domain, const char* alias, void* opaque) {
  tell(opaque, Kind::device_removed, domain, alias);
}

static void on_device_kept(virConnectPtr, virDomainPtr domain, const char* alias, void* opaque) {
  tell(opaque, Kind::device_kept, domain, alias);
}

static void on_memory_resized(virConnectPtr, virDomainPtr domain, const char* alias,
                              unsigned long long, void* opaque) {
  tell(opaque, Kind::memory_resized, domain, alias);
}

static void on_migration_pass(virConnectPtr, virDomainPtr domain, int, void* opaque) {
  tell(opaque, Kind::migrating, domain);
}

/// QEMU's MIGRATION event, {"status":"setup"} and so on. Later states are too late to abort, or
/// tell of the end.
static void on_migration(virConnectPtr, virDomainPtr domain, const char*, long long, unsigned,
                         const char* details, void* opaque) {
  const std::string_view text = details ? details : "";
  if (text.find("\"setup\"") != text.npos || text.find("\"active\"") != text.npos)
    tell(opaque, Kind::migrating, domain);
}

/// libvirt calls this in whichever thread's call met the end (virNetClientIOEventLoopPassTheBuck),
/// while the event loop may sleep: a timer takes it there and wakes the loop.
static void on_close(virConnectPtr, int reason, void* opaque) {
  const char* why = reason == VIR_CONNECT_CLOSE_REASON_EOF ? "libvirt's daemon disconnected"
                                                           : "connection to libvirt was lost";
  const auto& on_closed = *static_cast<LibvirtConnection::OnClosed*>(opaque);
  const auto once = [](int timer, void* call) {
    ::virEventRemoveTimeout(timer);
    (*static_cast<std::function<void()>*>(call))();
  };
  ::virEventAddTimeout(0, once, new std::function<void()>([on_closed, why] { on_closed(why); }),
                       forget_call);
}

// --- The connection ---

template <typename Callback>
static int watch(virConnectPtr connection, int event, Callback callback, void* opaque) {
  return ::virConnectDomainEventRegisterAny(connection, nullptr, event,
                                            VIR_DOMAIN_EVENT_CALLBACK(callback), opaque, nullptr);
}

void LibvirtConnection::watch_domains() {
  const auto add = [this](int event, auto callback) {
    const int id = watch(connection_, event, callback, &on_event_);
    require(id, "cannot register for libvirt's events");
    callbacks_.push_back(id);
  };
  add(VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle);
  add(VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, on_device_added);
  add(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, on_device_removed);
  add(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, on_device_kept);
  add(VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE, on_memory_resized);
  // libvirt has no event of its own for the begin of an outgoing migration, a save, a dump or a
  // snapshot with memory. QEMU's own is the earliest sign of all four (libvirt has QEMU send it);
  // asking for it does not taint a domain (qemuConnectDomainQemuMonitorEventRegister). Where it is
  // not to be had, the first pass over the guest's memory tells.
  migration_callback_ = ::virConnectDomainQemuMonitorEventRegister(
      connection_, nullptr, "MIGRATION", on_migration, &on_event_, nullptr, 0);
  if (migration_callback_ < 0) add(VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, on_migration_pass);
}

LibvirtConnection::LibvirtConnection(const std::string& uri, OnEvent on_event, OnClosed on_closed)
    : on_event_(std::move(on_event)), on_closed_(std::move(on_closed)) {
  connection_ = ::virConnectOpen(uri.c_str());
  if (!connection_) throw last_error("cannot connect to libvirt at " + uri);
  try {
    // No keepalive: the other end of a unix socket cannot vanish unnoticed, and a message every few
    // seconds would wake up two idle processes without end.
    require(::virConnectRegisterCloseCallback(connection_, on_close, &on_closed_, nullptr),
            "cannot register for the end of the connection");
    watch_domains();
  } catch (...) {
    close();
    throw;
  }
}

LibvirtConnection::~LibvirtConnection() {
  close();
}

/// Each callback holds a reference to the connection, so none may be forgotten.
void LibvirtConnection::close() {
  for (const int id : callbacks_) ::virConnectDomainEventDeregisterAny(connection_, id);
  if (migration_callback_ >= 0)
    ::virConnectDomainQemuMonitorEventDeregister(connection_, migration_callback_);
  ::virConnectUnregisterCloseCallback(connection_, on_close);
  ::virConnectClose(connection_);
}

std::vector<LibvirtDomain> LibvirtConnection::domains(unsigned flags) const {
  virDomainPtr* domains = nullptr;
  const int count = ::virConnectListAllDomains(connection_, &domains, flags);
  require(count, "cannot list the domains");
  std::vector<LibvirtDomain> found;
  for (int i = 0; i < count; ++i) {
    found.emplace_back(domains[i]);
    ::virDomainFree(domains[i]);
  }
  std::free(domains);
  return found;
}

std::vector<LibvirtDomain> LibvirtConnection::active_domains() const {
  return domains(VIR_CONNECT_LIST_DOMAINS_ACTIVE);
}

std::vector<LibvirtDomain> LibvirtConnection::persistent_domains() const {
  return domains(VIR_CONNECT_LIST_DOMAINS_PERSISTENT);
}

/// Not validated: libvirt reads its whole schema for that, which takes longer than all the rest.
void LibvirtConnection::define(const std::string& xml) const {
  virDomainPtr domain = ::virDomainDefineXMLFlags(connection_, xml.c_str(), 0);
  if (!domain) throw last_error("libvirt rejected the domain XML");
  ::virDomainFree(domain);
}

std::optional<bool> LibvirtConnection::is_active(const Uuid& uuid) const {
  virDomainPtr domain = ::virDomainLookupByUUID(connection_, uuid.bytes.data());
  if (!domain)
    return ::virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ? std::optional(false) : std::nullopt;
  const int active = ::virDomainIsActive(domain);
  ::virDomainFree(domain);
  if (active < 0) return {};
  return active != 0;
}

}  // namespace gpuward
