// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/pool.hpp"

#include <algorithm>

#include "allocation/fraction.hpp"
#include "allocation/placement.hpp"
#include "allocation/type_limit.hpp"
#include "base/file.hpp"
#include "base/uuid.hpp"
#include "inventory/usage.hpp"
#include "mdev/gpu_settings.hpp"
#include "pci/class_device.hpp"
#include "pci/identity.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

bool gives_pci_devices(const Profile& profile) {
  return profile.use != Use::mdev;
}

/// As a section of the configuration sees it: one that names a VF counts more than its PF's.
static Parent identity_of(const Root& root, const PciAddress& device) {
  return read_identity(pci_path(root, device), to_string(device));
}

/// Of a VF that is not enabled: its device ID is not known.
static Parent identity_to_come(const PciDevice& pf, const PciAddress& vf) {
  Parent identity{to_string(vf), vf, 0, 0, pf.numa_node};
  identity.physical_function = pf.address;
  identity.card_vendor = pf.vendor;
  identity.card_device = pf.device;
  return identity;
}

/// The functions of its slot: those in its IOMMU group go with it, those in groups of their own
/// stay with the host, which may need them (the USB controllers beside an APU's GPU).
static void add_functions(const Root& root, const PciDevice& gpu, PoolDevice& found) {
  found.functions.push_back(gpu.address);
  for (const PciAddress& other : companions(root, gpu.address)) {
    const auto device = find_pci_device(root, other);
    if (!device) continue;
    const bool goes = device->iommu_group == gpu.iommu_group;
    (goes ? found.functions : found.staying).push_back(other);
  }
}

/// The display of a server's management controller (BMC), by its vendor: ASPEED, Matrox, XGI,
/// Huawei. Its console is the administrator's way to the host.
static bool is_management_display(const PciDevice& device) {
  constexpr uint16_t vendors[] = {0x1a03, 0x102b, 0x18ca, 0x19e5};
  return device.pci_class >> 8 == 0x0300 &&
         std::find(std::begin(vendors), std::end(vendors), device.vendor) != std::end(vendors);
}

/// What would be lost with the card's driver; "" when nothing.
static std::string lost_with_driver(const Root& root, const PciAddress& address) {
  if (const auto vfs = virtual_functions(root, address); !vfs.empty())
    return std::to_string(vfs.size()) +
           " VFs are enabled (vfs = 0 in its [gpu] section disables them)";
  for (const std::string& name : list_directory(pci_path(root, address)))
    if (parse_uuid(name)) return "mediated device " + name + " exists on it";
  return {};
}

/// A function beside a GPU in its slot is its companion and no GPU of its own.
static bool is_companion(const Root& root, const PciAddress& address) {
  if (address.function == 0) return false;
  const auto first = find_pci_device(root, {address.domain, address.bus, address.slot, 0});
  return first && is_gpu_class(first->pci_class);
}

/// Why a function cannot be given whole by this profile; "" when it can.
static std::string reason_not_whole(const Root& root, const GpuSettings& settings,
                                    const PciDevice& device) {
  if (is_bridge_class(device.pci_class)) return "PCI bridge";
  if (std::string lost = lost_with_driver(root, device.address); !lost.empty()) return lost;
  if (settings.is_named && settings.use == Use::whole) return {};
  if (!is_gpu_class(device.pci_class))
    return "neither display nor accelerator class; to assign it set use = whole in [gpu " +
           to_string(device.address) + "]";
  if (is_companion(root, device.address)) return "companion of the GPU in the same slot";
  if (!settings.use && exists(pci_path(root, device.address) + "/mdev_supported_types"))
    return "supports mediated devices; to assign it as a whole set use = whole in [gpu " +
           to_string(device.address) + "]";
  if (is_management_display(device))
    return "display of the server's management controller; to assign it anyway set use = whole in "
           "[gpu " +
           to_string(device.address) + "]";
  if (shows_console(root, device.address))
    return "boot display of the host; to assign it anyway set use = whole in [gpu " +
           to_string(device.address) + "]";
  return {};
}

static std::string unfit_as_vf(const Root& root, const Profile& profile,
                               const GpuSettings& settings, const PciDevice& device) {
  if (profile.use == Use::vendor_vf && !offers_vgpus(root, device.address))
    return "no nvidia/current_vgpu_type; check that NVIDIA's vGPU driver is loaded";
  if (profile.use == Use::vf && !is_gpu_class(device.pci_class) &&
      !(settings.is_named && settings.use))
    return "neither display nor accelerator class; to assign it set use = vf in [gpu " +
           to_string(*device.physical_function) + "]";
  return {};
}

