// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/device_setup.hpp"

#include "base/error.hpp"
#include "domain/domain.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

std::string device_title(const ClaimedDevice& device) {
  return (device.alias == "-" ? "device " + to_string(device.address)
                              : gpu_title(device.alias) + " (" + to_string(device.address) + ")");
}

std::string describe_device(const ClaimedDevice& device) {
  return is_mediated(device.use) ? "instance " + to_string(device.instance) + " on " + device.parent
                                 : to_string(device.address);
}

WriteOptions named_writing(const Root& root, const Claim& owner, ClaimedDevice& device,
                           const Deadlines& deadlines) {
  return deadlines.writing([&root, &owner, &device](pid_t writer) {
    device.writer = identify(root, writer);
    Claims(root).update(owner, device);
  });
}

void require_changed(ClaimedDevice& device, const std::string& what, const KernelChange& change) {
  if (!change.blocked) device.writer = {};
  if (!change.failure.empty()) throw Error(device_title(device), what + ": " + change.failure);
}

}  // namespace gpuward
