// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/client.hpp"

#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "libvirt/daemon.hpp"

namespace gpuward {

static constexpr const char* default_uri = "qemu:///system";

/// `mode` chooses between the daemons of this host; a socket elsewhere may be another host's.
static bool keeps_to_this_host(std::string_view parameter) {
  for (const char* const socket : {"libvirt-sock", "virtqemud-sock"})
    for (const char* const directory : {"socket=/run/libvirt/", "socket=/var/run/libvirt/"})
      if (parameter == directory + std::string(socket)) return true;
  return parameter.empty() || parameter == "mode=auto" || parameter == "mode=direct" ||
         parameter == "mode=legacy";
}

bool is_system_libvirt(std::string_view uri) {
  if (uri.empty()) return true;
  const size_t end = std::min(uri.find('?'), uri.size());
  const std::string_view place = uri.substr(0, end);
  if (place != default_uri && place != "qemu+unix:///system") return false;
  const auto parameters = split(uri.substr(std::min(end + 1, uri.size())), '&');
  return std::all_of(parameters.begin(), parameters.end(), keeps_to_this_host);
}

void require_system_libvirt(const Root& root, const std::string& uri) {
  if (!root.prefix.empty() || is_system_libvirt(uri)) return;
  throw Error("libvirt at " + uri,
              "not the system libvirt of this host (" + std::string(default_uri) +
                  "), whose GPUs and claims gpuward manages",
              "run the command on the host of the domain, or change its XML in a file with gpuward "
              "rewrite or gpuward protect FILE");
}

static std::string start_daemon(const Root& root) {
  const std::string daemon = installed_daemon(root);
  if (daemon.empty()) return "run: apt install libvirt-daemon-system";
  return daemon == "virtqemud" ? "run: systemctl start virtqemud.socket"
                               : "run: systemctl start libvirtd";
}

std::string connection_remedy(const Root& root, const std::string& uri, bool is_denied) {
  if (is_denied) return "run the command as root or as a member of the group libvirt";
  if (!uri.empty() && uri != default_uri) return "run: virsh -c " + shell_word(uri) + " list";
  return start_daemon(root);
}

/// What is used of libvirt. It is loaded when the first domain is looked for: linked, it would cost
/// every "gpuward list" 9 ms (a hundred under emulation), which asks libvirt nothing.
struct Library {
  void* handle;
  decltype(&::virConnectOpen) open;
  decltype(&::virConnectClose) close;
  decltype(&::virConnectListAllDomains) list;
  decltype(&::virDomainLookupByName) by_name;
  decltype(&::virDomainLookupByUUIDString) by_uuid;
  decltype(&::virDomainGetXMLDesc) xml;
  decltype(&::virDomainDefineXMLFlags) define;
  decltype(&::virDomainCreate) create;
  decltype(&::virDomainIsActive) is_active;
  decltype(&::virDomainIsPersistent) is_persistent;
  decltype(&::virDomainGetName) name;
  decltype(&::virDomainGetUUID) uuid;
  decltype(&::virDomainHasManagedSaveImage) has_managed_save;
  decltype(&::virConnectGetLibVersion) version;
  decltype(&::virDomainFree) free_domain;
  decltype(&::virGetLastErrorMessage) error_message;
  decltype(&::virGetLastErrorCode) error_code;
  decltype(&::virGetLastError) last_error;
  decltype(&::virSetErrorFunc) set_error_function;
};

template <typename Function>
static void find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  if (!function)
    throw Error("libvirt.so.0", std::string("has no ") + name,
                "run: apt install --reinstall libvirt0");
}

