// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/gpu_hostdevs.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "mdev/gpu_settings.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

bool is_ours(const Hostdev& hostdev) {
  return hostdev.alias.starts_with(alias_prefix);
}

/// "*" speaks of all GPUs, so it makes no device one; a name is none of a PCI device.
static bool names(const GpuSection& section, const Parent& device) {
  const auto by = section.selector.by;
  return (by == GpuSelector::By::address || by == GpuSelector::By::id) &&
         selects(section.selector, device);
}

static bool is_gpu_device(const Root& root, const Config& config, const PciAddress& address) {
  const std::string name = to_string(address);
  const std::string path = root.sys("bus/pci/devices/") + name;
  if (is_gpu_class(hex_number(read_attribute(path + "/class").value_or("")))) return true;
  const Parent device = read_identity(path, name);
  return std::any_of(config.gpus.begin(), config.gpus.end(),
                     [&](const GpuSection& section) { return names(section, device); });
}

bool is_gpu(const Root& root, const Config& config, const Hostdev& hostdev) {
  if (is_ours(hostdev)) return true;
  if (hostdev.type == Hostdev::Type::mdev) return hostdev.model == "vfio-pci";
  return hostdev.address && is_gpu_device(root, config, *hostdev.address);
}

std::vector<const Hostdev*> gpu_hostdevs(const Root& root, const Config& config,
                                         const Domain& domain) {
  std::vector<const Hostdev*> gpus;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (is_gpu(root, config, hostdev)) gpus.push_back(&hostdev);
  return gpus;
}

bool is_gpu_domain(const Root& root, const Config& config, const Domain& domain) {
  return asks_gpuward(domain) ||
         std::any_of(domain.hostdevs.begin(), domain.hostdevs.end(),
                     [&](const Hostdev& hostdev) { return is_gpu(root, config, hostdev); });
}

bool asks_gpuward(const Domain& domain) {
  return !domain.asked.empty() ||
         std::any_of(domain.hostdevs.begin(), domain.hostdevs.end(), is_ours);
}

}  // namespace gpuward
