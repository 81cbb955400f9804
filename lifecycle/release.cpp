// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/release.hpp"

#include <cerrno>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/kernel_write.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "lifecycle/pci_device_life.hpp"
#include "mdev/instance.hpp"

namespace gpuward {

std::string describe_device(const ClaimedDevice& device) {
  return device.use == Use::mdev ? "instance " + to_string(device.instance) + " on " + device.parent
                                 : to_string(device.address);
}

std::string remedy_of(const QuarantinedDevice& kept) {
  if (!kept.remedy.empty()) return kept.remedy;
  return kept.device.scrub == unknown_scrub
             ? "scrub the device, then run: gpuward clear " + to_string(kept.device.address)
             : "run: gpuward reconcile";
}

Reason quarantine_reason(const QuarantinedDevice& kept) {
  return {gpu_title(kept.device.alias) + " (" + describe_device(kept.device) + ")",
          "remains quarantined: " + kept.reason, remedy_of(kept)};
}

KernelChange remove_instance(const Root& root, const Uuid& instance, const Deadlines& deadlines,
                             std::function<void(pid_t)> on_start) {
  if (!instance_directory(root, instance)) return {};
  if (const auto holder = wait_until_closed(deadlines.release_wait(),
                                            [&] { return OpenDevices(root).holder_of(instance); }))
    return {"in use by " + to_string(*holder)};
  const auto found = find_instance(root, instance);
  if (!found)
    return {
        "removal is blocked in the kernel until the process using the instance exits; check: "
        "journalctl -k"};
  // A removal now would leave a device without `remove` (EAGAIN, drivers/vfio/mdev/mdev_sysfs.c).
  if (found->type.empty()) return {"driver is still creating the instance"};
  const KernelWrite write = removal(root, instance);
  const WriteResult result =
      write_in_child({&write, 1}, deadlines.writing(std::move(on_start))).front();
  if (result.outcome == WriteResult::Outcome::blocked)
    return {"removal is " + blocked_in_kernel(result.child) + "; check: journalctl -k",
            result.child};
  const bool gone_already = result.code == ENOENT || result.code == ENODEV;
  if (result.outcome == WriteResult::Outcome::failed && !gone_already)
    return {"kernel rejected the removal: " + errno_text(result.code)};
  const auto wait = deadlines.write_wait();
  if (!wait_until_gone(root, instance, wait))
    return {"instance still exists " + std::to_string(wait.count() / 1000) +
            " s after its removal"};
  return {};
}

bool has_blocked_writer(const Root& root, const ClaimedDevice& device) {
  return is_running(root, device.writer);
}

/// Whether the instance in sysfs is the one that was claimed: someone may have removed ours and
/// made another of that UUID on another parent, which is none of our business.
static bool is_claimed_one(const Root& root, const ClaimedDevice& device) {
  if (const auto instance = find_instance(root, device.instance))
    return instance->parent == device.parent;
  return instance_directory(root, device.instance).has_value();  // its removal has begun
}

static std::string what_is_written(const Root& root, const ClaimedDevice& device) {
  if (device.use != Use::mdev) return "driver";
  const auto instance = find_instance(root, device.instance);
  return instance && !instance->type.empty() ? "removal" : "creation";
}

/// Why the device cannot be given to another yet; "" when it can.
static std::string end_device(const Root& root, const Claim& claim, ClaimedDevice& device,
                              const Deadlines& deadlines) {
  if (deadlines.end.is_over()) return "timed out before it was released";
  // One that was not known to be blocked may be about to end.
  if (device.state == ClaimedDevice::State::claimed)
    wait_until_ended(root, device.writer, deadlines.release_wait());
  if (has_blocked_writer(root, device))
    return what_is_written(root, device) + " is " + blocked_in_kernel(device.writer.pid) +
           "; check: journalctl -k";
  if (is_running(root, device.scrub_process))
    return "scrub program still running (process " + std::to_string(device.scrub_process.pid) + ")";
  device.writer = device.scrub_process = {};
  if (is_claimed_by_another(root, claim.domain, device)) {
    log::warning(claim.name,
                 describe_device(device) + " is also claimed by another domain, not released");
    return {};
  }
  if (device.use == Use::mdev && is_by_hand(device)) {
    const auto holder = wait_until_closed(
        deadlines.release_wait(), [&] { return OpenDevices(root).holder_of(device.instance); });
    return holder ? "in use by " + to_string(*holder) : "";
  }
  if (device.use != Use::mdev) return tear_down_pci_device(root, claim, device, deadlines);
  if (!is_claimed_one(root, device)) return {};
  KernelChange removal = remove_instance(root, device.instance, deadlines, [&](pid_t writer) {
    device.writer = identify(root, writer);
    Claims(root).update(claim, device);
  });
  device.writer = {};  // what is left of a removal that hangs can be seen in sysfs
  return std::move(removal.failure);
}

/// What cannot be read of a device may still have it in use, and does not keep the others.
static Reason reason_to_keep(const Root& root, const Claim& claim, ClaimedDevice& device,
                             const Deadlines& deadlines) {
  try {
    return {{}, end_device(root, claim, device, deadlines), {}};
  } catch (const Error& error) {
    return {{}, without_remedy(error.reason), error.reason.remedy};
  }
}

std::vector<QuarantinedDevice> release_devices(const Root& root, const Claims& claims, Claim claim,
                                               const Deadlines& deadlines) {
  std::vector<QuarantinedDevice> kept;
  for (ClaimedDevice& device : claim.devices) {
    if (!claim.completed && device.state == ClaimedDevice::State::claimed) {
      device.scrub.clear();
      device.one_time = false;
    }
    const Reason reason = reason_to_keep(root, claim, device, deadlines);
    if (reason.problem.empty()) continue;
    device.state = ClaimedDevice::State::quarantined;
    kept.push_back({device, reason.problem, reason.remedy});
  }
  if (kept.empty()) {
    claims.drop(claim.domain);
    return kept;
  }
  claim.devices.clear();
  for (const QuarantinedDevice& device : kept) claim.devices.push_back(device.device);
  claims.write(claim);
  return kept;
}

}  // namespace gpuward
