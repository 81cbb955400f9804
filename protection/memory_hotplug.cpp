// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "base/error.hpp"
#include "domain/memory.hpp"
#include "protection/protect_work.hpp"

namespace gpuward {

void find_memory_gaps(const GapSearch& search, std::vector<Gap>& gaps) {
  const Memory memory = memory_of(search.document);
  if (memory.most && memory.devices == 0)
    gaps.push_back(
        {Guard::memory_hotplug, memory.most->line, "maxMemory", "allows memory hotplug"});
  else if (has_room(memory))
    gaps.push_back({Guard::memory_hotplug, memory.most->line, "maxMemory",
                    "allows memory hotplug: " + std::to_string(memory.most_kib) + " KiB in " +
                        std::to_string(memory.slots) + " slots, of which " +
                        std::to_string(memory.has_kib) + " KiB in " +
                        std::to_string(memory.devices) + " are in use"});
  for (const Element* const device : memory.growing)
    gaps.push_back({Guard::memory_hotplug, device->line, "memory model='virtio-mem'",
                    "memory device can grow while the domain runs: <requested> is less than <size>",
                    false});
}

/// libvirt takes the first of two and drops the other, which then would take its place.
static void refuse_second(const Element& root, const Element& most) {
  for (const Element& element : root.children)
    if (element.name == most.name && &element != &most)
      throw Error("domain XML line " + std::to_string(element.line), "second <maxMemory>");
}

void protect_memory(ProtectWork& work) {
  const Memory memory = memory_of(work.edit.document);
  refuse_second(work.edit.document.root, *memory.most);
  const Element& most = *memory.most;
  if (memory.devices == 0)
    return work.add_record(
        "maxMemory", " was='removed'",
        remove_and_save(work.edit, work.edit.document.root, {&most}, "          "));
  work.add_record("maxMemory", " was='clamped'", work.kept(most));
  work.edit.replace(
      most.whole, "<maxMemory slots='" + std::to_string(std::min(memory.slots, memory.devices)) +
                      "' unit='KiB'>" + std::to_string(std::min(memory.most_kib, memory.has_kib)) +
                      "</maxMemory>");
}

static bool is_max_memory(const Element& element) {
  return element.name == "maxMemory" && element.children.empty();
}

static void open_max_memory(DomainEdit& edit, const Element& record) {
  const Element* const kept = record.child("kept", domain_namespace);
  const Memory memory = memory_of(edit.document);
  if (!kept) return;
  if (record.attribute("was") == "removed" && !memory.most)
    restore_saved(edit, edit.document.root, *kept, saved_text(*kept, is_max_memory));
  if (record.attribute("was") == "clamped" && memory.most && !has_room(memory))
    edit.replace(memory.most->whole, saved_text(*kept, is_max_memory));
}

void restore_memory(DomainEdit& edit, const Element& record, Undo) {
  for (const Element& each : record.children)
    if (is_ours(each, "maxMemory")) open_max_memory(edit, each);
}

}  // namespace gpuward
