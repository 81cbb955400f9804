// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/gpu_types.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/file.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

// ---- memory of a type

/// The number that a text starts with, before other letters: 24576 of "24576M".
static std::optional<unsigned> leading_number(std::string_view text) {
  const auto end = std::find_if_not(text.begin(), text.end(),
                                    [](unsigned char c) { return std::isdigit(c) != 0; });
  return to_number<unsigned>(text.substr(0, static_cast<size_t>(end - text.begin())));
}

/// The parts of a vGPU's name: model, slices of a MIG-backed one, GB and series of
/// <model>-[<slices>-]<GB><series> (NVIDIA's vgpu-device-manager, vgpu_type.go).
struct VgpuName {
  std::string_view model;
  unsigned slices = 0;  ///< of MIG
  unsigned gigabytes = 0;
  bool has_graphics = false;
};

/// C series is for compute alone. On a GPU instance of MIG graphics need a profile with "+gfx",
/// which the name ends with (NVIDIA's vgpu-device-manager, vgpu_type.go: ME, NOME, MEALL, GFX).
static bool has_graphics(std::string_view series, bool of_mig) {
  return series.front() != 'C' && (!of_mig || series.ends_with("GFX"));
}

static std::optional<VgpuName> parse_vgpu_name(std::string_view name) {
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos) return {};
  const std::string_view last = name.substr(dash + 1);
  const size_t series = last.find_first_not_of("0123456789");
  if (series == 0 || series > 3 || series == std::string_view::npos) return {};
  if (std::string_view("ABCQ").find(last[series]) == std::string_view::npos) return {};
  if (!std::all_of(last.begin() + static_cast<std::ptrdiff_t>(series), last.end(),
                   [](unsigned char c) { return std::isupper(c) != 0; }))
    return {};
  VgpuName parsed{name.substr(0, dash), 0, leading_number(last).value_or(0)};
  const size_t before = parsed.model.rfind('-');
  if (before != std::string_view::npos)
    if (const auto slices = to_number<unsigned>(parsed.model.substr(before + 1))) {
      parsed.slices = *slices;
      parsed.model = parsed.model.substr(0, before);
    }
  parsed.has_graphics = has_graphics(last.substr(series), parsed.slices > 0);
  if (const size_t brand = parsed.model.find(' '); brand != std::string_view::npos)
    parsed.model.remove_prefix(brand + 1);  // "NVIDIA", "GRID"
  return parsed;
}

/// "num_heads=4, framebuffer=24576M, max_instance=2" of NVIDIA, one line. The vendor VFIO framework
/// has no description.
static void add_size_of_nvidia(GpuType& type) {
  for (const std::string_view word : split(type.description, ',')) {
    if (word.starts_with("framebuffer=")) type.memory_mib = leading_number(word.substr(12));
    if (word.starts_with("max_instance=")) type.most = to_number<unsigned>(word.substr(13));
  }
  const auto vgpu = parse_vgpu_name(type.name);
  // 0 GB is 512 MiB.
  if (vgpu && !type.memory_mib) type.memory_mib = vgpu->gigabytes ? vgpu->gigabytes * 1024 : 512;
  if (!type.memory_mib) return;
  type.takes = {vgpu ? vgpu->slices : 0, *type.memory_mib};
  type.of_mig = type.takes.front() > 0;
  type.one_size = !type.of_mig;
  if (vgpu) type.has_graphics = vgpu->has_graphics;
}

/// "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4 …" of GVT-g, whose instances need enough of
/// each (drivers/gpu/drm/i915/gvt/vgpu.c).
static bool add_size_of_gvt(GpuType& type) {
  std::optional<unsigned> low, high, fences;
  for (const std::string_view line : split(type.description, '\n')) {
    if (line.starts_with("low_gm_size:")) low = leading_number(trim(line.substr(12)));
    if (line.starts_with("high_gm_size:")) high = leading_number(trim(line.substr(13)));
    if (line.starts_with("fence:")) fences = leading_number(trim(line.substr(6)));
  }
  if (!low || !high) return false;
  type.memory_mib = *low + *high;
  if (fences) type.takes = {*fences, *low, *high};
  type.has_graphics = true;
  return true;
}

/// "virtual display, 16 MB video memory" of mbochs (samples/vfio-mdev/mbochs.c).
static bool add_size_of_mbochs(GpuType& type) {
  const std::string_view text = type.description;
  const size_t unit = text.find(" MB video memory");
  if (unit == std::string_view::npos) return false;
  const size_t start = text.substr(0, unit).rfind(' ') + 1;  // of the text where there is none
  type.memory_mib = to_number<unsigned>(text.substr(start, unit - start));
  if (type.memory_mib) type.takes = {*type.memory_mib};
  return true;
}

