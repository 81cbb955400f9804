// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/quote.hpp"
#include "base/text.hpp"
#include "config/section.hpp"

namespace gpuward {

constexpr std::string_view total_key = "total", memory_key = "memory";

/// No memory at all, which no request has: "0MiB", "0GiB".
static bool is_none(std::string_view text) {
  if (!text.ends_with("MiB") && !text.ends_with("GiB")) return false;
  return to_number<unsigned>(trim(text.substr(0, text.size() - 3))) == 0U;
}

/// 0.1.0 read "memory = 4" as a limit of a profile of that name: that refuses no domain. What is no
/// limit leaves that of an earlier file in force.
static void set_memory(Quota& quota, const Setting& setting, const SectionText& block) {
  if (is_none(setting.value))
    quota.memory_mib = 0;
  else if (number_within(setting.value, 0, ~0U))
    report_no_effect(block, setting,
                     in_quotes(setting.value) + " has no unit; write MiB or GiB, such as 64GiB");
  else if (const auto limit = mebibytes(setting))
    quota.memory_mib = limit;
}

void parse_section(Section<Quota>& section, const SectionText& block) {
  constexpr unsigned most = 65535;
  for (const Setting& setting : settings(block)) {
    section.set_at.insert_or_assign(std::string(setting.key), setting.position);
    if (setting.key == memory_key) {
      set_memory(section.content, setting, block);
      continue;
    }
    const auto limit = number_within(setting.value, 0, most);
    if (!limit)
      setting.reject(setting.value, "expected a number from 0 to 65535");
    else if (setting.key == total_key)
      section.content.total = limit;
    else
      section.content.per_profile.insert_or_assign(std::string(setting.key), *limit);
  }
}

void check(Section<Quota>& section, std::span<const std::string_view> profiles,
           std::vector<ConfigProblem>& problems) {
  std::vector<std::string_view> known(profiles.begin(), profiles.end());
  known.insert(known.end(), {total_key, memory_key});
  for (const auto& [key, position] : section.set_at) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    section.content.per_profile.erase(key);
    problems.push_back({position, "unknown profile " + in_quotes(key) + " in " + section.title +
                                      "; " + suggestion(key, known)});
  }
}

}  // namespace gpuward
