// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/release.hpp"

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/kernel_write.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "kinds/kind.hpp"
#include "lifecycle/scrub.hpp"
#include "pci/pci_device.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {

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

bool has_blocked_writer(const Root& root, const ClaimedDevice& device) {
  return is_running(root, device.writer);
}

static std::string what_is_written(const Root& root, const ClaimedDevice& device) {
  if (device.has_attributes) return "setting of its attributes";
  const Kind& kind = kind_of(device.use);
  return kind.blocked_write ? kind.blocked_write(root, device) : "driver";
}

/// Nothing more is to be done for it. A single use is on disk before the quarantine goes from it.
static void set_free(const Root& root, const Claim& owner, const ClaimedDevice& device) {
  if (device.one_time) mark_used(root, device.address, owner.domain, owner.name);
  clear_quarantine_record(root, device.address);
}

/// Why what was made of the card for the device is still there; "" when it is not.
static std::string end_part(const Root& root, const Claim& owner, ClaimedDevice& device,
                            const Deadlines& deadlines) {
  const auto remove_part = kind_of(device.use).remove_part;
  if (device.part.empty() || !remove_part) return {};
  return remove_part(root, owner, device, deadlines);
}

/// Takes the domain's traces off a PCI device that libvirt has released. Throws Error where to
/// try again is no remedy.
static std::string tear_down_pci(const Root& root, const Claim& owner, ClaimedDevice& device,
                                 const Deadlines& deadlines) {
  if (!exists(pci_path(root, device.address))) {
    if (std::string why = end_part(root, owner, device, deadlines); !why.empty()) return why;
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
  const Kind& kind = kind_of(device.use);
  if (kind.tear_down)
    if (std::string why = kind.tear_down(root, owner, device, deadlines); !why.empty()) return why;
  if (std::string why = end_part(root, owner, device, deadlines); !why.empty()) return why;
  if (std::string why = scrub(root, owner, device, deadlines); !why.empty()) return why;
  set_free(root, owner, device);
  return {};
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
    return end_part(root, claim, device, deadlines);
  }
  return is_pci(device.use) ? tear_down_pci(root, claim, device, deadlines)
                            : kind_of(device.use).tear_down(root, claim, device, deadlines);
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
    // Undone before it had a place: no claim can name it.
    if (is_mediated(device.use) && device.parent.empty()) continue;
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
