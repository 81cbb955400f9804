// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "base/quote.hpp"
#include "config/attribute_list.hpp"
#include "config/fraction_rules.hpp"
#include "config/gpu_selector.hpp"
#include "config/names.hpp"
#include "config/request_words.hpp"
#include "config/section.hpp"

namespace gpuward {

constexpr Choice<Placement> placements[] = {{"binpack", Placement::binpack},
                                            {"spread", Placement::spread}};
constexpr Choice<Numa> numas[] = {{"require", Numa::require},
                                  {"prefer", Numa::prefer},
                                  {"ignore", Numa::ignore},
                                  {"socket", Numa::socket}};
constexpr Choice<Workload> workloads[] = {{"graphics", Workload::graphics},
                                          {"compute", Workload::compute}};
constexpr Choice<bool> drivers[] = {{"libvirt", false}, {"keep", true}};
constexpr Choice<bool> on_off[] = {{"on", true}, {"off", false}};

static void set_type(Profile& profile, const Setting& setting) {
  profile.types.clear();
  for (const std::string_view item : split_list(setting)) {
    if (is_type_name(item))
      profile.types.emplace_back(item);
    else
      setting.reject(item, name_rule);
  }
}

static void set_gpu(Profile& profile, const Setting& setting) {
  profile.gpus.clear();
  for (const std::string_view item : split_list(setting)) {
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

static void set_use(Profile& profile, const Setting& setting) {
  // Of one that is not known nothing else is asked.
  profile.use = choose_use(setting, false).value_or(no_use);
}

static void set_scrub(Profile& profile, const Setting& setting) {
  profile.scrub = setting.value;
  // It is one word in a claim.
  if (setting.value.starts_with('/') && is_printable(setting.value)) return;
  profile.scrub.clear();
  setting.reject(setting.value, "expected an absolute path of a program, without spaces");
}

static void set_one_time(Profile& profile, const Setting& setting) {
  if (const auto one_time = choose(setting, yes_no)) profile.one_time = *one_time;
}

static void set_driver(Profile& profile, const Setting& setting) {
  if (const auto keep = choose(setting, drivers)) profile.keep_driver = *keep;
}

static void set_attributes(Profile& profile, const Setting& setting) {
  ParsedAttributes parsed = parse_attributes(setting.value);
  if (!parsed.advice.empty()) setting.reject(parsed.wrong, parsed.advice);
  profile.attributes = std::move(parsed.attributes);
}

static void set_allow(Profile& profile, const Setting& setting) {
  profile.allowed.clear();
  for (const std::string_view item : split_list(setting)) {
    if (auto pattern = parse_domain_pattern(item))
      profile.allowed.push_back(std::move(*pattern));
    else
      setting.reject(item, domain_pattern_advice);
  }
}

static void set_memory(Profile& profile, const Setting& setting) {
  profile.memory_mib.reset();
  const auto wanted = mebibytes(setting);
  if (!wanted) return;
  if (const std::string advice = memory_advice(*wanted); !advice.empty())
    return setting.reject(setting.value, advice);
  profile.memory_mib = wanted;
}

static void set_compute(Profile& profile, const Setting& setting) {
  profile.compute_percent.reset();
  const auto percent = parse_percent(setting.value);
  const std::string advice = percent ? compute_advice(*percent) : std::string(compute_rule);
  if (!advice.empty()) return setting.reject(setting.value, advice);
  profile.compute_percent = percent;
}

static void set_workload(Profile& profile, const Setting& setting) {
  profile.workload = choose(setting, workloads);
}

constexpr Key<Profile> keys[] = {
    {"type", set_type},         {"gpu", set_gpu},           {"placement", set_placement},
    {"numa", set_numa},         {"memory", set_memory},     {"compute", set_compute},
    {"workload", set_workload}, {"console", set_console},   {"use", set_use},
    {"scrub", set_scrub},       {"one-time", set_one_time}, {"allow", set_allow},
    {"set", set_attributes},    {"driver", set_driver},
};

void parse_section(Section<Profile>& section, const SectionText& block) {
  set_keys(section, block, keys);
}

static void check_use(const Section<Profile>& section, const KeyRules& keys_set) {
  const Profile& profile = section.content;
  if (is_off(profile.use)) return;
  const std::string found = "'use' is " + std::string(use_word(profile.use)) +
                            (keys_set.has("use") ? keys_set.where("use") : " by default");
  for (const char* key : {"type", "set"})
    keys_set.require(key, profile.use, &UseTraits::has_types, found);
  for (const char* key : {"scrub", "one-time"})
    if (!profile.any_use) keys_set.require(key, profile.use, &UseTraits::outlives_domain, found);
  if (!profile.any_use) keys_set.require("driver", profile.use, &UseTraits::can_keep_driver, found);
  if (is_typed_vf(profile.use))
    for (const DeviceAttribute& attribute : profile.attributes)
      if (attribute.name != vgpu_params)
        keys_set.problem("set", "has " + in_quotes(attribute.name) +
                                    "; with use = " + std::string(use_word(profile.use)) +
                                    " only " + std::string(vgpu_params) + " can be set");
  if (traits_of(profile.use).has_types && !traits_of(profile.use).has_named_types)
    for (const std::string& type : profile.types)
      if (!is_name(type))
        keys_set.problem("type", "names '" + type + "', which is not an mdev type");
}

void check_migration(const Section<Profile>& section, const GuardPolicy& guard,
                     std::vector<ConfigProblem>& problems) {
  if (guard.migration != Policy::allow || !sets_unified_memory(section.content.attributes)) return;
  KeyRules(section, problems)
      .problem("set",
               "has enable_uvm=1, and a vGPU with unified memory cannot be migrated; [guard] has " +
                   setting_text(Guard::migration, guard.migration));
}

void check(Section<Profile>& section, std::vector<ConfigProblem>& problems) {
  const KeyRules keys_set(section, problems);
  if (keys_set.has("type") && keys_set.has("memory"))
    keys_set.problem("memory", "and 'type' are mutually exclusive" + keys_set.where("type"));
  // What serves memory is settled at attach, and a GPU on vfio-pci does not tell how much it has.
  if (keys_set.has("driver") && keys_set.has("memory"))
    keys_set.problem("driver", "and 'memory' are mutually exclusive" + keys_set.where("memory"));
  for (const char* key : {"compute", "workload"})
    if (keys_set.has(key) && !keys_set.has("memory")) keys_set.problem(key, "requires 'memory'");
  section.content.any_use = keys_set.has("memory") && !keys_set.has("use");
  if (section.content.any_use && keys_set.has("set"))
    keys_set.problem("set", "requires 'use' beside 'memory': each kind has attributes of its own");
  if (keys_set.has("compute") && sets_unified_memory(section.content.attributes))
    keys_set.problem("set",
                     "has enable_uvm=1, and a vGPU with unified memory has no isolation of "
                     "memory and compute units" +
                         keys_set.where("compute"));
  check_use(section, keys_set);
  if (traits_of(section.content.use).has_types && !keys_set.has("type") && !keys_set.has("memory"))
    problems.push_back({section.content.position, section.title + " requires 'type' or 'memory'"});
}

}  // namespace gpuward
