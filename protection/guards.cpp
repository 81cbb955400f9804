// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/guards.hpp"

#include "base/text.hpp"
#include "domain/xml_document.hpp"
#include "protection/protect_work.hpp"

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
    {"migrate", "migrate"}, {"hibernate", "save and managedsave"}, {"core-dump", "dump"}};
static constexpr GuardedCall pause_calls[] = {{"suspend", "suspend and resume"},
                                              {"pm-control", "dompmsuspend and dompmwakeup"}};

static constexpr GuardRow table[] = {
    {Guard::migration, find_migration_gaps, protect_migration, restore_migration, migration_records,
     true, "VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, lifecycle SUSPENDED", migration_calls,
     "migrate, save, managedsave and dump",
     "QEMU refuses to migrate the domain, to save it or to snapshot its memory",
     "XML that allows migration",
     "gpuward-guard aborts such a job; a small domain may be saved before that"},
    {Guard::pause, find_pause_gaps, protect_pause, restore_pause, pause_records, true,
     "lifecycle SUSPENDED", pause_calls, "suspend and dompmsuspend",
     "the guest cannot suspend itself", "XML that allows the guest to suspend itself",
     "gpuward-guard resumes the domain at once"},
    {Guard::memory_hotplug,
     find_memory_gaps,
     protect_memory,
     restore_memory,
     memory_records,
     true,
     "VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, MEMORY_DEVICE_SIZE_CHANGE",
     {},
     "",
     "no memory slot is free: libvirt refuses more memory",
     "XML that has free memory slots",
     "gpuward-guard requests the unplug of added memory, which a guest may refuse"},
    {Guard::gpu_hotplug,
     find_gpu_hotplug_gaps,
     close_gpu_hotplug,
     open_gpu_hotplug,
     port_records,
     refuses_open_ports,
     "VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, DEVICE_REMOVED",
     {},
     "",
     "libvirt, QEMU and the guest refuse to remove the GPU",
     "XML that has hot-plug on the PCI port of a GPU",
     "gpuward-guard requests the unplug of an added GPU, which a guest may refuse, and reports a "
     "removed one"},
};

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
