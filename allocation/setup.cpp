// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/setup.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <tuple>

#include "base/joined.hpp"
#include "base/quote.hpp"
#include "config/gpu_selector.hpp"
#include "config/names.hpp"
#include "config/request_words.hpp"
#include "kinds/kind.hpp"

namespace gpuward {

static constexpr uint16_t nvidia = 0x10de;

// ---- types

/// What the series of a vGPU is for, as the letters at the end of its name say (NVIDIA's Virtual
/// GPU Software User Guide): Q has graphics and compute, C compute, A and B are for applications
/// and desktops; "CME" is a C with media engines.
static unsigned rank_of_series(const std::string& name) {
  const size_t digit = name.find_last_of("0123456789");
  const std::string series = digit == std::string::npos ? "" : name.substr(digit + 1);
  if (series == "Q") return 0;
  if (series == "C") return 1;
  return series.size() == 1 ? 2 : 3;
}

/// What the configuration writes for it; "" of one that it cannot name.
static std::string word_of(const GpuType& type) {
  if (traits_of(type.use).has_named_types && is_type_name(type.name)) return type.name;
  return is_name(type.id) ? type.id : "";
}

/// Whether a domain can be assigned one, now or when nothing else is on the card.
static bool is_servable(const SetupGpu& gpu, const GpuType& type) {
  // vfio-ap and vfio-ccw are devices of s390, no GPUs.
  if (!type.device_api.empty() && type.device_api != "vfio-pci") return false;
  if (word_of(type).empty()) return false;
  if (room_for(gpu.room, type.id) > 0) return true;
  return !gpu.room.present.empty() && !type.of_mig && type.most.value_or(0) > 0;
}

/// How many the empty card has; nothing where what is on it keeps that from being seen.
static std::optional<unsigned> most_of(const SetupGpu& gpu, const GpuType& type) {
  if (type.most || !gpu.room.present.empty()) return type.most;
  return room_for(gpu.room, type.id);
}

/// Those that profiles are made of, the smallest first. Of vGPUs one series, as types of a card
/// share it anyhow.
static std::vector<const GpuType*> useful_types(const SetupGpu& gpu) {
  std::vector<const GpuType*> types;
  for (const GpuType& type : gpu.types)
    if (is_servable(gpu, type)) types.push_back(&type);
  const auto has_size = [](const GpuType* type) { return type->memory_mib.has_value(); };
  if (std::any_of(types.begin(), types.end(), has_size))
    std::erase_if(types, [&](const GpuType* type) { return !has_size(type); });
  const auto size_of = [&](const GpuType* type) {
    return std::tuple(type->memory_mib.value_or(0),
                      -static_cast<int64_t>(most_of(gpu, *type).value_or(0)), type->id);
  };
  std::sort(types.begin(), types.end(),
            [&](const GpuType* a, const GpuType* b) { return size_of(a) < size_of(b); });
  unsigned best = 3;
  for (const GpuType* type : types) best = std::min(best, rank_of_series(type->name));
  std::erase_if(types, [&](const GpuType* type) { return rank_of_series(type->name) != best; });
  return types;
}

/// Memory of the card; at least that of its largest type where the driver does not report it.
static std::optional<unsigned> card_memory(const SetupGpu& gpu) {
  if (gpu.memory.total_mib) return gpu.memory.total_mib;
  std::optional<unsigned> most;
  for (const GpuType& type : gpu.types)
    if (type.memory_mib) most = std::max(most.value_or(0), *type.memory_mib);
  return most;
}

/// The largest of which two fit; null where sizes are not known.
static const GpuType* half_of(const SetupGpu& gpu, const std::vector<const GpuType*>& types) {
  const GpuType* half = nullptr;
  const auto card = card_memory(gpu);
  for (const GpuType* type : types)
    if (card && type->memory_mib && *type->memory_mib <= *card / 2) half = type;
  return half;
}

/// Smallest, half, largest; each once.
static std::vector<const GpuType*> cuts_of(const SetupGpu& gpu) {
  const auto types = useful_types(gpu);
  std::vector<const GpuType*> cuts;
  if (types.empty()) return cuts;
  cuts.push_back(types.front());
  const GpuType* const half = half_of(gpu, types);
  if (half && half != types.front() && half != types.back()) cuts.push_back(half);
  if (types.size() > 1) cuts.push_back(types.back());
  return cuts;
}

// ---- command lines

/// QEMU takes an address with or without its domain: 0000:41:00.0, 41:00.0.
static bool has_part(const std::string& text, const SetupGpu& gpu) {
  return std::any_of(gpu.parts.begin(), gpu.parts.end(), [&](const std::string& part) {
    const bool is_address = parse_pci_address(part).has_value();
    return text.find(is_address ? part.substr(part.find(':') + 1) : part) != std::string::npos;
  });
}

void add_command_lines(const std::vector<OnCommandLine>& devices, std::vector<SetupGpu>& gpus) {
  for (const OnCommandLine& device : devices) {
    const bool is_told = std::any_of(
        gpus.begin(), gpus.end(), [&](const SetupGpu& gpu) { return has_part(device.text, gpu); });
    for (SetupGpu& gpu : gpus)
      if (is_told ? has_part(device.text, gpu) : device.is_gpu) gpu.by_hand.insert(device.domain);
  }
}

/// An mdev is created on the card or on a VF of it; a PCI device that comes is a VF.
void add_absent(const std::vector<AbsentDevice>& devices, std::vector<SetupGpu>& gpus) {
  for (const AbsentDevice& device : devices)
    for (SetupGpu& gpu : gpus)
      if (gpu.gpu.most_vfs > 0 || (device.is_mdev && gpu.gpu.serves_mdevs()))
        gpu.absent.insert(device.domains.begin(), device.domains.end());
}

// ---- what a GPU is given as

/// How a GPU is to be assigned, or why it is left alone.
struct Decision {
  std::optional<Use> use{};
  std::string reason{};
  std::optional<unsigned> vfs{};
};

static Decision leave(std::string reason) {
  return {{}, std::move(reason), {}};
}

static std::string names_of(const std::set<std::string>& names) {
  return (names.size() == 1 ? "domain " : "domains ") + joined(names, ", ", in_quotes);
}

/// Which domain has it, or may have it, past gpuward: however it would be assigned, the two would
/// take it from each other.
static std::string reason_by_hand(const SetupHost& host, const SetupGpu& gpu) {
  if (!gpu.by_hand.empty()) return "written by hand in the definition of " + names_of(gpu.by_hand);
  if (host.unknown_domains.problem.empty()) return {};
  return "which domains have it is unknown: " + without_remedy(host.unknown_domains);
}

/// Who else has it: for a card of which the host's driver is to have nothing any more, or less.
static std::string reason_in_use(const SetupGpu& gpu) {
  if (!gpu.domains.empty()) return {};  // its programs are their QEMUs
  if (!gpu.programs.empty()) return "in use by " + to_string(gpu.programs.front());
  return gpu.unknown_programs.empty() ? ""
                                      : "which programs use it is unknown: " + gpu.unknown_programs;
}

static Decision leave_without_group() {
  return leave(
      "no IOMMU group; enable the IOMMU in the firmware and with intel_iommu=on or amd_iommu=on "
      "on the kernel command line");
}

static Decision as_whole(const SetupGpu& gpu) {
  if (!gpu.not_whole.empty()) return leave(gpu.not_whole);
  if (std::string reason = reason_in_use(gpu); !reason.empty()) return leave(std::move(reason));
  if (!gpu.gpu.iommu_group) return leave_without_group();
  return {whole_use, {}, {}};
}

/// Drivers in the kernel that enable VFs through sysfs and give each a part of the card. AMD's GIM
/// has no sriov_configure, and NVIDIA's VFs are of no use without its vGPU driver.
static bool can_enable_vfs(const Gpu& gpu) {
  return gpu.most_vfs > 0 && (gpu.driver == "xe" || gpu.driver == "i915");
}

/// Each VF has less of the card than the one before; the administrator may choose another number.
static Decision as_new_vfs(const SetupGpu& gpu, Use use) {
  constexpr unsigned few = 4;
  if (gpu.shows_console)
    return leave("boot display of the host; to assign VFs of it set use = vf and vfs in [gpu " +
                 gpu.gpu.parent.name + "]");
  if (std::string reason = reason_in_use(gpu); !reason.empty()) return leave(std::move(reason));
  if (!gpu.gpu.iommu_group) return leave_without_group();
  return {use, {}, std::min(few, gpu.gpu.most_vfs)};
}

/// The host keeps its PF. After a restart of the host they do not exist unless `vfs` enables them.
static Decision as_present_vfs(const SetupGpu& gpu, Use use) {
  if (!gpu.gpu.iommu_group) return leave_without_group();
  const auto count = static_cast<unsigned>(gpu.gpu.vfs.size());
  return {use, {}, gpu.sets_vfs ? std::optional(count) : std::nullopt};
}

static std::optional<Use> first_with(const std::vector<Use>& kinds, bool UseTraits::*trait) {
  const auto found = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const Use kind) { return traits_of(kind).*trait; });
  return found == kinds.end() ? std::nullopt : std::optional(*found);
}

