// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "base/error.hpp"
#include "domain/memory.hpp"
#include "protection/protect_work.hpp"

namespace gpuward {

/// libvirt takes the first of two and drops the other, which then would take its place.
static void refuse_second(const Element& root, const Element& most) {
  for (const Element& element : root.children)
    if (element.name == most.name && &element != &most)
      throw Error("domain XML line " + std::to_string(element.line) + ": a second <maxMemory>");
}

void close_memory(ProtectWork& work) {
  const Memory memory = memory_of(work.edit.document);
  refuse_second(work.edit.document.root, *memory.most);
  const Element& most = *memory.most;
  if (memory.devices == 0)
    return work.add_record("maxMemory", " was='removed'",
                           take_out(work.edit, work.edit.document.root, {&most}, "          "));
  work.add_record("maxMemory", " was='clamped'", work.kept(most));
  work.edit.replace(
      most.whole, "<maxMemory slots='" + std::to_string(std::min(memory.slots, memory.devices)) +
                      "' unit='KiB'>" + std::to_string(std::min(memory.most_kib, memory.has_kib)) +
                      "</maxMemory>");
}

static bool is_max_memory(const Element& element) {
  return element.name == "maxMemory" && element.children.empty();
}

void open_memory(DomainEdit& edit, const Element& record) {
  const Element* const kept = record.child("kept", domain_namespace);
  const Memory memory = memory_of(edit.document);
  if (!kept) return;
  if (record.attribute("was") == "removed" && !memory.most)
    put_back(edit, edit.document.root, *kept, kept_text(*kept, is_max_memory));
  if (record.attribute("was") == "clamped" && memory.most && !has_room(memory))
    edit.replace(memory.most->whole, kept_text(*kept, is_max_memory));
}

}  // namespace gpuward
