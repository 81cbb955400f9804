// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/check_running.hpp"

#include "allocation/quota.hpp"
#include "allocation/request.hpp"
#include "base/error.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/kind.hpp"
#include "kinds/mig_room.hpp"
#include "lifecycle/by_hand.hpp"
#include "lifecycle/fraction_request.hpp"
#include "mdev/instance.hpp"
#include "pci/nvml.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

static bool is_pci_gpu(const Domain& domain, const GpuRequest& gpu) {
  const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
  return hostdev && hostdev->address;
}

static const GpuRequest* find_request(const Domain& domain, std::string_view alias) {
  for (const GpuRequest& gpu : domain.requests)
    if (gpu.alias == gpu_alias(alias)) return &gpu;
  return nullptr;
}

/// As prepare does it (pci_devices_asked): a companion is neither scrubbed nor marked.
static std::string add_profile(const Root& root, const Config& config, const GpuRequest* request,
                               AskedCards& asked, ClaimedDevice& device) {
  const bool is_companion = gpu_alias(device.alias) != device.alias;
  if (!request || is_companion) return {};
  const Resolution found = resolve(config, *request);
  if (found.profile) {
    device.scrub = found.profile->scrub;
    device.one_time = found.profile->one_time;
    mark_fraction(*found.profile, device);
    if (!is_typed_vf(device.use) || !traits_of(found.profile->use).needs_program) return {};
    const std::string unknown = recover_mig(root, config, device, asked);
    return unknown.empty() ? unknown : gpu_title(device.alias) + ": " + unknown + "; ";
  }
  device.scrub = unknown_scrub;
  return gpu_title(device.alias) + ": " + found.refusal.problem +
         ", so the device is quarantined when the domain stops; ";
}

/// Adds it to the claim, as far as the host tells what it is; says what is wrong with it.
static std::string check_pci_device(const Root& root, const Config& config, const Domain& domain,
                                    const Hostdev& hostdev, AskedCards& asked, Claim& claim) {
  const auto device = find_pci_device(root, *hostdev.address);
  if (!device)
    return gpu_title(hostdev.alias) + ": PCI device " + to_string(*hostdev.address) +
           " no longer exists; ";
  const GpuRequest* const request = find_request(domain, hostdev.alias);
  claim.devices.push_back({.alias = hostdev.alias,
                           .profile = request ? profile_word(*request) : "-",
                           .instance = {},
                           .parent = to_string(device->physical_function.value_or(device->address)),
                           .type = "-"});
  claim.devices.back().address = device->address;
  claim.devices.back().use = use_of_device(root, *device);
  claim.devices.back().iommu_group = device->iommu_group;
  if (is_typed_vf(claim.devices.back().use))
    if (const unsigned vgpu = current_vgpu(root, device->address).value_or(0))
      claim.devices.back().type = std::to_string(vgpu);
  return add_profile(root, config, request, asked, claim.devices.back());
}

/// As prepare does it.
static void note_memory(const Root& root, Claim& claim) {
  for (ClaimedDevice& device : claim.devices)
    if (!device.memory_mib && (is_gpu_of_profile(device) || is_by_hand(device)))
      note_memory(root, device);
}

std::string check_running_domain(const Root& root, const Config& config, const Domain& domain,
                                 const Deadlines& deadlines) {
  if (domain.requests.empty()) return {};
  const Claims claims(root);
  claims.make_ready();
  const auto lock = claims.lock_domain(domain.uuid, deadlines.lock_wait());
  if (!lock) return "cannot check the claim: another gpuward process holds the domain lock";
  std::string found;
  Claim claim = new_claim(domain);
  // What is not known of a device now is never noted in its claim.
  AskedCards asked(AskedCards::After::timeout_asks_on);
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address && is_ours(hostdev))
      found += check_pci_device(root, config, domain, hostdev, asked, claim);
  for (const GpuRequest& gpu : domain.requests) {
    if (is_pci_gpu(domain, gpu)) continue;
    const auto instance = find_instance(root, instance_uuid(domain.uuid, gpu.alias));
    if (!instance) {
      found += gpu_title(gpu.alias) + ": instance " +
               to_string(instance_uuid(domain.uuid, gpu.alias)) + " no longer exists; ";
      continue;
    }
    claim.devices.push_back({.alias = gpu.alias,
                             .profile = profile_word(gpu),
                             .instance = instance->uuid,
                             .parent = instance->parent,
                             .type = instance->type});
    if (const auto profile = resolve(config, gpu).profile)
      mark_fraction(*profile, claim.devices.back());
  }
  if (!claim.devices.empty() && !claims.find(domain.uuid)) {
    claim.completed = true;
    note_memory(root, claim);
    claims.write(claim);
    found += "claim file was missing and has been re-created; ";
  }
  return found.empty() ? found : found.substr(0, found.size() - 2);
}

void claim_by_hand_again(const Root& root, const Config& config, const Domain& domain,
                         const Deadlines& deadlines) {
  const Claims claims(root);
  claims.make_ready();
  const auto lock = claims.lock_domain(domain.uuid, deadlines.lock_wait());
  if (!lock) return;
  const auto found = claims.find(domain.uuid);
  Claim claim = found.value_or(new_claim(domain));
  if (!found) claim.completed = true;
  const size_t before = claim.devices.size();
  add_devices_by_hand(root, config, domain, claim);
  if (claim.devices.size() == before) return;
  note_memory(root, claim);
  claims.write(claim);
}

}  // namespace gpuward