static Decision decide(const SetupHost& host, const SetupGpu& gpu) {
  const Gpu& card = gpu.gpu;
  if (!parse_gpu_selector(card.parent.name)) return leave("no section can have such a name");
  if (std::string reason = reason_by_hand(host, gpu); !reason.empty())
    return leave(std::move(reason));
  if (!gpu.attached_whole.empty()) return as_whole(gpu);
  const auto kinds = kinds_of(card);
  if (const auto use = first_with(kinds, &UseTraits::has_types)) {
    if (traits_of(*use).keeps_driver && !host.no_vendor_vfs.empty())
      return leave(host.no_vendor_vfs);
    if (cuts_of(gpu).empty()) return leave("no type of it can be created");
    return {use, {}, {}};
  }
  if (card.is_vf) return leave("VF of a device that is not a GPU");
  const auto vf = first_with(kinds, &UseTraits::is_vf);
  if (vf && !card.vfs.empty() && card.parent.vendor != nvidia) return as_present_vfs(gpu, *vf);
  if (vf && card.vfs.empty() && can_enable_vfs(card)) return as_new_vfs(gpu, *vf);
  return as_whole(gpu);
}

// ---- profiles

static std::string pci_id_of(const Gpu& gpu) {
  char text[16];
  std::snprintf(text, sizeof text, "%04x:%04x", gpu.parent.vendor, gpu.parent.device);
  return text;
}

