// SPDX-License-Identifier: LGPL-2.1-or-later
// NVIDIA's MIG-backed vGPU: a GPU instance of the card (pci/nvml.hpp) that is created for the
// device, and on a VF the vGPU that takes all of it (kinds/vendor_vf.hpp). Its types are the
// profiles of GPU instances.
#include <algorithm>
#include <thread>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/joined.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "inventory/usage.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/mig_part.hpp"
#include "kinds/mig_room.hpp"
#include "kinds/rows.hpp"
#include "kinds/type_limit.hpp"
#include "kinds/types.hpp"
#include "kinds/vendor_vf.hpp"
#include "kinds/vf.hpp"
#include "pci/card_facts.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

using std::chrono::milliseconds;

/// Of the question whether a domain may start: the library may have to wake the card up first.
static constexpr milliseconds question_deadline{10'000};

// ---- types

/// Those of a card in MIG mode; none where nothing could be asked, as its VFs then say what they
/// offer. In MIG mode that is another thing, so of a card that does not answer it is unknown.
static std::vector<GpuType> types(const Root& root, const Gpu& gpu,
                                  const std::vector<std::string>* counted, bool /*of_one_part*/,
                                  std::string& unknown) {
  std::vector<GpuType> found;
  AskedCards alone;
  MigCard card;
  try {
    card = (gpu.asked ? *gpu.asked : alone).read(root, *gpu.parent.address);
  } catch (const NoNvml&) {
    return found;
  } catch (const Error& error) {
    unknown = "MIG mode cannot be determined: " + error.reason.problem;
    return found;
  }
  if (card.mode != MigCard::Mode::on) return found;
  found.reserve(card.profiles.size());
  for (const GpuInstanceProfile& profile : card.profiles) {
    GpuType type = with_size({.id = profile.name,
                              .name = "MIG " + profile.name,
                              .use = Use::mig,
                              .is_counted_by_card = true,
                              .most = profile.most,
                              .device_api = "vfio-pci"});
    type.memory_mib = profile.memory_mib;
    type.takes = {profile.slices, profile.memory_mib};
    if (is_counted(counted, type))
      for (const PciAddress& vf : gpu.vfs)
        if (current_vgpu(root, vf) == 0u) type.on.push_back({to_string(vf), profile.remaining});
    found.push_back(std::move(type));
  }
  return found;
}

static std::string type_name(TypeNames& /*names*/, const GpuInstance& instance) {
  return instance.instance.type.empty() ? "" : "MIG " + instance.instance.type;
}

static std::optional<unsigned> memory(const Root& /*root*/, const ClaimedDevice& device,
                                      const std::string& type) {
  if (device.memory_mib) return device.memory_mib;
  const std::string word(profile_word(type));
  return with_size({.id = word, .name = "MIG " + word, .use = Use::mig}).memory_mib;
}

// ---- the pool

static std::string reason_not_mig(const PoolQuery& query, const GpuSettings& settings,
                                  const PciDevice& device) {
  const Reason reason = reason_not_mig(query.root, device.address, *device.physical_function);
  return reason.problem.empty() ? reason_without_vgpus(query, settings, device) : to_string(reason);
}

static std::optional<PoolDevice> find(const PoolQuery& query, const PciDevice& device,
                                      std::string& why) {
  auto found = find_vf(query, device, reason_not_mig, why);
  return found ? std::optional(std::move(found->device)) : std::nullopt;
}

/// A card that cannot be asked keeps its VFs: the domain's start says why it cannot have one.
static void mark_full(const PoolQuery& query, std::vector<PoolDevice>& pool) {
  std::map<PciAddress, std::optional<MigView>> views;
  const auto& claims = claims_of(query);
  for (PoolDevice& device : pool) {
    if (device.has_vgpu || !device.exists || !device.physical_function) continue;
    const PciAddress& card = *device.physical_function;
    if (!views.contains(card)) try {
        views.emplace(card, view_card(query.root, query.config, card,
                                      query.cards.asked->read(query.root, card), claims));
      } catch (const Error&) {
        views.emplace(card, std::nullopt);
      }
    const auto& view = views.at(card);
    if (!view) continue;
    const Parent part = read_identity(query.root, query.config, device.address, query.cards);
    device.is_full = fraction_limit(query.root, query.config, query.profile, part, claims) ||
                     !choose_mig(*view, query.profile, part).fit;
  }
}

// ---- its life

static MigChoice choose_for(const Root& root, const Config& config, const Profile& profile,
                            const ClaimedDevice& device, milliseconds deadline) {
  const ClaimedDevices claimed = claimed_devices(root);
  require_readable(claimed.unreadable);
  const PciAddress card = *parse_pci_address(device.parent);
  const MigView view = view_card(root, config, card, read_mig_card(root, card, deadline),
                                 without_device(claimed.claims, device));
  return choose_mig(view, profile, read_identity(root, config, device.address));
}

static MigFit require_fit(const Profile& profile, const ClaimedDevice& device, MigChoice choice) {
  const std::string title = device_title(device);
  if (!choice.fit && choice.may_come)
    throw InUse(title, choice.problem,
                "shut a domain on that GPU down, or use another GPU: gpuward reassign");
  if (!choice.fit) throw Error(title, choice.problem, "run: gpuward list types");
  if (profile.memory_mib && choice.fit->memory_mib < *profile.memory_mib)
    throw Error(title,
                "GPU instance " + choice.fit->profile + " has " +
                    std::to_string(choice.fit->memory_mib) + " MiB of memory, requested are " +
                    std::to_string(*profile.memory_mib) + " MiB",
                "run: gpuward reassign");
  return std::move(*choice.fit);
}

static void require_creatable(const Root& root, const Config& config, const Profile& profile,
                              const ClaimedDevice& device) {
  if (!exists(pci_path(root, device.address))) return;
  require_fit(profile, device, choose_for(root, config, profile, device, question_deadline));
}

/// The claim names the place before there is anything at it, and code that ends the claim asks the
/// driver what is there: whether this process or its child is killed in between makes no
/// difference.
static void create_part(const DeviceSetup& setup, const MigFit& fit, ClaimedDevice& device) {
  const auto& [root, config, profile, owner, deadlines] = setup;
  const PciAddress card = *parse_pci_address(device.parent);
  MigPart part = fit.part;
  if (part.is_adopted)
    log::warning(device_title(device) + ": using " + gpu_instance_text(part) + " of " +
                 device.parent + ", which gpuward did not create (adopt = yes)");
  device.part = format_part(part);
  const auto make = part.is_adopted ? fill_gpu_instance : create_gpu_instance;
  const CreatedGpuInstance made =
      make(root, card, part.gpu_instance, named_writing(root, owner, device, deadlines));
  if (made.is_refused) {
    // On disk, too: a process that takes over from us would destroy what another tool has there.
    device.part.clear();
    Claims(root).update(owner, device);
  }
  require_changed(device,
                  part.is_adopted
                      ? "cannot use " + gpu_instance_text(part)
                      : "cannot create GPU instance " + fit.profile + " on " + device.parent,
                  made.change);
  part.gpu_instance.id = made.id;
  device.part = format_part(part);
  Claims(root).update(owner, device);
}

static VgpuType require_vgpu_type(const Root& root, const ClaimedDevice& device) {
  const auto types = creatable_vgpus(root, device.address);
  if (const VgpuType* const type = mig_vgpu_type(device.type, types)) return *type;
  throw Error(device_title(device),
              "no vGPU type for GPU instance " + device.type +
                  " can be created on the VF "
                  "(creatable: " +
                  (types.empty() ? "none" : joined(types, ", ", &VgpuType::name)) + ")",
              "check: systemctl status nvidia-vgpu-mgr");
}

/// A driver that does not say in which it is has put it where there was room.
static void require_in_part(const Root& root, const ClaimedDevice& device) {
  const auto part = parse_part(device.part);
  const auto id = gpu_instance_of_vgpu(root, device.address);
  if (!id || !part || id == part->gpu_instance.id) return;
  throw Error(device_title(device),
              "driver created the vGPU in GPU instance " + std::to_string(*id) + " instead of " +
                  std::to_string(part->gpu_instance.id.value_or(~0U)),
              "run: nvidia-smi mig -lgi, and remove empty GPU instances of that profile");
}

static void set_up(const DeviceSetup& setup, ClaimedDevice& device) {
  const auto& [root, config, profile, owner, deadlines] = setup;
  const Lock lock = ensure_vf(setup, device);
  require_no_blocked_writer(root, device);
  // Not known before of a VF that was enabled just now.
  if (Reason reason = reason_not_mig(root, device.address, *parse_pci_address(device.parent));
      !reason.problem.empty())
    throw Error(about(device_title(device), std::move(reason)));
  remove_adopted_vgpu(setup, device);
  const MigFit fit = require_fit(profile, device,
                                 choose_for(root, config, profile, device, deadlines.write_wait()));
  device.type = fit.profile;
  device.memory_mib = fit.memory_mib;
  create_part(setup, fit, device);
  const VgpuType type = require_vgpu_type(root, device);
  device.vgpu = std::to_string(type.id);
  const auto part = parse_part(device.part);
  create_vgpu(setup, type, device, part ? part->gpu_instance.id : std::nullopt);
  require_in_part(root, device);
}

/// The driver needs a moment after the guest to find that nothing is in it any more.
static DestroyedGpuInstance end_gpu_instance(const Root& root, const PciAddress& card,
                                             const MigPart& part, const WriteOptions& options,
                                             milliseconds patience) {
  constexpr milliseconds pause{200};
  const auto end = std::chrono::steady_clock::now() + patience;
  const auto change = part.is_adopted ? empty_gpu_instance : destroy_gpu_instance;
  for (;;) {
    DestroyedGpuInstance result = change(root, card, part.gpu_instance, options);
    if (!result.is_in_use || std::chrono::steady_clock::now() + pause >= end) return result;
    std::this_thread::sleep_for(pause);
  }
}

/// What is at its place and has its id: one that another tool created stays, without our compute
/// instance.
static std::string remove_part(const Root& root, const Claim& owner, ClaimedDevice& device,
                               const Deadlines& deadlines) {
  const auto part = parse_part(device.part);
  const auto card = parse_pci_address(device.parent);
  if (!part || !card) return "GPU instance of the claim cannot be determined";
  if (!exists(pci_path(root, *card))) {
    // Gone with the card: what a card here has at that place later is another's.
    device.part.clear();
    return {};
  }
  const DestroyedGpuInstance result = end_gpu_instance(
      root, *card, *part, named_writing(root, owner, device, deadlines), deadlines.release_wait());
  if (!result.change.blocked) device.writer = {};
  const std::string what = gpu_instance_text(*part) + " of " + device.parent;
  if (result.is_in_use)
    throw Error({}, what + " is in use",
                "stop what nvidia-smi lists on it, then run: gpuward reconcile");
  if (!result.change.failure.empty())
    return "cannot destroy " + what + ": " + result.change.failure;
  device.part.clear();
  return {};
}

// ---- its row

/// Whether the card is in MIG mode only the program says.
static bool is_offered(const Gpu& gpu) {
  return gpu.asks_programs && gpu.offers_vgpus;
}

/// What is on a VF now is the same as of a vGPU without MIG.
static bool is_of_kind(const Root& /*root*/, const PciDevice& /*device*/) {
  return false;
}

constexpr Kind mig_kind{.use = Use::mig,
                        .is_offered = is_offered,
                        .parts = names_of_vfs,
                        .types = types,
                        .type_name = type_name,
                        .memory = memory,
                        .is_of_kind = is_of_kind,
                        .find = find,
                        .to_be_enabled = vfs_to_enable,
                        .mark_full = mark_full,
                        .require_adoptable = require_vgpu_adoptable,
                        .require_creatable = require_creatable,
                        .set_up = set_up,
                        .tear_down = remove_vgpu,
                        .remove_part = remove_part,
                        .remove_unclaimed = remove_unclaimed_vgpu};

}  // namespace gpuward
