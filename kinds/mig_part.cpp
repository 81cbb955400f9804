// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/mig_part.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace gpuward {

// ---- the GPU instance in the claim

std::string format_part(const MigPart& part) {
  const auto& [profile_id, place, id] = part.gpu_instance;
  return std::to_string(profile_id) + ':' + std::to_string(place.start) + '+' +
         std::to_string(place.size) + ':' + (id ? std::to_string(*id) : "-") +
         (part.is_adopted ? ":adopted" : "");
}

std::optional<MigPart> parse_part(std::string_view text) {
  const auto words = split(text, ':');
  if (words.size() < 3 || words.size() > 4) return {};
  const auto slices = split(words[1], '+');
  if (slices.size() != 2) return {};
  const auto profile = to_number<unsigned>(words[0]), start = to_number<unsigned>(slices[0]),
             size = to_number<unsigned>(slices[1]), id = to_number<unsigned>(words[2]);
  if (!profile || !start || !size || (!id && words[2] != "-")) return {};
  if (words.size() == 4 && (words[3] != "adopted" || !id)) return {};
  return MigPart{{*profile, {*start, *size}, id}, words.size() == 4};
}

std::string gpu_instance_text(const MigPart& part) {
  const auto& id = part.gpu_instance.id;
  return "GPU instance " +
         (id ? std::to_string(*id)
             : "at memory slice " + std::to_string(part.gpu_instance.place.start));
}

// ---- compared with the card

static std::string place_text(const MemorySlices& place) {
  return std::to_string(place.start) + '+' + std::to_string(place.size);
}

static const GpuInstanceOfCard* find_instance(const MigCard& card, const GpuInstanceRef& claimed) {
  for (const GpuInstanceOfCard& instance : card.instances)
    if (claimed.id ? instance.id == claimed.id : instance.place == claimed.place) return &instance;
  return nullptr;
}

static const GpuInstanceProfile* find_profile(const MigCard& card, unsigned id) {
  for (const GpuInstanceProfile& profile : card.profiles)
    if (profile.id == id) return &profile;
  return nullptr;
}

DeviceFacts part_facts(const ClaimedDevice& device, const std::optional<MigCard>& card,
                       const std::string& unknown) {
  using State = DeviceFact::State;
  const auto part = parse_part(device.part);
  if (!part) return {{State::unknown, "GPU instance", {}, {}, "the claim does not say which"}};
  const GpuInstanceRef& claimed = part->gpu_instance;
  const std::string expected = gpu_instance_text(*part) + " of " + device.parent;
  if (!card) return {{State::unknown, "GPU instance", expected, {}, unknown}};
  const GpuInstanceOfCard* const found = find_instance(*card, claimed);
  if (!found) return {{State::differs, "GPU instance", expected, "none", {}}};
  const GpuInstanceProfile* const profile = find_profile(*card, found->profile_id);
  DeviceFacts facts;
  const auto add = [&](const char* what, const std::string& wanted, const std::string& is) {
    const State state = is.empty() ? State::unknown : is == wanted ? State::ok : State::differs;
    facts.push_back({state, what, wanted, is, is.empty() ? "not listed by the driver" : ""});
  };
  add("GPU instance profile", device.type, profile ? profile->name : "");
  add("GPU instance placement", place_text(claimed.place), place_text(found->place));
  if (device.memory_mib)
    add("GPU instance memory", std::to_string(*device.memory_mib) + " MiB",
        profile ? std::to_string(profile->memory_mib) + " MiB" : "");
  return facts;
}

// ---- the vGPU that belongs to a profile

namespace {

/// "1g.10gb+me" or the end of "NVIDIA H100-1-10CME".
struct MigSize {
  unsigned slices = 0, gigabytes = 0;
  char series = 0;           ///< of a vGPU
  std::string_view extra{};  ///< of a vGPU "ME", of a profile "+me"
};

}  // namespace

/// Takes the number in front off `text`.
static std::optional<unsigned> take_number(std::string_view& text) {
  const auto end = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = to_number<unsigned>(text.substr(0, end));
  text.remove_prefix(end);
  return number;
}

static bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

static std::optional<MigSize> parse_profile_name(std::string_view name) {
  const auto slices = take_number(name);
  if (!slices || !take_word(name, "g.")) return {};
  const auto gigabytes = take_number(name);
  if (!gigabytes || !take_word(name, "gb")) return {};
  return MigSize{*slices, *gigabytes, 0, name};
}

static std::optional<MigSize> parse_vgpu_name(std::string_view name) {
  const auto last = name.rfind('-');
  if (last == name.npos || last == 0) return {};
  const auto before = name.rfind('-', last - 1);
  if (before == name.npos) return {};
  const auto slices = to_number<unsigned>(name.substr(before + 1, last - before - 1));
  std::string_view rest = name.substr(last + 1);
  const auto gigabytes = take_number(rest);
  if (!slices || !gigabytes || rest.empty()) return {};
  return MigSize{*slices, *gigabytes, rest.front(), rest.substr(1)};
}

/// Nothing for one that this gpuward does not know.
static std::optional<std::string_view> vgpu_word_of(std::string_view extra) {
  static constexpr std::pair<std::string_view, std::string_view> words[] = {
      {"", ""}, {"+me", "ME"}, {"-me", "NOME"}, {"+me.all", "MEALL"}, {"+gfx", "GFX"}};
  for (const auto& [of_profile, of_vgpu] : words)
    if (of_profile == extra) return of_vgpu;
  return {};
}

static const VgpuType* find_vgpu(const MigSize& size, char series, std::string_view extra,
                                 const std::vector<VgpuType>& types) {
  for (const VgpuType& type : types)
    if (const auto vgpu = parse_vgpu_name(type.name);
        vgpu && vgpu->slices == size.slices && vgpu->gigabytes == size.gigabytes &&
        vgpu->series == series && vgpu->extra == extra)
      return &type;
  return nullptr;
}

const VgpuType* mig_vgpu_type(std::string_view profile, const std::vector<VgpuType>& types) {
  const auto size = parse_profile_name(profile);
  const auto word = size ? vgpu_word_of(size->extra) : std::nullopt;
  if (!word) return nullptr;
  const bool has_graphics = *word == "GFX";
  std::vector<std::string_view> words{*word};
  if (!word->empty() && !has_graphics) words.emplace_back("");
  for (const std::string_view extra : words)
    for (const char series : std::string_view(has_graphics ? "QBAC" : "CQBA"))
      if (const VgpuType* const found = find_vgpu(*size, series, extra, types)) return found;
  return nullptr;
}

}  // namespace gpuward