/// Small letters, digits and dashes: "tesla-m60" of "Tesla M60".
static std::string slug_of(std::string_view text) {
  std::string slug;
  for (const char c : lower_case(text)) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (is_plain)
      slug += c;
    else if (!slug.empty() && slug.back() != '-')
      slug += '-';
  }
  while (slug.ends_with('-')) slug.pop_back();
  return slug;
}

/// "A40" of "NVIDIA A40-12Q"; "" of another name.
static std::string model_of_vgpu(const std::string& name) {
  const size_t dash = name.find('-'), space = name.substr(0, dash).find(' ');
  if (dash == std::string::npos || space == std::string::npos) return {};
  return name.substr(space + 1, dash - space - 1);
}

/// What tells its profiles from those of another model.
static std::string prefix_of(const SetupGpu& gpu, const SetupProfile& profile) {
  std::string model = model_of_vgpu(profile.type_name);
  if (model.empty()) model = gpu.model;
  const std::string slug = slug_of(model.empty() ? gpu.gpu.parent.name : model);
  return slug.empty() ? "gpu" : slug;
}

/// Smallest, middle and largest of so many.
static const char* size_word(size_t at, size_t count) {
  if (count == 1) return "vgpu";
  if (at == 0) return "small";
  return at + 1 == count ? "large" : "medium";
}

static std::vector<SetupProfile> profiles_of(const SetupSection& section) {
  const SetupGpu& gpu = *section.gpu;
  std::vector<SetupProfile> profiles;
  if (!traits_of(section.use).has_types) {
    profiles.push_back({.name = traits_of(section.use).is_whole_card ? "card" : "vf",
                        .use = section.use,
                        .device = pci_id_of(gpu.gpu),
                        .card_mib = gpu.memory.total_mib});
    return profiles;
  }
  const auto cuts = cuts_of(gpu);
  profiles.reserve(cuts.size());
  for (size_t at = 0; at < cuts.size(); ++at)
    profiles.push_back({.name = size_word(at, cuts.size()),
                        .use = section.use,
                        .type = word_of(*cuts[at]),
                        .type_name = cuts[at]->name,
                        .memory_mib = cuts[at]->memory_mib,
                        .card_mib = gpu.memory.total_mib,
                        .most = most_of(gpu, *cuts[at])});
  return profiles;
}

