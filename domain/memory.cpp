// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/memory.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace gpuward {

// More than any address space; keeps sums far from where the numbers end.
static constexpr uint64_t most_kib = uint64_t{1} << 52;

static std::optional<uint64_t> bytes_of_unit(std::string_view unit) {
  if (unit.empty()) return 1024;
  if (unit == "b" || unit == "byte" || unit == "bytes") return 1;
  static constexpr std::string_view letters = "kmgtpe";
  const auto power = letters.find(static_cast<char>(unit[0] | 0x20));
  if (power == letters.npos) return {};
  const std::string_view rest = unit.substr(1);
  const bool is_decimal = rest == "B" || rest == "b";
  if (!rest.empty() && !is_decimal && rest != "iB" && rest != "ib") return {};
  uint64_t bytes = 1;
  for (size_t i = 0; i <= power; ++i) bytes *= is_decimal ? 1000 : 1024;
  return bytes;
}

static std::optional<uint64_t> kib(std::string_view digits, std::string_view unit) {
  const auto number = to_number<uint64_t>(trim(digits));
  const auto bytes = bytes_of_unit(unit);
  if (!number || !bytes || *number > (most_kib << 10) / *bytes) return {};
  return (*number * *bytes + 1023) / 1024;
}

std::optional<uint64_t> kib_of(const Element& size) {
  return kib(size.text, size.attribute("unit").value_or(""));
}

static uint64_t child_kib(const Element& parent, std::string_view name) {
  const Element* const child = parent.child(name);
  return child ? kib_of(*child).value_or(0) : 0;
}

static uint64_t rounded_up(uint64_t size, uint64_t step) {
  return (size + step - 1) / step * step;
}

/// libvirt rounds each size up before it gives it to QEMU (qemuDomainAlignMemorySizes).
struct Steps {
  uint64_t cell = 1024;
  uint64_t device = 2048;
};

static Steps steps_of(const Element& root) {
  const Element* const os = root.child("os");
  const Element* const type = os ? os->child("type") : nullptr;
  const bool is_ppc64 = type && type->attribute("arch").value_or("").starts_with("ppc64");
  return is_ppc64 ? Steps{256 << 10, 256 << 10} : Steps{};
}

/// Of all NUMA cells; nothing when the domain has none.
static std::optional<uint64_t> cells_kib(const Element& root, const Steps& steps) {
  const Element* const cpu = root.child("cpu");
  const Element* const numa = cpu ? cpu->child("numa") : nullptr;
  if (!numa) return {};
  uint64_t sum = 0;
  for (const Element& cell : numa->children)
    if (cell.name == "cell")
      sum += rounded_up(
          kib(cell.attribute("memory").value_or("0"), cell.attribute("unit").value_or(""))
              .value_or(0),
          steps.cell);
  return sum;
}

/// Memory in SGX enclaves is none of the hot-pluggable.
static bool is_pluggable(const Element& device) {
  return device.name == "memory" && device.name_space.empty() &&
         device.attribute("model") != "sgx-epc";
}

static void add_device(Memory& memory, uint64_t& written, uint64_t& rounded, const Element& device,
                       const Steps& steps) {
  const Element* const target = device.child("target");
  if (!target) return;
  const uint64_t size = child_kib(*target, "size");
  written += size;
  rounded += rounded_up(size, steps.device);
  ++memory.devices;
  if (device.attribute("model") == "virtio-mem" && child_kib(*target, "requested") < size)
    memory.growing.push_back(&device);
}

Memory memory_of(const Document& document) {
  const Element& root = document.root;
  const Steps steps = steps_of(root);
  Memory memory;
  uint64_t written = 0, rounded = 0;
  if (const Element* const devices = root.child("devices"))
    for (const Element& device : devices->children)
      if (is_pluggable(device)) add_device(memory, written, rounded, device, steps);

  // <memory> counts the devices too (virDomainDefGetMemoryTotal).
  const uint64_t total = child_kib(root, "memory");
  const uint64_t initial = rounded_up(total > written ? total - written : 0, steps.cell);
  memory.has_kib = std::max(total, cells_kib(root, steps).value_or(initial) + rounded);

  memory.most = root.child("maxMemory");
  if (!memory.most) return memory;
  memory.most_kib = kib_of(*memory.most).value_or(0);
  memory.slots = to_number<unsigned>(memory.most->attribute("slots").value_or("")).value_or(0);
  return memory;
}

bool has_room(const Memory& memory) {
  return memory.most &&
         (memory.devices == 0 || memory.most_kib > memory.has_kib || memory.slots > memory.devices);
}

}  // namespace gpuward
