// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/domain.hpp"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <cstdlib>

#include "libvirt/error.hpp"

namespace gpuward {

LibvirtDomain::LibvirtDomain(virDomainPtr domain) : domain_(domain) {
  ::virDomainRef(domain_);
}

LibvirtDomain::~LibvirtDomain() {
  ::virDomainFree(domain_);
}

Uuid LibvirtDomain::uuid() const {
  Uuid uuid;
  ::virDomainGetUUID(domain_, uuid.bytes.data());
  return uuid;
}

const char* LibvirtDomain::name() const {
  return ::virDomainGetName(domain_);
}

unsigned LibvirtDomain::id() const {
  return ::virDomainGetID(domain_);
}

static Condition condition_of_pause(int reason) {
  switch (reason) {
    case VIR_DOMAIN_PAUSED_USER:
      return Condition::paused_by_user;
    case VIR_DOMAIN_PAUSED_IOERROR:
    case VIR_DOMAIN_PAUSED_WATCHDOG:
    case VIR_DOMAIN_PAUSED_CRASHED:
    case VIR_DOMAIN_PAUSED_SHUTTING_DOWN:
    case VIR_DOMAIN_PAUSED_POSTCOPY:
    case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
      return Condition::paused_by_cause;
    default:
      return Condition::paused;
  }
}

Condition condition_of(int state, int reason) {
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
      return Condition::running;
    case VIR_DOMAIN_PAUSED:
      return condition_of_pause(reason);
    case VIR_DOMAIN_PMSUSPENDED:
    case VIR_DOMAIN_CRASHED:
      return Condition::paused_by_cause;
    case VIR_DOMAIN_SHUTOFF:
      return Condition::off;
    default:
      return Condition::shutting_down;
  }
}

std::string_view cause_of_pause(int state, int reason) {
  if (state == VIR_DOMAIN_PMSUSPENDED) return "suspended";
  if (state == VIR_DOMAIN_CRASHED) return "guest-panicked";
  if (state != VIR_DOMAIN_PAUSED) return "";
  switch (reason) {
    case VIR_DOMAIN_PAUSED_IOERROR:
      return "io-error";
    case VIR_DOMAIN_PAUSED_WATCHDOG:
      return "watchdog";
    case VIR_DOMAIN_PAUSED_CRASHED:
      return "guest-panicked";
    case VIR_DOMAIN_PAUSED_POSTCOPY:
      return "finish-migrate";
    case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
      return "postmigrate";
    default:
      return "";
  }
}

std::string_view LibvirtDomain::cause_of_pause() const {
  int state = 0, reason = 0;
  require(::virDomainGetState(domain_, &state, &reason, 0), "cannot read the domain state");
  return gpuward::cause_of_pause(state, reason);
}

Condition LibvirtDomain::condition() const {
  int state = 0, reason = 0;
  if (::virDomainGetState(domain_, &state, &reason, 0) < 0) {
    // One that is not persistent is gone with its end.
    if (::virGetLastErrorCode() == VIR_ERR_NO_DOMAIN) return Condition::off;
    throw last_error("cannot read the domain state");
  }
  return condition_of(state, reason);
}

void LibvirtDomain::resume() const {
  require(::virDomainResume(domain_), "cannot resume the domain");
}

std::string LibvirtDomain::monitor(const std::string& qmp) const {
  char* answer = nullptr;
  require(::virDomainQemuMonitorCommand(domain_, qmp.c_str(), &answer, 0),
          "cannot query QEMU's monitor");
  std::string text = answer ? answer : "";
  std::free(answer);
  return text;
}

/// A message that is not libvirt's English may say anything.
static bool may_concern_monitor(std::string_view message) {
  return !message.starts_with("tainted: ") || message.find("monitor") != message.npos ||
         message.find("configuration parameters") != message.npos;
}

bool LibvirtDomain::was_changed_past_libvirt() const {
  char** messages = nullptr;
  const int count = ::virDomainGetMessages(domain_, &messages, VIR_DOMAIN_MESSAGE_TAINTING);
  require(count, "cannot read libvirt's record of the domain");
  bool changed = false;
  for (int i = 0; i < count; ++i) {
    changed |= may_concern_monitor(messages[i]);
    std::free(messages[i]);
  }
  std::free(messages);
  return changed;
}

std::string LibvirtDomain::live_xml() const {
  char* xml = ::virDomainGetXMLDesc(domain_, 0);
  if (!xml) throw last_error("cannot read the domain XML");
  std::string text = xml;
  std::free(xml);
  return text;
}

std::optional<std::string> LibvirtDomain::inactive_xml() const {
  char* xml = ::virDomainGetXMLDesc(domain_, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
  if (!xml && ::virGetLastErrorCode() == VIR_ERR_NO_DOMAIN) return {};
  if (!xml) throw last_error("cannot read the domain XML");
  std::string text = xml;
  std::free(xml);
  return text;
}

bool LibvirtDomain::has_saved_state() const {
  const int has = ::virDomainHasManagedSaveImage(domain_, 0);
  require(has, "cannot query the saved state");
  return has != 0;
}

static Job job_of(int operation) {
  switch (operation) {
    case VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT:
      return Job::migration;
    case VIR_DOMAIN_JOB_OPERATION_SAVE:
      return Job::save;
    case VIR_DOMAIN_JOB_OPERATION_DUMP:
      return Job::dump;
    case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT:
      return Job::snapshot;
    default:
      return Job::other;
  }
}

Job LibvirtDomain::job() const {
  int type = 0, count = 0;
  virTypedParameterPtr parameters = nullptr;
  require(::virDomainGetJobStats(domain_, &type, &parameters, &count, 0), "cannot read the job");
  int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;
  ::virTypedParamsGetInt(parameters, count, VIR_DOMAIN_JOB_OPERATION, &operation);
  ::virTypedParamsFree(parameters, count);
  return type == VIR_DOMAIN_JOB_NONE ? Job::none : job_of(operation);
}

void LibvirtDomain::abort_job() const {
  require(::virDomainAbortJob(domain_), "cannot abort the job");
}

void LibvirtDomain::unplug(const std::string& alias) const {
  require(::virDomainDetachDeviceAlias(domain_, alias.c_str(), VIR_DOMAIN_AFFECT_LIVE),
          "cannot unplug the device");
}

void LibvirtDomain::update(const std::string& device_xml) const {
  require(::virDomainUpdateDeviceFlags(domain_, device_xml.c_str(), VIR_DOMAIN_AFFECT_LIVE),
          "cannot change the device");
}

}  // namespace gpuward
