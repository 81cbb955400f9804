// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/pci_device_life.hpp"

#include <algorithm>
#include <thread>

#include "base/child.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/lock.hpp"
#include "base/log.hpp"
#include "base/program.hpp"
#include "domain/used_devices.hpp"
#include "mdev/gpu_settings.hpp"
#include "pci/device_nodes.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

static std::string title(const ClaimedDevice& device) {
  return "GPU " + device.alias + ": " + to_string(device.address);
}

/// Two domains that change the VFs of one PF wait for each other: what can be made on one depends
/// on what the others are.
static Lock lock_physical_function(const Root& root, const ClaimedDevice& device,
                                   const Deadlines& deadlines) {
  auto lock = lock_vfs(root, *parse_pci_address(device.parent), deadlines.lock);
  if (!lock)
    throw Error(title(device) + ": another gpuward process works on the virtual functions of " +
                device.parent + " for too long; try again");
  return std::move(*lock);
}

/// The caller holds the PF's lock, and the claim is written: gpuward-provision either has changed
/// the VFs before, or sees the claim and leaves them.
static void make_vf_sure(const Root& root, const Config& config, const ClaimedDevice& device,
                         const Deadlines& deadlines) {
  if (exists(pci_path(root, device.address))) return;
  const PciAddress pf = *parse_pci_address(device.parent);
  const std::string what = title(device) + ": its virtual function is not there: " + device.parent;
  if (virtual_functions(root, pf).empty()) {
    const GpuSettings settings =
        settings_of(config, read_identity(pci_path(root, pf), device.parent));
    const std::string why = set_virtual_functions(
        root, pf, wanted_vfs(settings, device.use, most_virtual_functions(root, pf)),
        deadlines.write);
    if (!why.empty()) throw Error(what + ": " + why);
  }
  const auto made = virtual_functions(root, pf);
  if (std::find(made.begin(), made.end(), device.address) == made.end())
    throw Error(what + " has it elsewhere now; 'gpuward repoint' finds it");
}

static const VgpuType* first_fit(const Profile& profile, const std::vector<VgpuType>& types) {
  for (const std::string& wanted : profile.types)
    for (const VgpuType& type : types)
      if (is_called(type, wanted)) return &type;
  return nullptr;
}

static std::string names_of(const std::vector<VgpuType>& types) {
  std::string text;
  for (const VgpuType& type : types) text += (text.empty() ? "" : ", ") + type.name;
  return text.empty() ? "nothing" : text;
}

/// Whatever comes of a write that hangs: until it has come the device is nobody's.
static void keep_for_stuck(ClaimedDevice& device, pid_t stuck) {
  if (stuck == 0) return;
  device.state = ClaimedDevice::State::quarantined;
  device.maker = stuck;
}

/// Before a guest has it there is nothing to scrub.
static void set_vgpu_at_start(const Root& root, ClaimedDevice& device, unsigned id,
                              const std::string& what, const Deadlines& deadlines) {
  const VgpuChange change = set_vgpu(root, device.address, id, deadlines.write);
  if (change.failure.empty()) return;
  keep_for_stuck(device, change.stuck);
  device.scrub.clear();
  device.one_time = false;
  throw Error(title(device) + what + ": " + change.failure +
              (change.stuck ? "; see 'journalctl -k'" : ""));
}

static void create_vgpu(const Root& root, const Config& config, ClaimedDevice& device,
                        const Deadlines& deadlines) {
  const Profile& profile = *find_profile(config, device.profile);
  if (current_vgpu(root, device.address) != 0u) {
    log::warning(title(device) + " has a vGPU that nobody claims; removing it first");
    set_vgpu_at_start(root, device, 0, " has a vGPU that does not go", deadlines);
  }
  const auto types = creatable_vgpus(root, device.address);
  const VgpuType* const type = first_fit(profile, types);
  if (!type)
    throw Error(title(device) + " offers " + names_of(types) + " now and none of profile " +
                profile.name + "; what its GPU offers depends on the vGPUs that it has already");
  device.type = std::to_string(type->id);
  set_vgpu_at_start(root, device, type->id, ": creating " + type->name + " failed", deadlines);
  // Without it QEMU would find no VFIO device to open.
  if (!is_vfio_device(root, device.address))
    throw Error(title(device) +
                ": its driver offers it to no VFIO user (no vfio-dev); is "
                "nvidia-vgpu-mgr running?");
}

static void set_reset(const Root& root, const Config& config, const ClaimedDevice& device,
                      const Deadlines& deadlines) {
  const std::string path = pci_path(root, device.address);
  const GpuSettings settings = settings_of(config, read_identity(path, to_string(device.address)));
  const std::string file = path + "/reset_method";
  if (!settings.reset_method.empty() && read_attribute(file) != settings.reset_method) {
    const KernelWrite write{file, settings.reset_method};
    const WriteResult result = write_in_child({&write, 1}, deadlines.write).front();
    if (result.outcome != WriteResult::Outcome::written)
      throw Error(title(device) + ": reset-method = " + settings.reset_method +
                  " is refused: " + errno_text(result.code) + "; the kernel offers " +
                  read_attribute(file).value_or("none"));
  }
  if (!exists(path + "/reset"))
    log::warning(title(device) + " cannot be reset: the next guest finds what this one leaves");
}

void begin_pci_device(const Root& root, const Config& config, ClaimedDevice& device,
                      const Deadlines& deadlines) {
  if (device.use == Use::whole) return set_reset(root, config, device, deadlines);
  const Lock lock = lock_physical_function(root, device, deadlines);
  make_vf_sure(root, config, device, deadlines);
  if (device.use == Use::vendor_vf) create_vgpu(root, config, device, deadlines);
}

static std::optional<Holder> vfio_holder_after(const Root& root, const PciAddress& address,
                                               std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  for (;;) {
    const auto holder = vfio_holder_of(root, DeviceHolders(root), address);
    if (!holder || std::chrono::steady_clock::now() >= end) return holder;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

static std::string scrub(const Claim& owner, const ClaimedDevice& device,
                         const Deadlines& deadlines) {
  if (device.scrub.empty()) return {};
  const std::string end = run_program(
      device.scrub,
      {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
       "GPUWARD_DEVICE=" + to_string(device.address),
       "GPUWARD_USE=" + std::string(use_word(device.use)), "GPUWARD_PROFILE=" + device.profile,
       "GPUWARD_DOMAIN_NAME=" + owner.name, "GPUWARD_DOMAIN_UUID=" + to_string(owner.domain)},
      deadlines.scrub);
  return end.empty() ? end : "its scrub program " + device.scrub + ' ' + end;
}

std::string end_pci_device(const Root& root, const Claim& owner, ClaimedDevice& device,
                           const Deadlines& deadlines) {
  if (!exists(pci_path(root, device.address))) {
    // Pulled out: nothing left to give back. The same card may come again.
    if (device.one_time) mark_used(root, device.address, owner.name);
    return {};
  }
  if (const auto holder = vfio_holder_after(root, device.address, deadlines.release))
    return "it is open in " + to_string(*holder);
  if (device.use == Use::vendor_vf && offers_vgpus(root, device.address)) {
    const VgpuChange change = set_vgpu(root, device.address, 0, deadlines.write);
    keep_for_stuck(device, change.stuck);
    if (!change.failure.empty()) return "its vGPU does not go: " + change.failure;
  }
  if (std::string why = scrub(owner, device, deadlines); !why.empty()) return why;
  if (device.one_time) mark_used(root, device.address, owner.name);
  return {};
}

}  // namespace gpuward
