// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/guards.hpp"

#include "base/text.hpp"
#include "domain/xml_document.hpp"
#include "protection/protect_work.hpp"
#include "protection/remaining.hpp"

namespace gpuward {

static constexpr std::string_view migration_records[] = {"migration"};
static constexpr std::string_view pause_records[] = {"pm", "disk", "watchdog"};
static constexpr std::string_view memory_records[] = {"maxMemory"};
static constexpr std::string_view port_records[] = {"port"};

// From libvirt's remote_protocol.x, "@acl: domain:...". "suspend" is checked for resume as well,
// "pm-control" for dompmwakeup. Not among them: "write" is checked for hot-plug of memory and GPUs,
// but for setmem, metadata and disks too, "snapshot" for snapshots with memory, but for those of
// disks too, and nothing that polkit is told tells them apart (libvirt's
// access/viraccessdriverpolkit.c).
static constexpr GuardedCall migration_calls[] = {
    {"migrate", "migrate"}, {"hibernate", "save, managedsave"}, {"core-dump", "dump"}};
static constexpr GuardedCall pause_calls[] = {{"suspend", "suspend, resume"},
                                              {"pm-control", "dompmsuspend, dompmwakeup"}};

static constexpr EventKind migration_events[] = {EventKind::migrating};
static constexpr EventKind pause_events[] = {EventKind::suspended};
static constexpr EventKind memory_events[] = {EventKind::started, EventKind::device_added,
                                              EventKind::device_removed, EventKind::memory_resized};
static constexpr EventKind gpu_events[] = {EventKind::started, EventKind::device_added,
                                           EventKind::device_removed};

static constexpr GuardRow migration = {
    .guard = Guard::migration,
    .find_gaps = find_migration_gaps,
    .keep = nullptr,
    .close = protect_migration,
    .finish = remove_earlier_aliases,
    .open = restore_migration,
    .open_for = restore_migration_of,
    .closes_too_much = has_migration_without_need,
    .records = migration_records,
    .refuses_start = true,
    .events = migration_events,
    .work = GuardWork::job,
    .calls = migration_calls,
    .calls_text = "migrate, save, managedsave and dump",
    .xml_holds = "QEMU refuses to migrate the domain, to save it or to snapshot its memory",
    .xml_holds_by = migration_xml_holds_by,
    .open_xml = "XML that allows migration",
    .also_refused = ", and its incoming migration or restore on this host",
    .open_allows = "root can migrate and save the domain and snapshot its memory",
    .open_undone =
        "; gpuward-guard aborts such a job, but a small domain may be saved or migrated before "
        "that",
    .undone = "gpuward-guard aborts such a job; a small domain may be saved before that",
    .add_remaining = add_remaining_migration,
};

static constexpr GuardRow pause = {
    .guard = Guard::pause,
    .find_gaps = find_pause_gaps,
    .keep = nullptr,
    .close = protect_pause,
    .finish = nullptr,
    .open = restore_pause,
    .open_for = nullptr,
    .closes_too_much = has_hardened_without_need,
    .records = pause_records,
    .refuses_start = true,
    .events = pause_events,
    .work = GuardWork::pause,
    .calls = pause_calls,
    .calls_text = "suspend and dompmsuspend",
    .xml_holds = "the guest cannot suspend itself",
    .xml_holds_by = nullptr,
    .open_xml = "XML that allows the guest to suspend itself",
    .also_refused = "",
    .open_allows = "the guest can suspend itself",
    .open_undone = "",
    .undone = "gpuward-guard resumes the domain at once",
    .add_remaining = add_remaining_pauses,
};

static constexpr GuardRow memory_hotplug = {
    .guard = Guard::memory_hotplug,
    .find_gaps = find_memory_gaps,
    .keep = nullptr,
    .close = protect_memory,
    .finish = nullptr,
    .open = restore_memory,
    .open_for = nullptr,
    .closes_too_much = nullptr,
    .records = memory_records,
    .refuses_start = true,
    .events = memory_events,
    .work = GuardWork::devices,
    .calls = {},
    .calls_text = "",
    .xml_holds = "no memory slot is free: libvirt refuses more memory",
    .xml_holds_by = nullptr,
    .open_xml = "XML that has free memory slots",
    .also_refused = "",
    .open_allows = "users who may change the domain can add memory",
    .open_undone = ", which gpuward-guard reverts",
    .undone = "gpuward-guard requests the unplug of added memory, which a guest may refuse",
    .add_remaining = nullptr,
};

static constexpr GuardRow gpu_hotplug = {
    .guard = Guard::gpu_hotplug,
    .find_gaps = find_gpu_hotplug_gaps,
    .keep = keep_places,
    .close = close_gpu_hotplug,
    .finish = nullptr,
    .open = open_gpu_hotplug,
    .open_for = open_gpu_hotplug_of,
    .closes_too_much = closes_other_ports,
    .records = port_records,
    .refuses_start = refuses_open_ports,
    .events = gpu_events,
    .work = GuardWork::devices,
    .calls = {},
    .calls_text = "",
    .xml_holds = "libvirt, QEMU and the guest refuse to remove the GPU",
    .xml_holds_by = gpu_hotplug_xml_holds_by,
    .open_xml = "XML that has hot-plug on the PCI port of a GPU",
    .also_refused = "",
    .open_allows =
        "the GPU can be removed while the domain runs (virsh detach-device, QEMU's "
        "monitor, the guest's own eject) and cannot be restored",
    .open_undone = "",
    .undone =
        "gpuward-guard requests the unplug of an added GPU, which a guest may refuse, and "
        "reports a removed one",
    .add_remaining = add_remaining_gpu_hotplug,
};

static constexpr GuardRow table[] = {migration, pause, memory_hotplug, gpu_hotplug};

std::span<const GuardRow> guard_table() {
  return table;
}

const GuardRow& row_of(Guard guard) {
  return table[static_cast<size_t>(guard)];
}

std::vector<Gap> guard_gaps(const GapSearch& search) {
  std::vector<Gap> gaps;
  for (const GuardRow& row : table) row.find_gaps(search, gaps);
  return gaps;
}

std::string emulator_of(const Document& document) {
  const Element* const devices = document.root.child("devices");
  const Element* const emulator = devices ? devices->child("emulator") : nullptr;
  if (emulator && !trim(emulator->text).empty()) return std::string(trim(emulator->text));
  const Element* const os = document.root.child("os");
  const Element* const type = os ? os->child("type") : nullptr;
  std::string_view arch = type ? type->attribute("arch").value_or("") : "";
  if (arch.empty()) arch = "x86_64";
  if (arch == "i686") arch = "i386";
  if (arch == "armv7l" || arch == "armv6l") arch = "arm";
  if (arch == "ppc64le") arch = "ppc64";
  return "/usr/bin/qemu-system-" + std::string(arch);
}

}  // namespace gpuward
