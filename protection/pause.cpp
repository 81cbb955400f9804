// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "base/text.hpp"
#include "domain/guest_suspend.hpp"
#include "protection/protect_work.hpp"

namespace gpuward {

// ---- what the guest does itself

static constexpr std::string_view pm_text =
    "<pm>\n    <suspend-to-mem enabled='no'/>\n    <suspend-to-disk enabled='no'/>\n  </pm>";

/// Where libvirt writes it (virDomainDefFormatInternal).
static size_t place_of_pm(const Element& root) {
  size_t place = root.inside;
  for (const Element& element : root.children) {
    if (element.name == "perf" || element.name == "devices") break;
    place = element.whole.end;
  }
  return place;
}

static void close_guest_suspend(ProtectWork& work) {
  const Element& root = work.edit.document.root;
  const Element* const pm = root.child("pm");
  if (!pm) {
    work.edit.insert(place_of_pm(root), "\n  " + std::string(pm_text));
    return work.add_record("pm/>");
  }
  work.add_record("pm", "", work.kept(*pm));
  work.edit.replace(pm->whole, std::string(pm_text));
}

static bool is_pm(const Element& element) {
  return element.name == "pm";
}

static void open_guest_suspend(DomainEdit& edit, const Element& record) {
  const Element* const pm = edit.document.root.child("pm");
  if (!pm || can_suspend_itself(edit.document)) return;
  if (const Element* const kept = record.child("kept", domain_namespace))
    edit.replace(pm->whole, saved_text(*kept, is_pm));
  else
    edit.remove(*pm);
}

// ---- errors of disks, and watchdogs

// For the one who wrote that the domain shall be paused: with `report` the guest itself meets the
// error, as on a real machine, and with `none` it goes on as it is and libvirt tells of it
// (VIR_DOMAIN_EVENT_ID_WATCHDOG). `reset` would throw away what the guest has not written.
static constexpr std::string_view report = "report", none = "none";

static std::string target_of(const Element& disk) {
  const Element* const target = disk.child("target");
  return std::string(target ? target->attribute("dev").value_or("") : "");
}

static const Element* find_disk(const DomainEdit& edit, std::string_view target) {
  for (const Element& device : edit.device_list())
    if (device.name == "disk" && device.name_space.empty() && target_of(device) == target)
      return &device;
  return nullptr;
}

static std::vector<const Element*> watchdogs_of(const DomainEdit& edit) {
  std::vector<const Element*> watchdogs;
  for (const Element& device : edit.device_list())
    if (device.name == "watchdog" && device.name_space.empty()) watchdogs.push_back(&device);
  return watchdogs;
}

static bool is_pausing_policy(std::string_view policy) {
  return policy == "stop" || policy == "enospace";
}

/// Empty in the record: it was not written.
static void report_errors(ProtectWork& work, const Element& driver, std::string_view policy,
                          bool also_unwritten, std::string& record) {
  const auto value = driver.attribute(policy);
  if (value ? !is_pausing_policy(*value) : !also_unwritten) return;
  record += ' ' + std::string(policy) + "='" + escaped(value.value_or("")) + '\'';
  work.edit.set_attribute(driver, policy, report);
}

static void protect_disk(ProtectWork& work, const Element& disk) {
  const std::string target = target_of(disk);
  if (target.empty() || find_disk(work.edit, target) != &disk) return;
  std::string record = "disk dev='" + escaped(target) + '\'';
  if (const Element* const driver = disk.child("driver")) {
    report_errors(work, *driver, "error_policy", true, record);
    report_errors(work, *driver, "rerror_policy", false, record);
  } else {
    record += " driver='made' error_policy=''";
    work.edit.insert_inside(disk, "\n      <driver name='qemu' error_policy='report'/>", "");
  }
  work.add_record(record + "/>");
}

static void close_configured_pauses(ProtectWork& work) {
  const auto watchdogs = watchdogs_of(work.edit);
  for (const ChosenPause& pause : find_configured_pauses(work.edit.document)) {
    if (pause.element->name == "disk") {
      protect_disk(work, *pause.element);
      continue;
    }
    const auto place = std::find(watchdogs.begin(), watchdogs.end(), pause.element);
    work.add_record("watchdog number='" + std::to_string(place - watchdogs.begin()) + "'/>");
    work.edit.set_attribute(*pause.element, "action", none);
  }
}

static void restore_policy(DomainEdit& edit, const Element& driver, const Element& record,
                           std::string_view policy) {
  const auto before = record.attribute(policy);
  if (!before || driver.attribute(policy) != report) return;
  if (before->empty()) return edit.remove_attribute(driver, policy);
  if (is_pausing_policy(*before)) edit.set_attribute(driver, policy, *before);
}

static void restore_disk(DomainEdit& edit, const Element& record) {
  const Element* const disk = find_disk(edit, record.attribute("dev").value_or(""));
  const Element* const driver = disk ? disk->child("driver") : nullptr;
  if (!driver) return;
  // libvirt writes more into a driver that it was given without.
  const bool is_as_made = driver->attributes.size() == 2 && driver->attribute("name") == "qemu" &&
                          driver->attribute("error_policy") == report && driver->children.empty();
  if (record.attribute("driver") == "made" && is_as_made) return edit.remove(*driver);
  restore_policy(edit, *driver, record, "error_policy");
  restore_policy(edit, *driver, record, "rerror_policy");
}

static void restore_watchdog(DomainEdit& edit, const Element& record) {
  const auto watchdogs = watchdogs_of(edit);
  const auto number = to_number<size_t>(record.attribute("number").value_or(""));
  if (number && *number < watchdogs.size() && watchdogs[*number]->attribute("action") == none)
    edit.set_attribute(*watchdogs[*number], "action", "pause");
}

// ---- all of them

void find_pause_gaps(const GapSearch& search, std::vector<Gap>& gaps) {
  if (!can_suspend_itself(search.document)) return;
  const Element* const pm = search.document.root.child("pm");
  gaps.push_back({Guard::pause, (pm ? *pm : search.document.root).line, "pm",
                  "allows the guest to suspend itself"});
}

std::vector<Gap> configured_pauses(const Document& document) {
  std::vector<Gap> gaps;
  for (const ChosenPause& pause : find_configured_pauses(document))
    gaps.push_back({Guard::pause, pause.element->line, pause.name, pause.text});
  return gaps;
}

void protect_pause(ProtectWork& work) {
  if (can_suspend_itself(work.edit.document)) close_guest_suspend(work);
  if (work.policy.harden) close_configured_pauses(work);
}

bool has_hardened_without_need(const Protected& closed) {
  return (closed.has_record("disk") || closed.has_record("watchdog")) && !closed.policy.harden;
}

void restore_pause(DomainEdit& edit, const Element& record, Undo) {
  for (const Element& each : record.children) {
    if (is_ours(each, "pm")) open_guest_suspend(edit, each);
    if (is_ours(each, "disk")) restore_disk(edit, each);
    if (is_ours(each, "watchdog")) restore_watchdog(edit, each);
  }
}

}  // namespace gpuward
