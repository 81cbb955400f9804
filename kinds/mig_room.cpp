// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/mig_room.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/joined.hpp"
#include "config/gpu_settings.hpp"
#include "kinds/type_limit.hpp"
#include "pci/card_facts.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

std::string_view profile_word(std::string_view name) {
  return name.starts_with("MIG ") ? name.substr(4) : name;
}

static std::vector<MigPart> parts_on(const MigView& view) {
  std::vector<MigPart> parts;
  for (const Claim& claim : view.claims)
    for (const ClaimedDevice& device : claim.devices)
      if (device.parent == to_string(view.address))
        if (auto part = parse_part(device.part)) parts.push_back(*part);
  return parts;
}

static void require_mig(const PciAddress& address, const MigCard& card) {
  using Mode = MigCard::Mode;
  const std::string title = "GPU " + to_string(address);
  const std::string command = "nvidia-smi -i " + to_string(address);
  if (card.mode == Mode::unsupported)
    throw Error(title, "does not support MIG", "set another use in its [gpu] section");
  if (card.mode == Mode::off) throw Error(title, "MIG mode is off", "run: " + command + " -mig 1");
  if (card.mode == Mode::pending)
    throw Error(title, "MIG mode is set and takes effect when the GPU is reset",
                "stop what uses the GPU, then run: " + command + " --gpu-reset");
}

MigView view_card(const Root& root, const Config& config, const PciAddress& address, MigCard card,
                  std::vector<Claim> claims) {
  MigView view{root, config, address, std::move(card), std::move(claims)};
  require_mig(address, view.card);
  for (const MigPart& part : parts_on(view)) {
    const GpuInstanceRef& claimed = part.gpu_instance;
    const bool is_listed = std::any_of(
        view.card.instances.begin(), view.card.instances.end(),
        [&](const GpuInstanceOfCard& instance) { return instance.place == claimed.place; });
    if (!is_listed)
      view.card.instances.push_back({claimed.id.value_or(~0U), claimed.profile_id, claimed.place});
  }
  return view;
}

