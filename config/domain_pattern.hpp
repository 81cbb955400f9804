// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gpuward {

/// Which domains a text of the configuration means: "web-*" by name, "owner:team-*" by the label
/// of `gpuward attach --owner`.
struct DomainPattern {
  enum class By { name, owner } by = By::name;
  std::string pattern;  ///< as fnmatch(3)
  bool operator==(const DomainPattern&) const = default;
};

/// Nothing for a text without a pattern.
std::optional<DomainPattern> parse_domain_pattern(std::string_view text);

/// What to write instead of a text that is no pattern.
inline constexpr std::string_view domain_pattern_advice =
    "expected a pattern for names of domains, such as web-*, or for owners, such as owner:team-*";

/// As it is written in the configuration.
std::string to_string(const DomainPattern& pattern);

/// Whether it means the domain. One without an owner ("") has no label that a pattern could match.
bool matches(const DomainPattern& pattern, const std::string& domain, const std::string& owner);

}  // namespace gpuward
