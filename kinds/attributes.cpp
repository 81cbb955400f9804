// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/attributes.hpp"

#include <cerrno>

#include "base/kernel_write.hpp"
#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "mdev/instance.hpp"
#include "pci/pci_device.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

static std::string directory_of(const Root& root, const ClaimedDevice& device) {
  return is_mediated(device.use) ? instance_path(root, device.instance)
                                 : pci_path(root, device.address);
}

static Error attribute_error(const Profile& profile, const ClaimedDevice& device,
                             const DeviceAttribute& attribute, const WriteResult& result) {
  const std::string what = "setting " + attribute.name + " to " + in_quotes(attribute.value) +
                           " on " + describe_device(device);
  const std::string check = "check: journalctl -k";
  if (result.outcome == WriteResult::Outcome::blocked)
    return Error(gpu_title(device.alias), what + " is " + blocked_in_kernel(result.child), check);
  if (result.outcome != WriteResult::Outcome::failed)
    return Error(gpu_title(device.alias), what + " ended without a report", check);
  const bool is_absent = result.code == ENOENT;
  return Error(
      gpu_title(device.alias),
      what + " failed: " + (is_absent ? "there is no such attribute" : errno_text(result.code)),
      "correct 'set' in [profile " + profile.name + "]" + (is_absent ? "" : ", or " + check));
}

void write_attributes(const DeviceSetup& setup, ClaimedDevice& device) {
  const auto& attributes = setup.profile.attributes;
  if (attributes.empty()) return;
  // A write that begins with no time left would look like one that is blocked.
  if (setup.deadlines.end.is_over())
    throw Error(gpu_title(device.alias), "timed out before its attributes were set",
                "run again: virsh start " + shell_word(setup.owner.name));
  const std::string directory = directory_of(setup.root, device);
  std::vector<KernelWrite> writes;
  writes.reserve(attributes.size());
  for (const DeviceAttribute& attribute : attributes)
    writes.push_back({directory + '/' + attribute.name, attribute.value});
  // The claim names the process that writes before it does, as for a creation (prepare.cpp).
  const auto results = write_in_child(writes, setup.deadlines.writing([&](pid_t writer) {
    device.writer = identify(setup.root, writer);
    device.has_attributes = true;
    Claims(setup.root).update(setup.owner, device);
  }));
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].outcome == WriteResult::Outcome::written) continue;
    if (results[i].outcome != WriteResult::Outcome::blocked) device.writer = {};
    throw attribute_error(setup.profile, device, attributes[i], results[i]);
  }
  device.writer = {};
}

}  // namespace gpuward