/// "MIG 1g.10gb+gfx", a profile of GPU instances: slices and GB.
static bool add_size_of_mig(GpuType& type) {
  std::string_view name = type.name;
  if (!name.starts_with("MIG ")) return false;
  name.remove_prefix(4);
  const auto unit = name.find("g.");
  if (unit == name.npos) return false;
  const auto slices = to_number<unsigned>(name.substr(0, unit));
  const auto gigabytes = leading_number(name.substr(unit + 2));
  if (!slices || !gigabytes) return false;
  type.memory_mib = *gigabytes * 1024;
  type.takes = {*slices, *type.memory_mib};
  type.of_mig = true;
  type.has_graphics = name.ends_with("+gfx");
  return true;
}

void add_size(GpuType& type) {
  if (add_size_of_mig(type)) return;
  if (!add_size_of_gvt(type) && !add_size_of_mbochs(type)) add_size_of_nvidia(type);
  if (type.memory_mib != 0U) return;
  // A driver that says 0 says nothing.
  type.memory_mib.reset();
  type.takes.clear();
  type.one_size = false;
  type.of_mig = false;
}

// ---- memory of a GPU

std::optional<unsigned> card_memory_of_vgpu(std::string_view name) {
  // GB of memory, which is what the largest Q- or C-series type of the model has: NVIDIA's Virtual
  // GPU Software User Guide, "Virtual GPU Types for Supported GPUs". A100X is the 40 GB card of
  // HGX.
  static constexpr auto models = std::to_array<std::pair<std::string_view, unsigned>>({
      {"A2", 16},          {"A10", 24},      {"A16", 16},     {"A30", 24},     {"A40", 48},
      {"A100", 40},        {"A100X", 40},    {"A100D", 80},   {"A100DX", 80},  {"A800", 40},
      {"A800D", 80},       {"A800DX", 80},   {"H20", 96},     {"H100", 80},    {"H100L", 94},
      {"H100XS", 64},      {"H100XM", 80},   {"H100XL", 94},  {"H200", 141},   {"H200X", 141},
      {"H800", 80},        {"H800L", 94},    {"H800XM", 80},  {"L2", 24},      {"L4", 24},
      {"L20", 48},         {"L40", 48},      {"L40S", 48},    {"T4", 16},      {"RTXA5000", 24},
      {"RTXA5500", 24},    {"RTXA6000", 48}, {"RTX6000", 24}, {"RTX8000", 48}, {"RTX5000-Ada", 32},
      {"RTX6000-Ada", 48},
  });
  const auto vgpu = parse_vgpu_name(name);
  if (!vgpu) return {};
  for (const auto& [model, gigabytes] : models)
    if (model == vgpu->model) return gigabytes * 1024;
  return {};
}

std::optional<unsigned> total_memory(const Root& root, const Gpu& gpu,
                                     const std::vector<GpuType>& types) {
  if (!gpu.parent.address) return {};
  const auto bytes = to_number<uint64_t>(
      read_optional_attribute(pci_path(root, *gpu.parent.address) + "/mem_info_vram_total")
          .value_or(""));
  if (bytes) return static_cast<unsigned>(*bytes >> 20);
  std::optional<unsigned> total;
  for (const GpuType& type : types) {
    // Of other types the number may be limited by more than memory.
    if (!type.one_size) continue;
    const auto one = type.most ? *type.memory_mib * *type.most : card_memory_of_vgpu(type.name);
    if (one) total = std::max(total.value_or(0), *one);
  }
  return total;
}

/// What it takes of the memory of its card; nothing where that is not known.
static std::optional<unsigned> memory_of(const GpuInstance& instance,
                                         const std::vector<GpuType>& types,
                                         const std::optional<unsigned>& total) {
  if (traits_of(instance.use).is_whole_card) return total;
  for (const GpuType& type : types)
    if (type.id == instance.instance.type) return type.memory_mib;
  return {};
}

GpuMemory memory_of(const Root& root, const Gpu& gpu, const std::vector<GpuType>& types,
                    const GpuUse& use, const std::vector<GpuInstance>& instances) {
  GpuMemory memory{total_memory(root, gpu, types), 0};
  const auto add = [&](const std::optional<unsigned>& part) {
    memory.given_mib =
        part && memory.given_mib ? std::optional(*memory.given_mib + *part) : std::nullopt;
  };
  for (const size_t at : use.at)
    // vGPUs on VFs are counted below, whichever program set them.
    if (!is_typed_vf(instances[at].use) && instances[at].exists)
      add(memory_of(instances[at], types, memory.total_mib));
  for (const auto& vgpu : use.vgpus) {
    const std::string id = std::to_string(vgpu.second);
    const auto type = std::find_if(types.begin(), types.end(),
                                   [&](const GpuType& other) { return other.id == id; });
    add(type == types.end() ? std::nullopt : type->memory_mib);
  }
  return memory;
}

}  // namespace gpuward