/// "" where the device is the one that its section expects.
static std::string unexpected_identity(const Root& root, const Config& config,
                                       const Parent& device) {
  const Verdict verdict = check_identity(root, config, device);
  return verdict ? "" : "not the expected GPU: " + verdict.reason.problem;
}

static std::string not_allowed_by(const Profile& profile) {
  return "neither " +
         (profile.is_configured ? "[profile " + profile.name + "]" : title_of(profile)) + " nor ";
}

static bool has_driver(const Root& root, const PciAddress& address) {
  const auto device = find_pci_device(root, address);
  return device && !device->driver.empty();
}

/// A disk or NIC that the host has below a companion: "block sda", "net eth0" (a USB controller of
/// the card with a disk at it); "" when it has none. Unbinding its driver would remove them while
/// the kernel itself uses them, which no process shows.
static std::string used_below_companion(const Root& root, const PoolDevice& gpu) {
  for (const PciAddress& function : gpu.functions) {
    if (function == gpu.address || !has_driver(root, function)) continue;
    if (const std::string found = class_device_below(root, function); !found.empty())
      return "companion " + to_string(function) + " has " + found +
             " of the host; to assign it anyway set use = whole in [gpu " + to_string(gpu.address) +
             "]";
  }
  return {};
}

static std::optional<PoolDevice> whole_in_pool(const Root& root, const Config& config,
                                               const Profile& profile, const PciDevice& device,
                                               std::string& why) {
  if (device.physical_function) {
    why = "virtual function (VF)";
    return {};
  }
  const Parent parent = identity_of(root, device.address);
  if (!serves(config, profile, parent)) {
    why = not_allowed_by(profile) + "the [gpu] section of the device allows it";
    return {};
  }
  const GpuSettings settings = settings_of(config, parent);
  why = reason_not_whole(root, settings, device);
  if (why.empty()) why = unexpected_identity(root, config, parent);
  if (!why.empty()) return {};
  PoolDevice found{device.address, {}, device.numa_node, {}};
  add_functions(root, device, found);
  const bool is_meant = profile.is_configured || (settings.is_named && settings.use == Use::whole);
  if (!is_meant) why = used_below_companion(root, found);
  if (!why.empty()) return {};
  if (const auto group = iommu_group_of(root, device.address))
    found.host_bound_members = host_bound_members(root, *group, found.functions);
  return found;
}

static bool takes_fraction(const Root& root, const GpuSettings& settings, const Profile& profile,
                           const std::string& card) {
  const auto tenants = fractions_on(root, card, claimed_devices(root).claims);
  return tenant_refusal(settings.isolation, tenants, isolation_of(profile)).empty();
}

/// Whether a type of the profile can be created on this VF, which has no vGPU, within [gpu] max.
static bool has_room(const Root& root, const Profile& profile, const GpuSettings& settings,
                     const PciDevice& vf) {
  if (profile.memory_mib &&
      !takes_fraction(root, settings, profile, to_string(*vf.physical_function)))
    return false;
  auto types = creatable_vgpus(root, vf.address);
  if (!settings.max.empty() && first_fit(profile.types, types)) {
    const auto claims = claimed_devices(root).claims;
    std::erase_if(types, [&](const VgpuType& type) {
      return reached_limit(root, settings.max, to_string(*vf.physical_function), type, claims);
    });
  }
  return first_fit(profile.types, types) != nullptr;
}

static std::optional<PoolDevice> vf_in_pool(const Root& root, const Config& config,
                                            const Profile& profile, const PciDevice& device,
                                            std::string& why) {
  const auto pf = device.physical_function ? find_pci_device(root, *device.physical_function)
                                           : std::optional<PciDevice>();
  if (!pf) {
    why = "not a virtual function (VF)";
    return {};
  }
  const Parent parent = identity_of(root, device.address);
  if (!serves(config, profile, parent)) {
    why = not_allowed_by(profile) + "the [gpu] section of " + parent.name + " or its PF " +
          to_string(pf->address) + " allows it";
    return {};
  }
  const GpuSettings settings = settings_of(config, parent);
  why = unfit_as_vf(root, profile, settings, device);
  if (why.empty()) why = unexpected_identity(root, config, parent);
  if (!why.empty()) return {};
  PoolDevice found{device.address, pf->address, pf->numa_node, {device.address}};
  found.has_vgpu = current_vgpu(root, device.address).value_or(0) != 0;
  found.adopt = settings.adopt;
  found.is_full = profile.use == Use::vendor_vf && !found.has_vgpu &&
                  !has_room(root, profile, settings, device);
  return found;
}

