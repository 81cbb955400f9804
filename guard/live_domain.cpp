// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/live_domain.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "domain/document.hpp"
#include "domain/domain.hpp"
#include "inventory/gpu_hostdevs.hpp"

namespace gpuward {

static bool is_named(const MemoryDevice& device, std::string_view name) {
  return device.alias == name || "mem" + device.alias == name;
}

const MemoryDevice* DomainFacts::find_memory(std::string_view name) const {
  const auto found = std::find_if(memory.begin(), memory.end(), [&](const MemoryDevice& device) {
    return is_named(device, name);
  });
  return found == memory.end() ? nullptr : &*found;
}

bool DomainFacts::has_gpu_alias(std::string_view alias) const {
  return std::find(gpus.begin(), gpus.end(), alias) != gpus.end();
}

void DomainFacts::forget(std::string_view name) {
  std::erase_if(memory, [&](const MemoryDevice& device) { return is_named(device, name); });
  std::erase(gpus, name);
  if (const auto found = hostdevs.find(name); found != hostdevs.end()) hostdevs.erase(found);
}

static std::string alias_of(const Element& device) {
  const Element* alias = device.child("alias");
  return std::string(alias ? alias->attribute("name").value_or("") : "");
}

/// libvirt writes sizes of a running domain in KiB (virDomainMemoryTargetDefFormat).
static uint64_t size_in(const Element& target, std::string_view name) {
  const Element* size = target.child(name);
  return size ? to_number<uint64_t>(trim(size->text)).value_or(0) : 0;
}

static MemoryDevice memory_device(const Element& element) {
  MemoryDevice device{alias_of(element), 0, false};
  const Element* target = element.child("target");
  if (!target) return device;
  device.resizes = target->child("requested") != nullptr;
  device.kib = size_in(*target, device.resizes ? "requested" : "size");
  return device;
}

DomainFacts domain_facts(const Root& root, const Config& config, std::string_view xml) {
  const Document document = parse_document(xml);
  const Domain domain = read_running_domain(document);
  DomainFacts facts;
  facts.has_gpu = is_gpu_domain(root, config, domain);
  for (const Hostdev& hostdev : domain.hostdevs) facts.hostdevs.insert(hostdev.alias);
  for (const Hostdev* hostdev : gpu_hostdevs(root, config, domain))
    facts.gpus.push_back(hostdev->alias);
  if (const Element* devices = document.root.child("devices"))
    for (const Element& device : devices->children)
      if (device.name == "memory" && device.name_space.empty())
        facts.memory.push_back(memory_device(device));
  return facts;
}

static const Element* memory_element(const Document& document, std::string_view alias) {
  const Element* devices = document.root.child("devices");
  if (!devices) return nullptr;
  for (const Element& device : devices->children)
    if (device.name == "memory" && device.name_space.empty() && alias_of(device) == alias)
      return &device;
  return nullptr;
}

std::optional<std::string> memory_with_size(std::string_view xml, std::string_view alias,
                                            uint64_t kib) {
  const Document document = parse_document(xml);
  const Element* memory = memory_element(document, alias);
  const Element* target = memory ? memory->child("target") : nullptr;
  const Element* requested = target ? target->child("requested") : nullptr;
  if (!requested) return {};
  std::string text(document[{memory->whole.begin, requested->whole.begin}]);
  text += "<requested unit='KiB'>" + std::to_string(kib) + "</requested>";
  text += document[{requested->whole.end, memory->whole.end}];
  return text;
}

bool may_concern_guard(std::string_view name) {
  for (const std::string_view start :
       {"hostdev", "mem", "dimm", "nvdimm", "virtiomem", "virtiopmem", "ua-"})
    if (name.starts_with(start)) return true;
  return false;
}

}  // namespace gpuward
