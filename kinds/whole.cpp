// SPDX-License-Identifier: LGPL-2.1-or-later
// A whole GPU, with its companions. libvirt binds vfio-pci to it and gives the host's driver back.
#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/kernel_write.hpp"
#include "base/log.hpp"
#include "base/uuid.hpp"
#include "config/gpu_settings.hpp"
#include "domain/domain.hpp"
#include "inventory/gpu_types.hpp"
#include "kinds/rows.hpp"
#include "kinds/types.hpp"
#include "pci/card_facts.hpp"
#include "pci/class_device.hpp"
#include "pci/health.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

// ---- the pool

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

/// A section names it, for this use.
static bool is_meant_whole(const GpuSettings& settings) {
  return settings.is_named && settings.use == Use::whole;
}

/// Why a function cannot be given whole by this profile; "" when it can.
static std::string reason_not_whole(const PoolQuery& query, const GpuSettings& settings,
                                    const PciDevice& device) {
  const Root& root = query.root;
  if (is_bridge_class(device.pci_class)) return "PCI bridge";
  if (std::string lost = lost_with_driver(root, device.address); !lost.empty()) return lost;
  if (is_meant_whole(settings)) return {};
  if (!is_gpu_class(device.pci_class))
    return "neither display nor accelerator class; to assign it set use = whole in [gpu " +
           to_string(device.address) + "]";
  if (is_companion(root, device.address, query.cards))
    return "companion of the GPU in the same slot";
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

static std::optional<PoolDevice> find_whole(const PoolQuery& query, const PciDevice& device,
                                            std::string& why) {
  const Root& root = query.root;
  if (device.physical_function) {
    why = "virtual function (VF)";
    return {};
  }
  const auto settings = allowed_settings(query, device, reason_not_whole, why);
  if (!settings) return {};
  PoolDevice found{device.address, {}, device.numa_node, {}};
  add_functions(root, device, found);
  if (!query.profile.is_configured && !is_meant_whole(*settings))
    why = used_below_companion(root, found);
  if (!why.empty()) return {};
  if (const auto group = iommu_group_of(root, device.address))
    found.host_bound_members = host_bound_members(root, *group, found.functions);
  return found;
}

// ---- its life

static KernelChange write_reset_method(const std::string& file, const std::string& methods,
                                       const WriteOptions& options) {
  const KernelWrite write{file, methods};
  const WriteResult result = write_in_child({&write, 1}, options).front();
  if (result.outcome == WriteResult::Outcome::written) return {};
  if (result.outcome == WriteResult::Outcome::blocked)
    return {"write is " + blocked_in_kernel(result.child) + "; check: journalctl -k", result.child};
  if (result.outcome == WriteResult::Outcome::unknown) {
    if (read_optional_attribute(file) == methods) return {};
    return {"process writing reset_method died; check: journalctl -k"};
  }
  return {errno_text(result.code) +
          "; the kernel supports: " + read_optional_attribute(file).value_or("none")};
}

static void apply_reset_method(const DeviceSetup& setup, ClaimedDevice& device) {
  const auto& [root, config, profile, owner, deadlines] = setup;
  const std::string path = pci_path(root, device.address);
  const GpuSettings settings = settings_of(config, read_identity(root, config, device.address));
  const std::string file = path + "/reset_method";
  if (!settings.reset_method.empty() && read_attribute(file) != settings.reset_method)
    require_changed(device, "cannot set reset-method = " + settings.reset_method,
                    write_reset_method(file, settings.reset_method,
                                       named_writing(root, owner, device, deadlines)));
  const bool is_companion = device.alias == "-" || gpu_alias(device.alias) != device.alias;
  if (!is_companion && !can_be_reset(root, device.address))
    log::warning(device_title(device) +
                 ": device has no reset method, its memory may be readable by the next guest; set "
                 "scrub = PROGRAM in the profile");
}

/// As `list gpus` shows it.
static std::optional<unsigned> memory(const Root& root, const ClaimedDevice& device,
                                      const std::string& /*type*/) {
  Gpu gpu{.parent = read_identity(pci_path(root, device.address), to_string(device.address))};
  if (find_parent(root, gpu.parent.name)) gpu.mdev_parents = {gpu.parent.name};
  return total_memory(root, gpu, catalogue_of(root, gpu));
}

static bool is_offered(const Gpu& gpu) {
  return gpu.parent.address && !gpu.is_vf && !is_bridge_class(gpu.pci_class);
}

static bool is_physical(const Root& /*root*/, const PciDevice& device) {
  return !device.physical_function;
}

constexpr Kind whole_kind{.use = Use::whole,
                          .is_offered = is_offered,
                          .memory = memory,
                          .is_of_kind = is_physical,
                          .find = find_whole,
                          .set_up = apply_reset_method};

}  // namespace gpuward