std::string mig_problem(const Root& root, const Config& config, const PciAddress& card,
                        AskedCards& asked) {
  try {
    view_card(root, config, card, asked.read(root, card), {});
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

Reason reason_not_mig(const Root& root, const PciAddress& vf, const PciAddress& card) {
  if (!exists(pci_path(root, vf) + "/mdev_supported_types")) return {};
  return {{},
          "use = mig is not supported where the driver offers vGPUs as mdevs",
          "set use = mdev and create GPU instances with: nvidia-smi mig -i " + to_string(card) +
              " -cgi PROFILE -C"};
}

/// Whether a section gives a device such a use: then its VFs, of which a host may have a thousand,
/// are worth reading.
static bool uses_programs(const Config& config) {
  return std::any_of(config.gpus.begin(), config.gpus.end(), [](const GpuSection& section) {
    return section.use && traits_of(*section.use).needs_program;
  });
}

Reason reason_not_mig(const Root& root, const Config& config, const Gpu& gpu) {
  if (!uses_programs(config)) return {};
  KnownCards cards;
  for (const std::string& name : gpu.mdev_parents) {
    const auto vf = find_parent(root, config, name, cards);
    if (!vf || !vf->address || !vf->physical_function) continue;
    const auto use = settings_of(config, *vf).use;
    if (!use || !traits_of(*use).needs_program) continue;
    Reason reason = reason_not_mig(root, *vf->address, *vf->physical_function);
    reason.object = "GPU " + gpu.parent.name;
    return reason;
  }
  return {};
}

/// Whether gpuward created it is not known: where it may use others, it stays.
static bool recover_part(const Root& root, const Config& config, const MigCard& card,
                         ClaimedDevice& device) {
  const auto id = gpu_instance_of_vgpu(root, device.address);
  for (const GpuInstanceOfCard& instance : card.instances)
    for (const GpuInstanceProfile& profile : card.profiles) {
      if (instance.id != id || instance.profile_id != profile.id) continue;
      const Parent vf = read_identity(root, config, device.address);
      device.type = profile.name;
      device.memory_mib = profile.memory_mib;
      device.part = format_part({{profile.id, instance.place, id}, settings_of(config, vf).adopt});
      return true;
    }
  return false;
}

std::string recover_mig(const Root& root, const Config& config, ClaimedDevice& device,
                        AskedCards& asked) {
  device.use = Use::mig;
  if (device.type != "-") device.vgpu = std::exchange(device.type, "-");
  std::string why = "the driver does not report which one";
  try {
    const MigCard card = asked.read(root, *parse_pci_address(device.parent));
    if (recover_part(root, config, card, device)) return {};
  } catch (const Error& error) {
    why = without_remedy(error.reason);
  }
  const std::string command = "nvidia-smi mig -i " + device.parent;
  return "GPU instance of " + to_string(device.address) +
         " remains when the domain stops, as it is not known: " + why + "; then run: " + command +
         " -lgi, " + command + " -dci -gi ID, " + command + " -dgi -gi ID";
}

static bool is_claimed_with_part(const MigView& view, const PciAddress& vf) {
  return std::any_of(view.claims.begin(), view.claims.end(), [&](const Claim& claim) {
    return std::any_of(claim.devices.begin(), claim.devices.end(),
                       [&](const ClaimedDevice& device) {
                         return is_pci(device.use) && device.address == vf && !device.part.empty();
                       });
  });
}

/// Ids of the GPU instances that unclaimed vGPUs on the card's VFs are in; nothing where it is not
/// known of one of them.
static std::optional<std::vector<unsigned>> used_by_vgpus(const MigView& view) {
  std::vector<unsigned> ids;
  for (const PciAddress& vf : virtual_functions(view.root, view.address)) {
    if (current_vgpu(view.root, vf) == 0u || is_claimed_with_part(view, vf)) continue;
    const auto id = gpu_instance_of_vgpu(view.root, vf);
    if (!id) return {};
    ids.push_back(*id);
  }
  return ids;
}

/// A GPU instance that no claim names and nothing can be in: it has no compute instance.
static std::optional<MigPart> find_empty(const MigView& view, const GpuInstanceProfile& profile) {
  const auto used = used_by_vgpus(view);
  if (!used) return {};
  const auto parts = parts_on(view);
  for (const GpuInstanceOfCard& instance : view.card.instances) {
    const auto is_claimed = std::any_of(parts.begin(), parts.end(), [&](const MigPart& part) {
      return part.gpu_instance.place == instance.place;
    });
    const bool is_used = std::find(used->begin(), used->end(), instance.id) != used->end();
    if (instance.profile_id == profile.id && instance.compute_instances == 0 && !is_claimed &&
        !is_used)
      return MigPart{{profile.id, instance.place, instance.id}, true};
  }
  return {};
}

static std::optional<MigPart> find_part(const MigView& view, const GpuInstanceProfile& profile,
                                        bool may_adopt) {
  if (may_adopt)
    if (auto part = find_empty(view, profile)) return part;
  const auto place = choose_place(view.card, profile);
  return place ? std::optional(MigPart{{profile.id, *place, {}}}) : std::nullopt;
}

MigChoice choose_mig(const MigView& view, const Profile& profile, const Parent& part) {
  const GpuSettings settings = settings_of(view.config, part);
  const std::string card = to_string(view.address);
  MigChoice choice;
  // What another domain can make room for is what the administrator hears of.
  const auto refuse = [&choice](std::string problem, bool may_come) {
    if (choice.may_come && !may_come) return;
    choice.problem = std::move(problem);
    choice.may_come = may_come;
  };
  for (const std::string& name : profile.types) {
    const std::string word(profile_word(name));
    const GpuInstanceProfile* const found = find_gpu_instance_profile(view.card, word);
    if (!found) continue;
    if (const auto limit =
            reached_limit(view.root, settings.max, card, {Use::mig, word, name}, view.claims)) {
      refuse(limit->text, !limit->is_permanent);
    } else if (auto room = find_part(view, *found, settings.adopt)) {
      choice.fit = MigFit{word, found->memory_mib, *room};
      return choice;
    } else {
      refuse("GPU " + card + " has no room for a GPU instance " + word, true);
    }
  }
  if (choice.problem.empty())
    choice.problem = "GPU " + card + " has no GPU instance profile of " + title_of(profile) +
                     " (it has: " + joined(view.card.profiles, ", ", &GpuInstanceProfile::name) +
                     ")";
  return choice;
}

}  // namespace gpuward
