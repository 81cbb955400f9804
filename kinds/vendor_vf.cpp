// SPDX-License-Identifier: LGPL-2.1-or-later
// A VF on which a vGPU of a type is created: NVIDIA's vendor VFIO framework (pci/vendor_vgpu.hpp).
#include "kinds/vendor_vf.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/joined.hpp"
#include "base/kernel_write.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "kinds/attributes.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/rows.hpp"
#include "kinds/type_limit.hpp"
#include "kinds/types.hpp"
#include "kinds/unified_memory.hpp"
#include "kinds/vf.hpp"
#include "pci/card_facts.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"
#include "state/claim_store.hpp"
#include "state/vf_settings.hpp"

namespace gpuward {

// ---- types

static void add_types(const Root& root, const PciAddress& vf,
                      const std::vector<std::string>* counted, std::map<unsigned, GpuType>& types) {
  for (const VgpuType& vgpu : creatable_vgpus(root, vf)) {
    GpuType& type = types[vgpu.id];
    if (type.id.empty())
      type = with_size({.id = std::to_string(vgpu.id),
                        .name = vgpu.name,
                        .use = Use::vendor_vf,
                        .device_api = "vfio-pci"});
    if (is_counted(counted, type)) type.on.push_back({to_string(vf), 1});
  }
}

static std::vector<GpuType> types(const Root& root, const Gpu& gpu,
                                  const std::vector<std::string>* counted, bool of_one_part,
                                  std::string& /*unknown*/) {
  std::map<unsigned, GpuType> found;
  for (const PciAddress& vf : gpu.vfs) {
    add_types(root, vf, counted, found);
    if (of_one_part && !found.empty()) break;
  }
  std::vector<GpuType> sorted;
  sorted.reserve(found.size());
  for (auto& [id, type] : found) sorted.push_back(std::move(type));
  return sorted;
}

/// Of a full card NVIDIA's driver lists none, and of another none that does not fit beside those
/// that exist.
static std::vector<std::string> existing_types(const Root& root, const Gpu& gpu) {
  std::vector<std::string> ids;
  for (const PciAddress& vf : gpu.vfs)
    if (const unsigned id = current_vgpu(root, vf).value_or(0)) ids.push_back(std::to_string(id));
  return ids;
}

static std::string type_name(TypeNames& names, const GpuInstance& instance) {
  const std::string& card = instance.instance.parent;
  const auto address = parse_pci_address(card);
  if (!address) return {};
  auto found = names.vgpus.find(card);
  if (found == names.vgpus.end()) {
    found = names.vgpus.emplace(card, std::map<std::string, std::string>()).first;
    for (const PciAddress& vf : virtual_functions(names.root, *address))
      for (VgpuType& type : creatable_vgpus(names.root, vf))
        found->second.emplace(std::to_string(type.id), std::move(type.name));
  }
  const auto name = found->second.find(instance.instance.type);
  return name == found->second.end() ? std::string() : name->second;
}

GpuInstance unclaimed_vgpu(const std::string& card, unsigned type) {
  return {.instance = {{}, card, std::to_string(type)}, .use = Use::vendor_vf};
}

/// Names are listed by VFs without a vGPU, of types that can be created: here by the VF itself, as
/// its vGPU is still to be created, or by another one of the card.
static std::optional<unsigned> memory(const Root& root, const ClaimedDevice& device,
                                      const std::string& type) {
  std::vector<PciAddress> vfs{device.address};
  if (const auto pf = parse_pci_address(device.parent)) {
    const auto others = virtual_functions(root, *pf);
    vfs.insert(vfs.end(), others.begin(), others.end());
  }
  for (const PciAddress& vf : vfs)
    for (const VgpuType& vgpu : creatable_vgpus(root, vf))
      if (is_called(vgpu, type))
        return with_size({.id = std::to_string(vgpu.id), .name = vgpu.name}).memory_mib;
  return with_size({.id = type, .name = type}).memory_mib;  // where its name says so
}

// ---- the pool

/// Whether a type of the profile can be created on this VF, which has no vGPU, within [gpu] max.
static bool has_room(const PoolQuery& query, const GpuSettings& settings, const PciDevice& vf) {
  if (query.profile.memory_mib &&
      fraction_limit(query.root, query.config, query.profile,
                     read_identity(query.root, query.config, vf.address, query.cards),
                     claims_of(query)))
    return false;
  auto types = creatable_vgpus(query.root, vf.address);
  if (!settings.max.empty() && first_fit(query.profile.types, types)) {
    const auto& claims = claims_of(query);
    std::erase_if(types, [&](const VgpuType& type) {
      return reached_limit(query.root, settings.max, to_string(*vf.physical_function),
                           {Use::vendor_vf, std::to_string(type.id), type.name}, claims);
    });
  }
  return first_fit(query.profile.types, types) != nullptr;
}

std::string reason_without_vgpus(const PoolQuery& query, const GpuSettings& /*settings*/,
                                 const PciDevice& device) {
  return reason_without_vgpus(query.root, device.address);
}

static std::optional<PoolDevice> find(const PoolQuery& query, const PciDevice& device,
                                      std::string& why) {
  auto found = find_vf(query, device, reason_without_vgpus, why);
  if (!found) return {};
  found->device.is_full = !found->device.has_vgpu && !has_room(query, found->settings, device);
  return std::move(found->device);
}

// ---- its life

static std::string names_of(const std::vector<VgpuType>& types) {
  return types.empty() ? "none" : joined(types, ", ", &VgpuType::name);
}

/// "" when there is none.
static std::string vgpu_text(const Root& root, const ClaimedDevice& device) {
  const auto type = current_vgpu(root, device.address);
  if (type == 0u) return {};
  return type ? "VF has vGPU type " + std::to_string(*type) : "VF has a vGPU";
}

void require_vgpu_adoptable(const Root& root, const Config& config, const ClaimedDevice& device) {
  if (!exists(pci_path(root, device.address))) return;
  const std::string what = vgpu_text(root, device);
  if (what.empty()) return;
  if (const auto holder = OpenDevices(root).vfio_holder_of(device.address))
    throw Error(device_title(device),
                what + " that gpuward did not create, in use by " + to_string(*holder),
                "stop that process first");
  const Parent vf = read_identity(root, config, device.address);
  if (!settings_of(config, vf).adopt)
    throw Error(device_title(device), what + " that gpuward did not create",
                "run: gpuward clear " + to_string(device.address) +
                    ", or set adopt = yes in [gpu " + device.parent + "]");
}

/// Removes the types of the profile of which [gpu] max permits no more on the card; the last of
/// these limits. A process that creates one holds the lock of the PF, and writes its type to its
/// claim before.
static std::optional<ReachedLimit> remove_limited(const Root& root, const Config& config,
                                                  const Profile& profile,
                                                  const ClaimedDevice& device,
                                                  std::vector<VgpuType>& types) {
  const Parent vf = read_identity(root, config, device.address);
  const auto max = settings_of(config, vf).max;
  if (max.empty()) return {};
  const ClaimedDevices claimed = claimed_devices(root);
  require_readable(claimed.unreadable);
  const auto claims = without_device(claimed.claims, device);
  std::optional<ReachedLimit> last;
  std::erase_if(types, [&](const VgpuType& type) {
    if (!first_fit(profile.types, {type})) return false;
    auto reached = reached_limit(root, max, device.parent,
                                 {device.use, std::to_string(type.id), type.name}, claims);
    if (!reached) return false;
    last = std::move(reached);
    return true;
  });
  return last;
}

/// The type of its profile that can be created on a VF that has no vGPU. Throws Error.
static VgpuType creatable_type(const Root& root, const Config& config, const Profile& profile,
                               const ClaimedDevice& device) {
  auto types = creatable_vgpus(root, device.address);
  const auto limit = remove_limited(root, config, profile, device, types);
  const VgpuType* const type = first_fit(profile.types, types);
  if (!type && limit && limit->is_permanent)
    throw Error(device_title(device), limit->text, limit->remedy + ", or run: gpuward reassign");
  if (!type && limit)
    throw InUse(device_title(device), limit->text,
                "shut one down, or use another GPU: gpuward reassign");
  if (!type)
    throw Error(device_title(device),
                "no type of " + title_of(profile) + " can be created on the VF (creatable: " +
                    names_of(types) + "); other vGPUs of the GPU limit the types",
                "run: gpuward list");
  require_unified_memory(profile, with_size({.id = std::to_string(type->id), .name = type->name}),
                         device_title(device));
  return *type;
}

static bool has_vgpus(const Root& root, const PciAddress& pf) {
  const auto vfs = virtual_functions(root, pf);
  return std::any_of(vfs.begin(), vfs.end(),
                     [&](const PciAddress& vf) { return current_vgpu(root, vf).value_or(0) != 0; });
}

static void require_creatable(const Root& root, const Config& config, const Profile& profile,
                              const ClaimedDevice& device) {
  if (!exists(pci_path(root, device.address))) return;
  if (current_vgpu(root, device.address) != 0u) return;  // require_vgpu_adoptable checks that
  try {
    creatable_type(root, config, profile, device);
  } catch (const Error& error) {
    if (has_vgpus(root, *parse_pci_address(device.parent))) throw InUse(error.reason);
    throw;
  }
}

/// Which type is created is known only here: a full card lists none before.
static void require_requested_memory(const Profile& profile, const Claim& owner,
                                     const VgpuType& type, ClaimedDevice& device) {
  const auto memory = with_size({.id = std::to_string(type.id), .name = type.name}).memory_mib;
  if (memory) device.memory_mib = memory;
  if (!profile.memory_mib || memory >= profile.memory_mib) return;
  throw Error(device_title(device),
              "type " + type.name + " has " +
                  (memory ? std::to_string(*memory) + " MiB" : "an unknown amount") +
                  " of memory, requested are " + std::to_string(*profile.memory_mib) + " MiB",
              "run: gpuward reassign " + shell_word(owner.name));
}

void remove_adopted_vgpu(const DeviceSetup& setup, ClaimedDevice& device) {
  const auto& [root, config, profile, owner, deadlines] = setup;
  const std::string what = vgpu_text(root, device);
  if (what.empty()) return;
  require_vgpu_adoptable(root, config, device);
  log::warning(device_title(device) + ": " + what + " without a claim, removing it (adopt = yes)");
  require_changed(device, "cannot remove the vGPU",
                  set_vgpu(root, device.address, 0, named_writing(root, owner, device, deadlines)));
}

void create_vgpu(const DeviceSetup& setup, const VgpuType& type, ClaimedDevice& device,
                 std::optional<unsigned> gpu_instance) {
  const auto& [root, config, profile, owner, deadlines] = setup;
  require_changed(device, "cannot create " + type.name,
                  set_vgpu(root, device.address, type.id,
                           named_writing(root, owner, device, deadlines), gpu_instance));
  // Without it QEMU would find no VFIO device to open.
  if (!is_vfio_device(root, device.address))
    throw Error(device_title(device), "VF has no vfio-dev after the vGPU was created",
                "check: systemctl status nvidia-vgpu-mgr");
  write_attributes(setup, device);
}

static void set_up(const DeviceSetup& setup, ClaimedDevice& device) {
  const Lock lock = ensure_vf(setup, device);
  remove_adopted_vgpu(setup, device);
  const VgpuType type = creatable_type(setup.root, setup.config, setup.profile, device);
  require_requested_memory(setup.profile, setup.owner, type, device);
  device.type = std::to_string(type.id);
  create_vgpu(setup, type, device);
}

/// They stay with the VF, and the next vGPU on it may start with them. Where the driver does not
/// clear them, nobody is kept from the VF, and what the profile of the next domain sets replaces
/// them.
static KernelChange clear_parameters(const Root& root, const Claim& owner, ClaimedDevice& device,
                                     const Deadlines& deadlines) {
  KernelChange change =
      clear_vgpu_parameters(root, device.address, named_writing(root, owner, device, deadlines));
  if (change.blocked) return change;
  device.writer = {};
  device.has_attributes = false;
  if (!change.failure.empty())
    log::warning(owner.name,
                 device_title(device) +
                     ": parameters of the vGPU cannot be cleared, ignoring: " + change.failure);
  return {};
}

/// Without the lock of its PF, which prepare takes: only the number of the VFs may not change
/// meanwhile, and who changes that, with that lock, leaves a PF alone of whose VFs a claim names
/// one (use_of_vfs), as ours does until this is done. A vGPU less takes nothing from the other VFs.
/// Waiting for the lock would only have a release fail beside a slow prepare.
std::string remove_vgpu(const Root& root, const Claim& owner, ClaimedDevice& device,
                        const Deadlines& deadlines) {
  if (!offers_vgpus(root, device.address)) return {};
  if (device.has_attributes)
    if (KernelChange cleared = clear_parameters(root, owner, device, deadlines); cleared.blocked)
      return "cannot clear the parameters of the vGPU: " + cleared.failure;
  const KernelChange change =
      set_vgpu(root, device.address, 0, named_writing(root, owner, device, deadlines));
  if (!change.blocked) device.writer = {};
  return change.failure.empty() ? "" : "cannot remove the vGPU: " + change.failure;
}

static bool is_claimed(const ClaimedDevices& claimed, const PciAddress& device) {
  const auto user = claimed.taken.find(device);
  return user != claimed.taken.end() && user->second.by == User::By::itself &&
         !user->second.is_mark;
}

bool remove_unclaimed_vgpu(const Root& root, const PciDevice& device, const Deadlines& deadlines) {
  if (current_vgpu(root, device.address).value_or(0) == 0) return false;
  const auto lock = lock_vfs(root, *device.physical_function, deadlines.lock);
  if (!lock)
    throw Error(to_string(*device.physical_function),
                "timed out waiting for another change of its VFs", "run the command again");
  const ClaimedDevices claimed = claimed_devices(root);
  if (is_claimed(claimed, device.address)) return false;
  require_readable(claimed.unreadable);
  const std::string title = "vGPU on " + to_string(device.address);
  if (const auto holder = OpenDevices(root).vfio_holder_of(device.address))
    throw Error(title, "in use by " + to_string(*holder), "stop that process first");
  const KernelChange change = set_vgpu(root, device.address, 0, deadlines.write);
  if (!change.failure.empty()) throw Error(title, "not removed: " + change.failure);
  return true;
}

// ---- its row

static bool is_offered(const Gpu& gpu) {
  return gpu.offers_vgpus;
}

static bool is_of_kind(const Root& root, const PciDevice& device) {
  return device.physical_function && offers_vgpus(root, device.address);
}

constexpr Kind vendor_vf_kind{.use = Use::vendor_vf,
                              .is_offered = is_offered,
                              .parts = names_of_vfs,
                              .types = types,
                              .existing_types = existing_types,
                              .type_name = type_name,
                              .memory = memory,
                              .is_of_kind = is_of_kind,
                              .find = find,
                              .to_be_enabled = vfs_to_enable,
                              .require_adoptable = require_vgpu_adoptable,
                              .require_creatable = require_creatable,
                              .set_up = set_up,
                              .tear_down = remove_vgpu,
                              .remove_unclaimed = remove_unclaimed_vgpu};

}  // namespace gpuward
