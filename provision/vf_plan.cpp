// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provision/vf_plan.hpp"

#include "base/file.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/usage.hpp"
#include "pci/pci_device.hpp"
#include "state/claim_store.hpp"
#include "state/vf_settings.hpp"

namespace gpuward {

std::string to_string(const VfChange& change) {
  const bool same_count = change.now == change.wanted.count;
  return "VFs of " + to_string(change.pf) + ": " +
         (same_count ? std::to_string(change.now) + " with other settings"
                     : "from " + std::to_string(change.now) + " to " +
                           std::to_string(change.wanted.count));
}

std::string not_changed(const VfChange& change, const std::string& why) {
  return to_string(change) + ": not changed: " + why;
}

std::vector<PhysicalFunction> physical_functions(const Root& root, const std::vector<Gpu>& gpus) {
  std::vector<PhysicalFunction> found;
  for (const Gpu& gpu : gpus) {
    if (gpu.most_vfs == 0) continue;
    RecordedVfs recorded = recorded_vfs(root, *gpu.parent.address, gpu.vfs.size());
    found.push_back({gpu.parent, gpu.most_vfs, static_cast<unsigned>(gpu.vfs.size()),
                     std::move(recorded.settings), recorded.writer, is_gpu_class(gpu.pci_class)});
  }
  return found;
}

std::vector<VfChange> plan_vfs(const Config& config, const std::vector<PhysicalFunction>& pfs,
                               std::vector<std::string>& errors) {
  std::vector<VfChange> changes;
  for (const PhysicalFunction& pf : pfs) {
    const GpuSettings settings = settings_of(config, pf.identity);
    if (!settings.use || !traits_of(*settings.use).is_vf) continue;
    // A network card or an NVMe disk has VFs, too, and others use those: [gpu *] is not about them.
    if (!pf.is_gpu && !settings.is_named) continue;
    const VfSettings wanted = wanted_vfs(settings, *settings.use, pf.most);
    const bool is_otherwise = pf.now > 0 && settings_differ(pf.recorded, wanted);
    // Without "vfs" they are made when a domain needs one, and from then on are ours.
    if (!settings.vfs && !(is_otherwise && pf.recorded)) continue;
    if (wanted.count > pf.most)
      errors.push_back(pf.identity.name + ": vfs = " + std::to_string(wanted.count) +
                       " exceeds sriov_totalvfs (" + std::to_string(pf.most) + ")");
    else if (pf.writer)
      errors.push_back("VFs of " + pf.identity.name + ": " + to_string(still_changing(pf.writer)));
    else if (wanted.count != pf.now || is_otherwise)
      changes.push_back({*pf.identity.address, pf.now, wanted});
  }
  return changes;
}

std::string change_vfs(const Root& root, const VfChange& change,
                       std::chrono::milliseconds lock_deadline,
                       std::chrono::milliseconds write_deadline) {
  const auto lock = lock_vfs(root, change.pf, lock_deadline);
  if (!lock) return "timed out waiting for another change of these VFs";
  // One that is blocked has no lock any more; a second would be blocked beside it.
  if (const Process writer = vf_writer(root, change.pf)) return to_string(still_changing(writer));
  // Once more, as the lock keeps domains out that are being started.
  if (std::string user = use_of_vfs(root, change.pf); !user.empty()) return user;
  return enable_vfs(root, change.pf, change.wanted, write_deadline).failure;
}

}  // namespace gpuward
