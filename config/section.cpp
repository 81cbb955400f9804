// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/section.hpp"

#include "base/quote.hpp"

namespace gpuward {

std::vector<Setting> settings(const SectionText& block) {
  std::vector<Setting> result;
  std::map<std::string_view, int> first;
  for (const IniEntry& entry : block.ini.entries) {
    const auto [seen, fresh] = first.emplace(entry.key, entry.line);
    const std::string where = in_quotes(entry.key) + " in " + block.title;
    if (!fresh) {
      block.problems.push_back({block.at(entry.line),
                                where + " is already set at line " + std::to_string(seen->second)});
    } else if (entry.value.empty()) {
      block.problems.push_back({block.at(entry.line), where + " has no value"});
    } else {
      result.push_back({block.title, entry.key, entry.value, block.at(entry.line), block.problems});
    }
  }
  return result;
}

void report_no_effect(const SectionText& block, const Setting& setting, const std::string& why) {
  block.unsupported.push_back(
      {setting.position, in_quotes(setting.key) + " in " + block.title + " has no effect: " + why});
}

void reject_unknown_key(const Setting& setting, std::span<const std::string_view> known) {
  std::string message = "unknown key " + in_quotes(setting.key) + " in ";
  message += setting.section;
  message += "; " + (setting.key == "priority"
                         ? "there are none: no device is taken from a domain for another one"
                         : suggestion(setting.key, known));
  setting.problems.push_back({setting.position, std::move(message)});
}

void KeyRules::require(std::string_view key, Use use, bool UseTraits::*trait,
                       const std::string& found) const {
  if (has(key) && !(traits_of(use).*trait))
    problem(key, "requires " + list_uses(trait, "use = ") + "; " + found);
}

std::string KeyRules::where(std::string_view key) const {
  return " (set at " + to_string(set_at_.find(key)->second) + ")";
}

void KeyRules::problem(std::string_view key, std::string_view what) const {
  std::string message = in_quotes(key) + " in " + title_ + " ";
  message += what;
  problems_.push_back({set_at_.find(key)->second, std::move(message)});
}

}  // namespace gpuward
