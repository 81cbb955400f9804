// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/gaps.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "domain/document.hpp"
#include "domain/guest_suspend.hpp"
#include "domain/memory.hpp"
#include "domain/qemu_override.hpp"
#include "protection/gpu_hotplug.hpp"

namespace gpuward {

std::string_view to_string(Guard guard) {
  switch (guard) {
    case Guard::migration:
      return "migration";
    case Guard::pause:
      return "pause";
    case Guard::memory_hotplug:
      return "memory-hotplug";
    case Guard::gpu_hotplug:
      break;
  }
  return "gpu-hotplug";
}

Policy policy_of(const GuardPolicy& policy, Guard guard) {
  switch (guard) {
    case Guard::migration:
      return policy.migration;
    case Guard::pause:
      return policy.pause;
    case Guard::memory_hotplug:
      return policy.memory_hotplug;
    case Guard::gpu_hotplug:
      break;
  }
  return policy.gpu_hotplug;
}

static void add_migration_gap(const Document& document, const Hostdev& gpu,
                              std::vector<Gap>& gaps) {
  const std::string alias = alias_when_running(document, gpu);
  const Element* const property = migration_property(document, alias);
  if (property && is_off(*property)) return;
  const std::string element = "hostdev " + shown(gpu.alias.empty() ? alias : gpu.alias);
  if (property)
    gaps.push_back({Guard::migration, property->line, element,
                    "<qemu:override> sets its enable-migration to '" +
                        shown(property->attribute("value").value_or("")) + "'",
                    false});
  else
    gaps.push_back({Guard::migration, gpu.line, element,
                    "it may be migrated, saved and snapshot with its memory where its driver can: "
                    "enable-migration=off is missing"});
}

static void add_memory_gaps(const Document& document, std::vector<Gap>& gaps) {
  const Memory memory = memory_of(document);
  if (memory.most && memory.devices == 0)
    gaps.push_back({Guard::memory_hotplug, memory.most->line, "maxMemory",
                    "memory can be added while it runs"});
  else if (has_room(memory))
    gaps.push_back({Guard::memory_hotplug, memory.most->line, "maxMemory",
                    "memory can be added while it runs: it has room for " +
                        std::to_string(memory.most_kib) + " KiB in " +
                        std::to_string(memory.slots) + " slots, of which " +
                        std::to_string(memory.has_kib) + " KiB in " +
                        std::to_string(memory.devices) + " are taken"});
  for (const Element* const device : memory.growing)
    gaps.push_back({Guard::memory_hotplug, device->line, "memory model='virtio-mem'",
                    "it can grow while the domain runs: <requested> is less than <size>", false});
}

std::vector<Gap> guard_gaps(const Document& document, const std::vector<const Hostdev*>& gpus,
                            QemuAbilities qemu, bool strict) {
  std::vector<Gap> gaps;
  if (qemu.can_disable_vfio_migration)
    for (const Hostdev* const gpu : gpus) add_migration_gap(document, *gpu, gaps);
  if (can_suspend_itself(document)) {
    const Element* const pm = document.root.child("pm");
    gaps.push_back({Guard::pause, (pm ? *pm : document.root).line, "pm",
                    "the guest may suspend itself and stand still until someone wakes it"});
  }
  add_memory_gaps(document, gaps);
  add_gpu_hotplug_gaps(document, gpus, strict, gaps);
  return gaps;
}

std::vector<Gap> chosen_pauses(const Document& document) {
  std::vector<Gap> gaps;
  for (const ChosenPause& pause : find_chosen_pauses(document))
    gaps.push_back({Guard::pause, pause.element->line, pause.name, pause.text});
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