static Library load() {
  Library v{};
  v.handle = ::dlopen("libvirt.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!v.handle)
    throw Error("libvirt.so.0", std::string("cannot be loaded: ") + ::dlerror(),
                "run: apt install libvirt0");
  find(v.handle, "virConnectOpen", v.open);
  find(v.handle, "virConnectClose", v.close);
  find(v.handle, "virConnectListAllDomains", v.list);
  find(v.handle, "virDomainLookupByName", v.by_name);
  find(v.handle, "virDomainLookupByUUIDString", v.by_uuid);
  find(v.handle, "virDomainGetXMLDesc", v.xml);
  find(v.handle, "virDomainDefineXMLFlags", v.define);
  find(v.handle, "virDomainCreate", v.create);
  find(v.handle, "virDomainIsActive", v.is_active);
  find(v.handle, "virDomainIsPersistent", v.is_persistent);
  find(v.handle, "virDomainGetName", v.name);
  find(v.handle, "virDomainGetUUID", v.uuid);
  find(v.handle, "virDomainHasManagedSaveImage", v.has_managed_save);
  find(v.handle, "virConnectGetLibVersion", v.version);
  find(v.handle, "virDomainFree", v.free_domain);
  find(v.handle, "virGetLastErrorMessage", v.error_message);
  find(v.handle, "virGetLastErrorCode", v.error_code);
  find(v.handle, "virGetLastError", v.last_error);
  find(v.handle, "virSetErrorFunc", v.set_error_function);
  return v;
}

struct DomainStore::Connection {
  Library v;
  virConnectPtr pointer = nullptr;

  /// libvirt's text, which may have several lines, behind ours.
  Error error(const std::string& what, const std::string& remedy = {}) const {
    std::string message = v.error_message();
    std::replace(message.begin(), message.end(), '\n', ' ');
    return Error(what, message, remedy);
  }

  /// Whether the last call failed as the user may not do that: by the socket's mode or by libvirt's
  /// own authentication. Of a system call the first number is errno (virReportSystemError).
  bool is_denied() const {
    const virErrorPtr last = v.last_error();
    if (!last) return false;
    switch (last->code) {
      case VIR_ERR_AUTH_FAILED:
      case VIR_ERR_AUTH_CANCELLED:
      case VIR_ERR_AUTH_UNAVAILABLE:
      case VIR_ERR_ACCESS_DENIED:
        return true;
      case VIR_ERR_SYSTEM_ERROR:
        return last->int1 == EACCES || last->int1 == EPERM;
      default:
        return false;
    }
  }

  Found describe(virDomainPtr domain) const {
    Found found;
    found.name = v.name(domain);
    v.uuid(domain, found.uuid.bytes.data());
    found.active = v.is_active(domain) != 0;  // an error counts as on: what is on is not touched
    found.persistent = v.is_persistent(domain) == 1;
    return found;
  }
};

static void say_nothing(void*, virErrorPtr) {}

DomainStore::DomainStore(const Root& root, const std::string& uri) {
  require_system_libvirt(root, uri);
  connection_ = std::make_unique<Connection>(Connection{load()});
  const Library& v = connection_->v;
  v.set_error_function(nullptr, say_nothing);  // its default prints to stderr
  const std::string where = uri.empty() ? default_uri : uri;
  connection_->pointer = v.open(where.c_str());
  if (!connection_->pointer)
    throw connection_->error("cannot connect to libvirt at " + where,
                             connection_remedy(root, uri, connection_->is_denied()));
}

// The library stays loaded: its threads do not end with the connection.
DomainStore::~DomainStore() {
  if (connection_->pointer) connection_->v.close(connection_->pointer);
}

std::optional<DomainStore::Found> DomainStore::find(const std::string& name_or_uuid) const {
  const Library& v = connection_->v;
  virDomainPtr domain = nullptr;
  if (parse_uuid(name_or_uuid)) domain = v.by_uuid(connection_->pointer, name_or_uuid.c_str());
  if (!domain) domain = v.by_name(connection_->pointer, name_or_uuid.c_str());
  if (!domain) {
    if (v.error_code() == VIR_ERR_NO_DOMAIN) return {};
    throw connection_->error("cannot look up " + domain_title(name_or_uuid));
  }
  const Found found = connection_->describe(domain);
  v.free_domain(domain);
  return found;
}

std::vector<DomainStore::Found> DomainStore::all() const {
  const Library& v = connection_->v;
  virDomainPtr* domains = nullptr;
  const int count = v.list(connection_->pointer, &domains, 0);
  if (count < 0) throw connection_->error("cannot list the domains");
  std::vector<Found> found;
  for (int i = 0; i < count; ++i) {
    found.push_back(connection_->describe(domains[i]));
    v.free_domain(domains[i]);
  }
  std::free(domains);
  return found;
}

std::string DomainStore::xml(const Uuid& uuid, unsigned flags) const {
  const Library& v = connection_->v;
  virDomainPtr domain = v.by_uuid(connection_->pointer, to_string(uuid).c_str());
  if (!domain) throw connection_->error("cannot look up domain " + to_string(uuid));
  char* xml = v.xml(domain, flags);
  if (!xml) {
    const Error error = connection_->error("cannot read the XML of domain " + to_string(uuid));
    v.free_domain(domain);  // which forgets libvirt's error
    throw error;
  }
  v.free_domain(domain);
  std::string text = xml;
  std::free(xml);
  return text;
}

std::string DomainStore::inactive_xml(const Uuid& uuid) const {
  return xml(uuid, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
}

std::string DomainStore::live_xml(const Uuid& uuid) const {
  return xml(uuid, 0);
}

bool DomainStore::has_managed_save(const Uuid& uuid) const {
  const Library& v = connection_->v;
  virDomainPtr domain = v.by_uuid(connection_->pointer, to_string(uuid).c_str());
  if (!domain) return false;
  const bool has = v.has_managed_save(domain, 0) == 1;
  v.free_domain(domain);
  return has;
}

unsigned DomainStore::version() const {
  unsigned long version = 0;
  if (connection_->v.version(connection_->pointer, &version) != 0) return 0;
  return static_cast<unsigned>(version);
}

void DomainStore::define(const std::string& xml) {
  const Library& v = connection_->v;
  virDomainPtr domain = v.define(connection_->pointer, xml.c_str(), VIR_DOMAIN_DEFINE_VALIDATE);
  if (!domain) throw connection_->error("libvirt rejected the domain XML");
  v.free_domain(domain);
}

void DomainStore::start(const Uuid& uuid) {
  const Library& v = connection_->v;
  virDomainPtr domain = v.by_uuid(connection_->pointer, to_string(uuid).c_str());
  if (!domain) throw connection_->error("cannot look up domain " + to_string(uuid));
  if (v.create(domain) == 0) {
    v.free_domain(domain);
    return;
  }
  const Error error = connection_->error("failed to start domain " + to_string(uuid));
  v.free_domain(domain);  // which forgets libvirt's error
  throw error;
}

}  // namespace gpuward
