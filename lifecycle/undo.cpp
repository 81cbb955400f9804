// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/undo.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "lifecycle/release.hpp"
#include "state/single_use.hpp"

namespace gpuward {

/// What is written of this domain's claim; nothing when it cannot be read, as then nothing is known
/// to be its own.
static std::vector<ClaimedDevice> claim_on_disk(const Preparation& preparation) {
  try {
    if (const auto claim = preparation.claims.find(preparation.claim.domain)) return claim->devices;
  } catch (const Error& error) {
    log::error(domain_title(preparation.domain.name) +
               ": cannot roll back: " + without_remedy(error.reason) + "; run: gpuward reconcile");
  }
  return {};
}

/// A VF on which no type was created: a vGPU that is there is another tool's.
static bool is_untouched(const ClaimedDevice& device) {
  return is_typed_vf(device.use) && device.type == "-" && !device.writer.pid &&
         device.state == ClaimedDevice::State::claimed;
}

/// No guest has had the devices, also where one has to wait in quarantine. Last: killed before,
/// this call leaves them as used.
static void take_back_marks(const Preparation& preparation) {
  for (const std::string& mark : preparation.marks) withdraw_mark(mark);
}

void undo(Preparation& preparation) {
  // A claim that was refused before it was written names devices of others.
  const auto written = claim_on_disk(preparation);
  std::erase_if(preparation.claim.devices, [&](const ClaimedDevice& device) {
    return is_untouched(device) ||
           std::none_of(written.begin(), written.end(),
                        [&](const ClaimedDevice& other) { return is_same_device(device, other); });
  });
  if (preparation.claim.devices.empty() && written.empty()) return;
  preparation.claim.completed = false;
  try {
    for (const QuarantinedDevice& kept : release_devices(
             preparation.root, preparation.claims, preparation.claim, preparation.undo_deadlines))
      log::warning(domain_title(preparation.domain.name) + ": " +
                   to_string(quarantine_reason(kept)));
    take_back_marks(preparation);
  } catch (const Error& error) {
    log::error(domain_title(preparation.domain.name) +
               ": rollback failed: " + without_remedy(error.reason) + "; run: gpuward reconcile");
  }
}

}  // namespace gpuward
