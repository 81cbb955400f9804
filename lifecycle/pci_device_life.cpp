// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/pci_device_life.hpp"

#include <algorithm>

#include "allocation/type_limit.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/joined.hpp"
#include "base/kernel_write.hpp"
#include "base/lock.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "lifecycle/pci_request.hpp"
#include "lifecycle/release.hpp"
#include "lifecycle/scrub.hpp"
#include "mdev/gpu_settings.hpp"
#include "pci/health.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"
#include "state/vf_settings.hpp"

namespace gpuward {

static std::string title(const ClaimedDevice& device) {
  return (device.alias == "-" ? "device " + to_string(device.address)
                              : gpu_title(device.alias) + " (" + to_string(device.address) + ")");
}

/// Two domains that change the VFs of one PF wait for each other: what can be made on one depends
/// on what the others are.
static Lock lock_physical_function(const Root& root, const ClaimedDevice& device,
                                   const Deadlines& deadlines, const char* remedy) {
  auto lock = lock_vfs(root, *parse_pci_address(device.parent), deadlines.lock_wait());
  if (!lock)
    throw Error(title(device),
                "timed out waiting for another change of the VFs of " + device.parent, remedy);
  return std::move(*lock);
}

/// The claim names the process that writes before it does: whatever comes of a write that hangs, or
/// whose hook is killed, until it has come, giving back finds it being made and keeps the device in
/// quarantine. One write of a small file in memory, before one to a driver.
static WriteOptions named_writing(const Root& root, const Claim& owner, ClaimedDevice& device,
                                  const Deadlines& deadlines) {
  return deadlines.writing([&root, &owner, &device](pid_t writer) {
    device.writer = identify(root, writer);
    Claims(root).update(owner, device);
  });
}

static void require_changed(ClaimedDevice& device, const std::string& what,
                            const KernelChange& change) {
  if (!change.blocked) device.writer = {};
  if (!change.failure.empty()) throw Error(title(device), what + ": " + change.failure);
}

/// One process that hangs in the PF's driver is enough: a second would hang beside it.
static void require_no_blocked_writer(const Root& root, const ClaimedDevice& device) {
  const ClaimedDevices claimed = claimed_devices(root);
  require_readable(claimed.unreadable);
  for (const Claim& claim : claimed.claims)
    for (const ClaimedDevice& other : claim.devices)
      if (other.use != Use::mdev && other.parent == device.parent &&
          has_blocked_writer(root, other))
        throw Error(title(device),
                    "driver of PF " + device.parent + " is blocked in the kernel since " +
                        domain_title(claim.name) + " started (process " +
                        std::to_string(other.writer.pid) + ")",
                    "check: journalctl -k");
}

/// A change of the VFs that takes longer than whoever started it waited, such as gpuward-provision,
/// goes on without the PF's lock: until it has ended, VFs that exist may be about to go, and those
/// that do not exist to come (drivers/pci/pci-sysfs.c, sriov_numvfs_store). The caller holds the
/// lock, so no other change begins meanwhile.
static void wait_for_earlier_change(const Root& root, const PciAddress& pf,
                                    const ClaimedDevice& device, const Deadlines& deadlines) {
  Process writer = vf_writer(root, pf);
  if (!writer) return;
  require_no_blocked_writer(root, device);
  wait_until_ended(root, writer, deadlines.write_wait());
  if (!(writer = vf_writer(root, pf))) return;
  const Reason reason = still_changing(writer);
  throw Error(title(device), "VFs of " + device.parent + ": " + reason.problem, reason.remedy);
}

/// Of a PF that has none. The caller holds the PF's lock, and the claim is written:
/// gpuward-provision either has changed the VFs before, or sees the claim and leaves them.
static KernelChange enable_vfs_of(const Root& root, const PciAddress& pf, const WantedVfs& wanted,
                                  const Claim& owner, ClaimedDevice& device,
                                  const Deadlines& deadlines) {
  require_no_blocked_writer(root, device);
  KernelChange change = enable_vfs(root, pf, wanted, named_writing(root, owner, device, deadlines));
  if (!change.blocked) device.writer = {};
  return change;
}

static GpuSettings settings_of_pf(const Root& root, const Config& config, const PciAddress& pf) {
  return settings_of(config, read_identity(pci_path(root, pf), to_string(pf)));
}

/// Why the card itself is not available, as a guest or the quarantine has it; without a problem
/// when it is.
static Reason use_of_card(const Root& root, const PciAddress& pf) {
  const ClaimedDevices claimed = claimed_devices(root);
  require_readable(claimed.unreadable);
  if (const auto user = user_of_card(claimed.taken, pf)) return {{}, user->what, user->remedy};
  if (const auto holder = OpenDevices(root).vfio_holder_of(pf))
    return {{}, "GPU " + to_string(pf) + ": in use by " + to_string(*holder), {}};
  return {};
}

/// The caller holds the PF's lock, and the claim is written.
static void ensure_vf(const Root& root, const Config& config, const Claim& owner,
                      ClaimedDevice& device, const Deadlines& deadlines) {
  const PciAddress pf = *parse_pci_address(device.parent);
  wait_for_earlier_change(root, pf, device, deadlines);
  if (exists(pci_path(root, device.address))) return;
  const std::string what = "VF " + to_string(device.address) + " does not exist";
  if (virtual_functions(root, pf).empty()) {
    if (const Reason use = use_of_card(root, pf); !use.problem.empty())
      throw Error(title(device), what + ": " + use.problem, use.remedy);
    const WantedVfs wanted =
        wanted_vfs(settings_of_pf(root, config, pf), device.use, total_vfs(root, pf));
    require_changed(device, what, enable_vfs_of(root, pf, wanted, owner, device, deadlines));
  }
  const auto made = virtual_functions(root, pf);
  if (std::find(made.begin(), made.end(), device.address) == made.end())
    throw Error(title(device), what + ": the VFs of " + device.parent + " have new addresses",
                "run: gpuward reassign");
}

static std::string names_of(const std::vector<VgpuType>& types) {
  return types.empty() ? "none" : joined(types, ", ", &VgpuType::name);
}

/// "" when there is none.
static std::string vgpu_text(const Root& root, const ClaimedDevice& device) {
  const auto type = current_vgpu(root, device.address);
  if (type == 0u) return {};
  return type ? "VF has vGPU type " + std::to_string(*type) : "VF has a vGPU";
}

void require_adoptable(const Root& root, const Config& config, const ClaimedDevice& device) {
  if (device.use != Use::vendor_vf || !exists(pci_path(root, device.address))) return;
  const std::string what = vgpu_text(root, device);
  if (what.empty()) return;
  if (const auto holder = OpenDevices(root).vfio_holder_of(device.address))
    throw Error(title(device),
                what + " that gpuward did not create, in use by " + to_string(*holder),
                "stop that process first");
  const Parent vf = read_identity(pci_path(root, device.address), to_string(device.address));
  if (!settings_of(config, vf).adopt)
    throw Error(title(device), what + " that gpuward did not create",
                "run: gpuward clear " + to_string(device.address) +
                    ", or set adopt = yes in [gpu " + device.parent + "]");
}

/// Removes the types of the profile of which [gpu] max permits no more on the card; the last of
/// these limits, or "". Whoever creates one holds the lock of the PF, and writes its type to its
/// claim before.
static std::string remove_limited(const Root& root, const Config& config, const Profile& profile,
                                  const ClaimedDevice& device, std::vector<VgpuType>& types) {
  const Parent vf = read_identity(pci_path(root, device.address), to_string(device.address));
  const auto max = settings_of(config, vf).max;
  if (max.empty()) return {};
  const ClaimedDevices claimed = claimed_devices(root);
  require_readable(claimed.unreadable);
  const auto claims = without_device(claimed.claims, device);
  std::string text;
  std::erase_if(types, [&](const VgpuType& type) {
    if (!first_fit(profile.types, {type})) return false;
    const auto reached = reached_limit(root, max, device.parent, type, claims);
    if (reached) text = reached->text;
    return reached.has_value();
  });
  return text;
}

/// The type of its profile that can be created on a VF that has no vGPU. Throws Error.
static VgpuType creatable_type(const Root& root, const Config& config, const Profile& profile,
                               const ClaimedDevice& device) {
  auto types = creatable_vgpus(root, device.address);
  const std::string limit = remove_limited(root, config, profile, device, types);
  const VgpuType* const type = first_fit(profile.types, types);
  if (!type && !limit.empty())
    throw InUse(title(device), limit, "shut one down, or use another GPU: gpuward reassign");
  if (!type)
    throw Error(title(device),
                "no type of " + title_of(profile) + " can be created on the VF (creatable: " +
                    names_of(types) + "); other vGPUs of the GPU limit the types",
                "run: gpuward list");
  return *type;
}

static bool has_vgpus(const Root& root, const PciAddress& pf) {
  const auto vfs = virtual_functions(root, pf);
  return std::any_of(vfs.begin(), vfs.end(),
                     [&](const PciAddress& vf) { return current_vgpu(root, vf).value_or(0) != 0; });
}

void require_creatable(const Root& root, const Config& config, const Profile& profile,
                       const ClaimedDevice& device) {
  if (device.use != Use::vendor_vf || !exists(pci_path(root, device.address))) return;
  if (current_vgpu(root, device.address) != 0u) return;  // require_adoptable looks at that
  try {
    creatable_type(root, config, profile, device);
  } catch (const Error& error) {
    if (has_vgpus(root, *parse_pci_address(device.parent))) throw InUse(error.reason);
    throw;
  }
}

static void create_vgpu(const DeviceSetup& setup, ClaimedDevice& device) {
  const auto& [root, config, profile, owner, deadlines] = setup;
  if (const std::string what = vgpu_text(root, device); !what.empty()) {
    require_adoptable(root, config, device);
    log::warning(title(device) + ": " + what + " without a claim, removing it (adopt = yes)");
    require_changed(
        device, "cannot remove the vGPU",
        set_vgpu(root, device.address, 0, named_writing(root, owner, device, deadlines)));
  }
  const VgpuType type = creatable_type(root, config, profile, device);
  device.type = std::to_string(type.id);
  require_changed(
      device, "cannot create " + type.name,
      set_vgpu(root, device.address, type.id, named_writing(root, owner, device, deadlines)));
  // Without it QEMU would find no VFIO device to open.
  if (!is_vfio_device(root, device.address))
    throw Error(title(device), "VF has no vfio-dev after the vGPU was created",
                "check: systemctl status nvidia-vgpu-mgr");
}

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

static void apply_reset_method(const Root& root, const Config& config, const Claim& owner,
                               ClaimedDevice& device, const Deadlines& deadlines) {
  const std::string path = pci_path(root, device.address);
  const GpuSettings settings = settings_of(config, read_identity(path, to_string(device.address)));
  const std::string file = path + "/reset_method";
  if (!settings.reset_method.empty() && read_attribute(file) != settings.reset_method)
    require_changed(device, "cannot set reset-method = " + settings.reset_method,
                    write_reset_method(file, settings.reset_method,
                                       named_writing(root, owner, device, deadlines)));
  const bool is_companion = device.alias == "-" || gpu_alias(device.alias) != device.alias;
  if (!is_companion && !can_be_reset(root, device.address))
    log::warning(title(device) +
                 ": device has no reset method, its memory may be readable by the next guest; set "
                 "scrub = PROGRAM in the profile");
}

void set_up_pci_device(const DeviceSetup& setup, ClaimedDevice& device) {
  const auto& [root, config, profile, owner, deadlines] = setup;
  if (device.use == Use::whole) return apply_reset_method(root, config, owner, device, deadlines);
  const Lock lock = lock_physical_function(root, device, deadlines, "start the domain again");
  ensure_vf(root, config, owner, device, deadlines);
  if (device.use == Use::vendor_vf) create_vgpu(setup, device);
}

// ---- a VF in quarantine that does not exist

bool lacks_vf(const Root& root, const ClaimedDevice& device) {
  if ((device.use != Use::vf && device.use != Use::vendor_vf) || device.scrub.empty() ||
      device.scrub == unknown_scrub)
    return false;
  const auto pf = parse_pci_address(device.parent);
  return pf && *pf != device.address && exists(pci_path(root, *pf)) &&
         !exists(pci_path(root, device.address));
}

/// What the configuration wants of the card, which may be something else since the VF was used.
static WantedVfs require_wanted_vfs(const Root& root, const Config& config, const PciAddress& pf,
                                    Use use) {
  const GpuSettings settings = settings_of_pf(root, config, pf);
  const std::string section = "the [gpu] section of the card";
  if (settings.use && *settings.use != use)
    throw Error({}, section + " has use = " + std::string(use_word(*settings.use)));
  const WantedVfs wanted = wanted_vfs(settings, use, total_vfs(root, pf));
  if (wanted.count == 0) throw Error({}, section + " has vfs = 0");
  return wanted;
}

/// Of what keeps the VFs from being enabled, with what ends that where it is known.
static Reason not_restored(const ClaimedDevice& device, const Reason& why) {
  const std::string object = title(device);
  return {object,
          "VF does not exist and cannot be enabled on " + device.parent + ": " +
              (why.object == object ? why.problem : without_remedy(why)),
          why.remedy.empty() ? "fix the cause, then run: gpuward reconcile" : why.remedy};
}

Reason restore_vf(const Root& root, const Config& config, const Claim& owner, ClaimedDevice& device,
                  const Deadlines& deadlines) try {
  const PciAddress pf = *parse_pci_address(device.parent);
  const Lock lock = lock_physical_function(root, device, deadlines, "run: gpuward reconcile");
  wait_for_earlier_change(root, pf, device, deadlines);
  if (exists(pci_path(root, device.address))) return {};
  if (const auto there = virtual_functions(root, pf); !there.empty())
    throw Error({}, "the card has " + std::to_string(there.size()) + " others enabled");
  if (const Reason use = use_of_card(root, pf); !use.problem.empty()) throw Error(use);
  const WantedVfs wanted = require_wanted_vfs(root, config, pf, device.use);
  const KernelChange change = enable_vfs_of(root, pf, wanted, owner, device, deadlines);
  if (!change.failure.empty()) throw Error({}, change.failure);
  if (!exists(pci_path(root, device.address)))
    throw Error({}, "the VFs that were enabled do not include it");
  return {};
} catch (const Error& error) {
  return not_restored(device, error.reason);
}

/// Nothing more is to be done for it. A single use is on disk before the quarantine goes from it.
static void set_free(const Root& root, const Claim& owner, const ClaimedDevice& device) {
  if (device.one_time) mark_used(root, device.address, owner.domain, owner.name);
  clear_quarantine_record(root, device.address);
}

std::string tear_down_pci_device(const Root& root, const Claim& owner, ClaimedDevice& device,
                                 const Deadlines& deadlines) {
  if (!exists(pci_path(root, device.address))) {
    // Nothing left to release, but the same card, or a VF of that number, may come again as its
    // guest left it. A second record would be without the identity of the card, and would keep
    // another card at this address in quarantine.
    if (!device.scrub.empty()) {
      if (!is_on_record(root, owner, device.address)) record_quarantine(root, owner, device);
      throw Error({}, "device disappeared before it was scrubbed",
                  "run: gpuward clear " + to_string(device.address));
    }
    set_free(root, owner, device);
    return {};
  }
  if (const auto holder = wait_until_closed(deadlines.release_wait(), [&] {
        return OpenDevices(root).vfio_holder_of(device.address);
      }))
    return "in use by " + to_string(*holder);
  if (device.use == Use::vendor_vf && offers_vgpus(root, device.address)) {
    // Without the lock of its PF, which prepare takes: only the number of the VFs may not change
    // meanwhile, and who changes that, with that lock, leaves a PF alone of whose VFs a claim names
    // one (use_of_vfs), as ours does until this is done. A vGPU less takes nothing from the other
    // VFs. Waiting for the lock would only have a release fail beside a slow prepare.
    const KernelChange change =
        set_vgpu(root, device.address, 0, named_writing(root, owner, device, deadlines));
    if (!change.blocked) device.writer = {};
    if (!change.failure.empty()) return "cannot remove the vGPU: " + change.failure;
  }
  if (std::string why = scrub(root, owner, device, deadlines); !why.empty()) return why;
  set_free(root, owner, device);
  return {};
}

}  // namespace gpuward
