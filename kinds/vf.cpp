// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/vf.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/rows.hpp"
#include "pci/card_facts.hpp"
#include "pci/identity.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/vf_part.hpp"
#include "pci/virtual_functions.hpp"
#include "state/claim_store.hpp"
#include "state/vf_settings.hpp"

namespace gpuward {

std::vector<std::string> names_of_vfs(const Gpu& gpu) {
  std::vector<std::string> names;
  names.reserve(gpu.vfs.size());
  for (const PciAddress& vf : gpu.vfs) names.push_back(to_string(vf));
  return names;
}

// ---- the pool

/// Of a VF that is not enabled: its device ID is not known.
static GpuId identity_to_come(const Parent& card, const PciAddress& vf) {
  return {to_string(vf), vf, 0, 0, card.address, card.vendor, card.device, card.card};
}

static std::string reason_not_vf(const PoolQuery& /*query*/, const GpuSettings& settings,
                                 const PciDevice& device) {
  if (!is_gpu_class(device.pci_class) && !(settings.is_named && settings.use))
    return "neither display nor accelerator class; to assign it set use = vf in [gpu " +
           to_string(*device.physical_function) + "]";
  return {};
}

std::optional<FoundVf> find_vf(const PoolQuery& query, const PciDevice& device,
                               ReasonNotOfKind reason, std::string& why) {
  const auto& pf = device.physical_function;
  if (!pf) {
    why = "not a virtual function (VF)";
    return {};
  }
  auto settings = allowed_settings(query, device, reason, why);
  if (!settings) return {};
  PoolDevice found{device.address, pf, numa_node_of(query.root, *pf), {device.address}};
  found.has_vgpu = current_vgpu(query.root, device.address).value_or(0) != 0;
  found.adopt = settings->adopt;
  return FoundVf{std::move(found), std::move(*settings)};
}

std::vector<PoolDevice> vfs_to_enable(const PoolQuery& query, const PciAddress& pf) {
  const auto& [root, config, profile, cards, claims] = query;
  std::vector<PoolDevice> coming;
  const unsigned most = total_vfs(root, pf);
  if (most == 0 || !virtual_functions(root, pf).empty()) return coming;
  const auto device = find_pci_device(root, pf);
  if (!device) return coming;
  const Parent card = read_identity(root, config, pf, cards);
  const GpuSettings settings = settings_of(config, card);
  if (!is_gpu_class(device->pci_class) && !settings.is_named) return coming;
  if (settings.use != profile.use || !check_identity(root, config, card)) return coming;
  const unsigned count = std::min(settings.vfs.value_or(most), most);
  for (unsigned index = 0; index < count; ++index) {
    const auto address = virtual_function_address(root, pf, index);
    if (!address) continue;
    const GpuId vf = identity_to_come(card, *address);
    if (serves(config, profile, vf) && settings_of(config, vf).unclear.problem.empty())
      coming.push_back({*address, pf, device->numa_node, {*address}, false});
  }
  return coming;
}

// ---- its life

/// Two domains that change the VFs of one PF wait for each other: what can be made on one depends
/// on what the others are.
static Lock lock_physical_function(const Root& root, const ClaimedDevice& device,
                                   const Deadlines& deadlines, const char* remedy) {
  auto lock = lock_vfs(root, *parse_pci_address(device.parent), deadlines.lock_wait());
  if (!lock)
    throw Error(device_title(device),
                "timed out waiting for another change of the VFs of " + device.parent, remedy);
  return std::move(*lock);
}

/// One process that is blocked in the PF's driver is enough: a second would block next to it.
void require_no_blocked_writer(const Root& root, const ClaimedDevice& device) {
  const ClaimedDevices claimed = claimed_devices(root);
  require_readable(claimed.unreadable);
  for (const Claim& claim : claimed.claims)
    for (const ClaimedDevice& other : claim.devices)
      if (is_pci(other.use) && other.parent == device.parent && is_running(root, other.writer))
        throw Error(device_title(device),
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
  throw Error(device_title(device), "VFs of " + device.parent + ": " + reason.problem,
              reason.remedy);
}

/// Of a PF that has none. The caller holds the PF's lock, and the claim is written:
/// gpuward-provision either has changed the VFs before, or sees the claim and leaves them.
static KernelChange enable_vfs_of(const Root& root, const PciAddress& pf, const VfSettings& wanted,
                                  const Claim& owner, ClaimedDevice& device,
                                  const Deadlines& deadlines) {
  require_no_blocked_writer(root, device);
  KernelChange change = enable_vfs(root, pf, wanted, named_writing(root, owner, device, deadlines));
  if (!change.blocked) device.writer = {};
  return change;
}

/// Throws Error where it is not known which sections speak of the card.
static GpuSettings settings_of_pf(const Root& root, const Config& config, const PciAddress& pf) {
  GpuSettings settings = settings_of(config, read_identity(root, config, pf));
  if (!settings.unclear.problem.empty()) throw Error(std::move(settings.unclear));
  return settings;
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
static void enable_missing_vf(const DeviceSetup& setup, ClaimedDevice& device) {
  const auto& [root, config, profile, owner, deadlines] = setup;
  const PciAddress pf = *parse_pci_address(device.parent);
  wait_for_earlier_change(root, pf, device, deadlines);
  if (exists(pci_path(root, device.address))) return;
  const std::string what = "VF " + to_string(device.address) + " does not exist";
  if (virtual_functions(root, pf).empty()) {
    if (const Reason use = use_of_card(root, pf); !use.problem.empty())
      throw Error(device_title(device), what + ": " + use.problem, use.remedy);
    const VfSettings wanted =
        wanted_vfs(settings_of_pf(root, config, pf), device.use, total_vfs(root, pf));
    require_changed(device, what, enable_vfs_of(root, pf, wanted, owner, device, deadlines));
  }
  const auto made = virtual_functions(root, pf);
  if (std::find(made.begin(), made.end(), device.address) == made.end())
    throw Error(device_title(device),
                what + ": the VFs of " + device.parent + " have new addresses",
                "run: gpuward reassign");
}

Lock ensure_vf(const DeviceSetup& setup, ClaimedDevice& device) {
  Lock lock = lock_physical_function(setup.root, device, setup.deadlines, "start the domain again");
  enable_missing_vf(setup, device);
  return lock;
}

static void set_up(const DeviceSetup& setup, ClaimedDevice& device) {
  const Lock lock = ensure_vf(setup, device);
}

// ---- a VF in quarantine that does not exist

bool lacks_vf(const Root& root, const ClaimedDevice& device) {
  if (!traits_of(device.use).is_vf || device.scrub.empty() || device.scrub == unknown_scrub)
    return false;
  const auto pf = parse_pci_address(device.parent);
  return pf && *pf != device.address && exists(pci_path(root, *pf)) &&
         !exists(pci_path(root, device.address));
}

/// What the configuration wants of the card, which may be something else since the VF was used.
static VfSettings require_wanted_vfs(const Root& root, const Config& config, const PciAddress& pf,
                                     Use use) {
  const GpuSettings settings = settings_of_pf(root, config, pf);
  const std::string section = "the [gpu] section of the card";
  if (settings.use && *settings.use != use)
    throw Error({}, section + " has use = " + std::string(use_word(*settings.use)));
  const VfSettings wanted = wanted_vfs(settings, use, total_vfs(root, pf));
  if (wanted.count == 0) throw Error({}, section + " has vfs = 0");
  return wanted;
}

/// Of what keeps the VFs from being enabled, with what ends that where it is known.
static Reason not_restored(const ClaimedDevice& device, const Reason& why) {
  const std::string object = device_title(device);
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
  const VfSettings wanted = require_wanted_vfs(root, config, pf, device.use);
  const KernelChange change = enable_vfs_of(root, pf, wanted, owner, device, deadlines);
  if (!change.failure.empty()) throw Error({}, change.failure);
  if (!exists(pci_path(root, device.address)))
    throw Error({}, "the VFs that were enabled do not include it");
  return {};
} catch (const Error& error) {
  return not_restored(device, error.reason);
}

// ---- its row

/// Why the VF is not as large as the profile requests; "" when it is.
static std::string refused_part(const PoolQuery& query, const PciAddress& pf,
                                const PciAddress& vf) {
  const auto memory = vf_memory(query.root, pf, vf);
  if (!memory) return "memory of the VF is unknown";
  if (*memory < *query.profile.memory_mib) return "VF has " + std::to_string(*memory) + " MiB";
  if (!query.profile.compute_percent) return {};
  const VfTurns turns = turns_of(vf_profiles(query.root, pf));
  const auto share = vf_share(turns, vf);
  if (share >= query.profile.compute_percent) return {};
  return "VF is guaranteed " + (share ? std::to_string(*share) + " %" : "no share") +
         " of the compute units";
}

/// With a request by memory also of what size it is, and whether its card takes one more fraction.
static std::optional<PoolDevice> find(const PoolQuery& query, const PciDevice& device,
                                      std::string& why) {
  auto found = find_vf(query, device, reason_not_vf, why);
  if (!found) return {};
  if (!query.profile.memory_mib) return std::move(found->device);
  why = refused_part(query, *found->device.physical_function, device.address);
  if (!why.empty()) return {};
  found->device.is_full =
      fraction_limit(query.root, query.config, query.profile,
                     read_identity(query.root, query.config, device.address, query.cards),
                     claims_of(query))
          .has_value();
  return std::move(found->device);
}

/// What a VF that is not enabled will have is not known.
static std::vector<PoolDevice> to_be_enabled(const PoolQuery& query, const PciAddress& pf) {
  return query.profile.memory_mib ? std::vector<PoolDevice>() : vfs_to_enable(query, pf);
}

static std::optional<unsigned> memory(const Root& root, const ClaimedDevice& device,
                                      const std::string& /*type*/) {
  const auto pf = parse_pci_address(device.parent);
  return pf ? vf_memory(root, *pf, device.address) : std::nullopt;
}

/// The VFs of a driver that makes mdevs or vGPUs of them are of no use without it.
static bool is_offered(const Gpu& gpu) {
  return (gpu.most_vfs > 0 && !gpu.serves_mdevs() && !gpu.offers_vgpus) || gpu.is_vf;
}

static bool is_plain_vf(const Root& root, const PciDevice& device) {
  return device.physical_function && !offers_vgpus(root, device.address);
}

constexpr Kind vf_kind{.use = Use::vf,
                       .is_offered = is_offered,
                       .parts = names_of_vfs,
                       .memory = memory,
                       .is_of_kind = is_plain_vf,
                       .find = find,
                       .to_be_enabled = to_be_enabled,
                       .set_up = set_up};

}  // namespace gpuward
