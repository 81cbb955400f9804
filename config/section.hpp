// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config_parser.hpp"
#include "config/ini_file.hpp"
#include "config/setting.hpp"

namespace gpuward {

/// One section as all files together give it.
template <typename Content>
struct Section {
  std::string title;   ///< "[gpu mtty]"
  bool usable = true;  ///< false when its name will not do: its keys are checked all the same
  Position block;      ///< where it was opened last
  std::map<std::string, Position, std::less<>> set_at;  ///< its keys, and who set them last
  Content content;
};

/// What one file says about one section.
struct SectionText {
  std::string title;
  const std::string& file;
  const IniSection& ini;
  std::vector<ConfigProblem>& problems;
  std::vector<ConfigProblem>& unsupported;

  Position at(int line) const { return {file, line}; }
};

/// The entries of a block that can be checked: keys written twice in it and keys without a value
/// are problems and left out.
std::vector<Setting> settings(const SectionText& block);

/// The key has no effect with this value, and why: `check` refuses it, and no domain is refused.
void report_no_effect(const SectionText& block, const Setting& setting, const std::string& why);

void reject_unknown_key(const Setting& setting, std::span<const std::string_view> known);

/// Hands each entry of the block to the function that the table names for it.
template <typename Content, size_t n>
void set_keys(Section<Content>& section, const SectionText& block, const Key<Content> (&table)[n]) {
  for (const Setting& setting : settings(block)) {
    const auto key = std::find_if(std::begin(table), std::end(table),
                                  [&](const auto& k) { return k.name == setting.key; });
    if (key != std::end(table)) {
      section.set_at.insert_or_assign(std::string(key->name), setting.position);
      key->set(section.content, setting);
      continue;
    }
    std::array<std::string_view, n> names;
    std::transform(std::begin(table), std::end(table), names.begin(),
                   [](const auto& k) { return k.name; });
    reject_unknown_key(setting, names);
  }
}

/// Problems of keys that do not go together, told when all files are read.
class KeyRules {
 public:
  template <typename Content>
  KeyRules(const Section<Content>& section, std::vector<ConfigProblem>& problems)
      : title_(section.title), set_at_(section.set_at), problems_(problems) {}

  bool has(std::string_view key) const { return set_at_.contains(key); }
  /// A problem at the line of `key`: "'key' in [section] WHAT".
  void problem(std::string_view key, std::string_view what) const;
  /// A problem where the key is set and the kind lacks the trait that it is about; `found`: what
  /// `use` is.
  void require(std::string_view key, Use use, bool UseTraits::*trait,
               const std::string& found) const;
  /// " (set at FILE:LINE)"
  std::string where(std::string_view key) const;

 private:
  const std::string& title_;
  const std::map<std::string, Position, std::less<>>& set_at_;
  std::vector<ConfigProblem>& problems_;
};

// For each kind of section: what its keys do, and what its keys must be together.
void parse_section(Section<GuardPolicy>& section, const SectionText& block);
void parse_section(Section<GpuSection>& section, const SectionText& block);
void parse_section(Section<Profile>& section, const SectionText& block);
void parse_section(Section<Quota>& section, const SectionText& block);

void check(Section<GpuSection>& section, std::vector<ConfigProblem>& problems);
void check(Section<Profile>& section, std::vector<ConfigProblem>& problems);
/// What [guard] and a profile must not have together.
void check_migration(const Section<Profile>& section, const GuardPolicy& guard,
                     std::vector<ConfigProblem>& problems);
/// `profiles`: the names of all there are.
void check(Section<Quota>& section, std::span<const std::string_view> profiles,
           std::vector<ConfigProblem>& problems);

}  // namespace gpuward
