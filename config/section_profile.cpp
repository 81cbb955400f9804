// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/gpu_selector.hpp"
#include "config/names.hpp"
#include "config/quotes.hpp"
#include "config/section.hpp"

namespace gpuward {

constexpr Choice<Placement> placements[] = {{"binpack", Placement::binpack},
                                            {"spread", Placement::spread}};
constexpr Choice<Numa> numas[] = {
    {"require", Numa::require}, {"prefer", Numa::prefer}, {"ignore", Numa::ignore}};
constexpr Choice<bool> on_off[] = {{"on", true}, {"off", false}};

static void set_type(Profile& profile, const Setting& setting) {
  profile.types.clear();
  for (const std::string_view item : items(setting)) {
    if (is_name(item))
      profile.types.emplace_back(item);
    else
      setting.reject(item, name_advice);
  }
}

static void set_gpu(Profile& profile, const Setting& setting) {
  profile.gpus.clear();
  for (const std::string_view item : items(setting)) {
    if (const auto selector = parse_gpu_selector(item))
      profile.gpus.push_back(*selector);
    else
      setting.reject(item, selector_advice(item));
  }
}

static void set_placement(Profile& profile, const Setting& setting) {
  if (const auto placement = choose(setting, placements)) profile.placement = *placement;
}

static void set_numa(Profile& profile, const Setting& setting) {
  if (const auto numa = choose(setting, numas)) profile.numa = *numa;
}

static void set_console(Profile& profile, const Setting& setting) {
  if (const auto console = choose(setting, on_off)) profile.console = *console;
}

static void set_memory(Profile& profile, const Setting& setting) {
  constexpr unsigned step = 128;
  constexpr unsigned mib_per_gib = 1024;
  constexpr unsigned most = 16U << 20;  // 16 TiB, far from where the numbers end
  std::string_view digits = setting.value;
  unsigned unit = 0;
  if (digits.ends_with("MiB")) unit = 1;
  if (digits.ends_with("GiB")) unit = mib_per_gib;
  profile.memory_mib.reset();
  if (unit != 0) digits.remove_suffix(3);
  const auto number = number_within(trim(digits), 1, unit == 0 ? 0 : most / unit);
  if (!number)
    return setting.reject(setting.value, "want a number and MiB or GiB, such as 4096MiB or 4GiB");
  const unsigned mib = *number * unit;
  if (mib % step != 0) {
    const unsigned below = mib - mib % step;
    const std::string near =
        below == 0 ? std::to_string(step) + "MiB"
                   : std::to_string(below) + "MiB or " + std::to_string(below + step) + "MiB";
    return setting.reject(setting.value, "want a multiple of 128MiB, such as " + near);
  }
  profile.memory_mib = mib;
}

static void set_compute(Profile& profile, const Setting& setting) {
  constexpr unsigned step = 5;
  std::string_view digits = setting.value;
  const bool percent = digits.ends_with('%');
  if (percent) digits.remove_suffix(1);
  profile.compute_percent = number_within(trim(digits), step, 100);
  if (percent && profile.compute_percent && *profile.compute_percent % step == 0) return;
  profile.compute_percent.reset();
  setting.reject(setting.value, "want a multiple of 5% from 5% to 100%");
}

constexpr Key<Profile> keys[] = {
    {"type", set_type},       {"gpu", set_gpu},       {"placement", set_placement},
    {"numa", set_numa},       {"memory", set_memory}, {"compute", set_compute},
    {"console", set_console},
};

void read_block(Section<Profile>& section, const Block& block) {
  set_keys(section, block, keys);
}

void check(Section<Profile>& section, std::vector<ConfigProblem>& problems) {
  const KeyCheck keys_set(section, problems);
  if (keys_set.has("type") && keys_set.has("memory"))
    keys_set.problem("memory", "and 'type' exclude each other" + keys_set.where("type"));
  if (keys_set.has("compute") && !keys_set.has("memory"))
    keys_set.problem("compute", "goes beside 'memory' only, never alone");
  if (!keys_set.has("type") && !keys_set.has("memory"))
    problems.push_back(
        {section.content.position, section.title + " asks for nothing; want 'type' or 'memory'"});
}

}  // namespace gpuward
