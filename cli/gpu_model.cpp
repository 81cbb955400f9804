// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/gpu_model.hpp"

#include <algorithm>
#include <cstdio>

namespace gpuward {

static bool is_vga(const Gpu& gpu) {
  return gpu.pci_class >> 8 == 0x0300;
}
static bool is_3d(const Gpu& gpu) {
  return gpu.pci_class >> 8 == 0x0302;
}

/// Models of NVIDIA whose mode can be switched, so that their class alone tells which they are in;
/// its other 3D controllers (T4, A100 ...) are never anything else. First those of gpumodeswitch
/// (DU-07764-001), then those of displaymodeselector.
static constexpr uint16_t switchable[] = {
    0x13f2,  // Tesla M60
    0x13f3,  // Tesla M6
    0x2230,  // RTX A6000
    0x2231,  // RTX A5000
    0x2233,  // RTX A5500
    0x2235,  // A40
    0x26b1,  // RTX 6000 Ada
    0x26b2,  // RTX 5000 Ada
    0x26b5,  // L40
    0x26b8,  // L40G
    0x26b9,  // L40S
    0x26ba,  // L20
};

static bool is_same_model(const Gpu& one, const Gpu& other) {
  return one.parent.vendor == other.parent.vendor && one.parent.device == other.parent.device;
}

bool is_in_compute_mode(const Gpu& gpu, const std::vector<Gpu>& gpus) {
  constexpr uint16_t nvidia = 0x10de;
  if (!is_3d(gpu)) return false;
  if (gpu.parent.vendor == nvidia && std::find(std::begin(switchable), std::end(switchable),
                                               gpu.parent.device) != std::end(switchable))
    return true;
  return std::any_of(gpus.begin(), gpus.end(),
                     [&](const Gpu& other) { return is_vga(other) && is_same_model(gpu, other); });
}

std::string pci_id(const Gpu& gpu) {
  char text[16];
  std::snprintf(text, sizeof text, "%04x:%04x", gpu.parent.vendor, gpu.parent.device);
  return text;
}

ModelName model_name(HardwareNames& names, const Gpu& gpu, const std::vector<Gpu>& gpus) {
  if (!gpu.parent.address) return {};
  const HardwareName& known = names.of(gpu.parent.vendor, gpu.parent.device);
  const bool has_model = !known.model.empty();
  ModelName name{has_model ? known.full() : pci_id(gpu), has_model ? known.brief() : pci_id(gpu)};
  if (!is_in_compute_mode(gpu, gpus)) return name;
  return {name.full + ".compute", name.brief + ".compute"};
}

}  // namespace gpuward