/// VFs that a PF will have once they are needed.
static std::vector<PoolDevice> vfs_to_enable(const Root& root, const Config& config,
                                             const Profile& profile, const PciAddress& pf) {
  std::vector<PoolDevice> coming;
  const unsigned most = total_vfs(root, pf);
  if (most == 0 || !virtual_functions(root, pf).empty()) return coming;
  const auto device = find_pci_device(root, pf);
  if (!device) return coming;
  const Parent card = identity_of(root, pf);
  const GpuSettings settings = settings_of(config, card);
  if (!is_gpu_class(device->pci_class) && !settings.is_named) return coming;
  if (settings.use != profile.use || !check_identity(root, config, card)) return coming;
  const unsigned count = std::min(settings.vfs.value_or(most), most);
  for (unsigned index = 0; index < count; ++index) {
    const auto address = virtual_function_address(root, pf, index);
    if (address && serves(config, profile, identity_to_come(*device, *address)))
      coming.push_back({*address, pf, device->numa_node, {*address}, false});
  }
  return coming;
}

/// Of a VF that is not there yet that is where its PF is.
static PoolDevice with_local_cpus(const Root& root, const Profile& profile, PoolDevice device) {
  if (profile.numa != Numa::ignore)
    device.local_cpus =
        local_cpus(pci_path(root, device.physical_function.value_or(device.address)));
  return device;
}

static std::optional<PoolDevice> existing_in_pool(const Root& root, const Config& config,
                                                  const Profile& profile, const PciDevice& device,
                                                  std::string& why) {
  return profile.use == Use::whole ? whole_in_pool(root, config, profile, device, why)
                                   : vf_in_pool(root, config, profile, device, why);
}

std::vector<PoolDevice> pool_of(const Root& root, const Config& config, const Profile& profile) {
  std::vector<PoolDevice> pool;
  for (const PciAddress& address : pci_addresses(root)) {
    const auto device = find_pci_device(root, address);
    if (!device) continue;
    std::string why;
    if (auto found = existing_in_pool(root, config, profile, *device, why))
      pool.push_back(with_local_cpus(root, profile, std::move(*found)));
    if (profile.use == Use::whole) continue;
    for (PoolDevice& coming : vfs_to_enable(root, config, profile, address))
      pool.push_back(with_local_cpus(root, profile, std::move(coming)));
  }
  std::sort(pool.begin(), pool.end(),
            [](const PoolDevice& a, const PoolDevice& b) { return a.address < b.address; });
  return pool;
}

/// Whether somebody who wrote this profile may have meant this device.
static bool may_be_meant(const Root& root, const Profile& profile, const PciDevice& device) {
  if (device.physical_function.has_value() == (profile.use == Use::whole)) return false;
  if (profile.gpus.empty()) return is_gpu_class(device.pci_class);
  return std::any_of(profile.gpus.begin(), profile.gpus.end(), [&](const GpuSelector& gpu) {
    return gpu.by == GpuSelector::By::any ? is_gpu_class(device.pci_class)
                                          : selects(gpu, identity_of(root, device.address));
  });
}

std::string explain_empty_pool(const Root& root, const Config& config, const Profile& profile) {
  constexpr int most = 3;
  std::string text;
  int listed = 0;
  for (const PciAddress& address : pci_addresses(root)) {
    const auto device = find_pci_device(root, address);
    if (!device || !may_be_meant(root, profile, *device)) continue;
    std::string why;
    existing_in_pool(root, config, profile, *device, why);
    if (listed++ == most) return text + "; ...";
    text += (text.empty() ? "" : "; ") + to_string(address) + ": " + why;
  }
  if (!text.empty()) return text;
  return profile.is_configured ? "no GPU of this host is named by the profile"
                               : "no GPU of this host matches the request";
}

std::optional<PoolDevice> find_in_pool(const Root& root, const Config& config,
                                       const Profile& profile, const PciAddress& address,
                                       std::string& why) {
  if (const auto device = find_pci_device(root, address)) {
    auto found = existing_in_pool(root, config, profile, *device, why);
    if (found) *found = with_local_cpus(root, profile, std::move(*found));
    return found;
  }
  why = "device does not exist";
  if (profile.use == Use::whole) return {};
  for (const PciAddress& pf : pci_addresses(root))
    for (PoolDevice& coming : vfs_to_enable(root, config, profile, pf))
      if (coming.address == address) {
        why.clear();
        return with_local_cpus(root, profile, std::move(coming));
      }
  return {};
}

}  // namespace gpuward