/// Whether both are one profile, which several cards serve.
static bool is_same_profile(const SetupProfile& one, const SetupProfile& other) {
  return std::tie(one.name, one.use, one.type, one.device) ==
         std::tie(other.name, other.use, other.type, other.device);
}

struct NamedProfile {
  SetupProfile profile;
  std::string prefix;
};

static void add_profile(std::vector<NamedProfile>& all, const SetupGpu& gpu,
                        SetupProfile&& profile) {
  const std::string prefix = prefix_of(gpu, profile);
  auto found = std::find_if(all.begin(), all.end(), [&](const NamedProfile& other) {
    return is_same_profile(other.profile, profile);
  });
  if (found == all.end()) found = all.insert(all.end(), {std::move(profile), prefix});
  found->profile.gpus.push_back(gpu.gpu.parent.name);
}

/// All words that mean something else in a request on this host, in lower case.
static std::set<std::string> other_requests(const SetupHost& host) {
  std::set<std::string> words{"memory", "total"};  // keys of [quota]
  for (const std::string& model : host.models) words.insert(lower_case(model));
  for (const SetupGpu& gpu : host.gpus)
    for (const GpuType& type : gpu.types)
      for (const std::string& word : {type.id, type.name}) words.insert(lower_case(word));
  return words;
}

/// The name, with a number behind it where that means something else. Adds it to `taken`.
static std::string unused_name(const std::string& name, std::set<std::string>& taken) {
  std::string unused = name;
  for (unsigned number = 2; taken.contains(unused) || !reserved_request(unused).empty(); ++number)
    unused = name + "-" + std::to_string(number);
  taken.insert(unused);
  return unused;
}

static std::vector<SetupProfile> with_unique_names(std::vector<NamedProfile> named,
                                                   std::set<std::string> taken) {
  std::map<std::string, unsigned> count;
  for (const auto& each : named) ++count[each.profile.name];
  std::vector<SetupProfile> profiles;
  profiles.reserve(named.size());
  for (NamedProfile& each : named) {
    SetupProfile& profile = each.profile;
    const std::string name =
        count[profile.name] > 1 ? each.prefix + "-" + profile.name : profile.name;
    profile.name = unused_name(name, taken);
    profiles.push_back(std::move(profile));
  }
  return profiles;
}

/// Whether it could serve the profiles that name no GPU: use = off does not keep it from them.
static bool is_open_to_types(const LeftAlone& left) {
  return !left.is_off && !left.gpu->types.empty();
}

/// A vendor:device would let in cards that are left alone, and those that are added later, which
/// nothing has checked. A type lets in all that offer it.
static void name_gpus(Setup& setup) {
  const bool is_any_open =
      std::any_of(setup.left_alone.begin(), setup.left_alone.end(), is_open_to_types);
  for (SetupProfile& profile : setup.profiles)
    profile.names_gpus = is_any_open || !traits_of(profile.use).has_types;
}

/// The hook refuses a hostdev of a GPU with use = off.
static bool can_be_off(const SetupHost& host, const SetupGpu& gpu) {
  return host.unknown_domains.problem.empty() && gpu.by_hand.empty() && gpu.attached.empty() &&
         gpu.attached_whole.empty() && gpu.absent.empty() && gpu.domains.empty() &&
         parse_gpu_selector(gpu.gpu.parent.name);
}

Setup propose_setup(const SetupHost& host) {
  Setup setup;
  std::vector<NamedProfile> profiles;
  for (const SetupGpu& gpu : host.gpus) {
    Decision decision = decide(host, gpu);
    if (!decision.use) {
      setup.left_alone.push_back({&gpu, std::move(decision.reason), can_be_off(host, gpu)});
      continue;
    }
    setup.sections.push_back({&gpu, *decision.use, decision.vfs});
    for (SetupProfile& profile : profiles_of(setup.sections.back()))
      add_profile(profiles, gpu, std::move(profile));
  }
  setup.profiles = with_unique_names(std::move(profiles), other_requests(host));
  name_gpus(setup);
  return setup;
}

}  // namespace gpuward
