// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/domain_pattern.hpp"

#include <fnmatch.h>

#include "base/text.hpp"

namespace gpuward {

static constexpr std::string_view owner_word = "owner:";

std::optional<DomainPattern> parse_domain_pattern(std::string_view text) {
  DomainPattern result;
  if (text.starts_with(owner_word)) {
    result.by = DomainPattern::By::owner;
    text = trim(text.substr(owner_word.size()));
  }
  if (text.empty()) return {};
  result.pattern = text;
  return result;
}

std::string to_string(const DomainPattern& pattern) {
  return (pattern.by == DomainPattern::By::owner ? std::string(owner_word) : "") + pattern.pattern;
}

bool matches(const DomainPattern& pattern, const std::string& domain, const std::string& owner) {
  const bool is_by_owner = pattern.by == DomainPattern::By::owner;
  const std::string& text = is_by_owner ? owner : domain;
  if (is_by_owner && owner.empty()) return false;
  return ::fnmatch(pattern.pattern.c_str(), text.c_str(), 0) == 0;
}

}  // namespace gpuward
