// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/live_domain.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"
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
  MemoryDevice device;
  device.alias = alias_of(element);
  device.model = element.attribute("model").value_or("");
  const Element* target = element.child("target");
  if (!target) return device;
  device.resizes = target->child("requested") != nullptr;
  device.size = size_in(*target, "size");
  device.kib = device.resizes ? size_in(*target, "requested") : device.size;
  return device;
}

DomainFacts domain_facts(const Root& root, const Config& config, std::string_view xml) {
  const Document document = parse_document(xml);
  const Domain domain = read_running_domain(document);
  DomainFacts facts;
  facts.has_gpu = is_gpu_domain(root, config, domain);
  for (const Hostdev& hostdev : domain.hostdevs)
    facts.hostdevs.emplace(hostdev.alias, source_of(hostdev));
  for (const Hostdev* hostdev : gpu_hostdevs(root, config, domain))
    facts.gpus.push_back(hostdev->alias);
  if (const Element* devices = document.root.child("devices"))
    for (const Element& device : devices->children) {
      facts.aliases.insert(alias_of(device));
      if (device.name == "memory" && device.name_space.empty())
        facts.memory.push_back(memory_device(device));
    }
  return facts;
}

/// QEMU wants multiples of 2 MiB on x86 and of 256 MiB on POWER.
static bool is_rounded(uint64_t kib, uint64_t wanted) {
  for (const uint64_t step : {1U, 2U << 10, 256U << 10})
    if (kib == (wanted + step - 1) / step * step) return true;
  return false;
}

DomainFacts facts_at_start(const StartedDevices& started, const DomainFacts& facts) {
  DomainFacts at_start;
  at_start.has_gpu = true;
  auto left = started.memory;
  for (MemoryDevice device : facts.memory) {
    const auto found = std::find_if(left.begin(), left.end(), [&](const StartedMemory& memory) {
      return memory.model == device.model && is_rounded(device.size, memory.size);
    });
    if (found == left.end()) continue;
    if (device.resizes) device.kib = found->kib;
    left.erase(found);
    at_start.memory.push_back(std::move(device));
  }
  for (const auto& [alias, source] : facts.hostdevs)
    if (started.hostdevs.contains(source)) at_start.hostdevs.emplace(alias, source);
  for (const std::string& alias : facts.gpus)
    if (at_start.hostdevs.contains(alias)) at_start.gpus.push_back(alias);
  return at_start;
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
