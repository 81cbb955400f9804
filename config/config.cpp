// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/config.hpp"

#include "base/quote.hpp"

namespace gpuward {

std::string to_string(const Position& position) {
  if (position.line == 0) return position.file;
  return position.file + ":" + std::to_string(position.line);
}

/// Domains that request the same memory may be served by different types: each has its own pool.
static std::string title_of_fraction(const Profile& profile) {
  const bool is_settled = !profile.types.empty() || traits_of(profile.use).is_whole_card;
  if (profile.is_configured && !is_settled) return "profile " + in_quotes(profile.name);
  const std::string served =
      profile.types.empty() ? std::string(use_word(profile.use)) : profile.types.front();
  if (profile.is_configured) return "profile " + in_quotes(profile.name) + " (" + served + ")";
  std::string text = std::to_string(*profile.memory_mib) + "MiB";
  if (profile.compute_percent) text += '/' + std::to_string(*profile.compute_percent) + '%';
  return "request " + in_quotes(text) + " (" + served + ")";
}

bool is_managed(const Profile& profile) {
  return is_managed(profile.use) && !profile.keep_driver;
}

std::string title_of(const Profile& profile) {
  if (profile.memory_mib) return title_of_fraction(profile);
  return (profile.is_configured ? "profile " : "request ") + in_quotes(profile.name);
}

const Profile* find_profile(const Config& config, const std::string& name) {
  for (const Profile& profile : config.profiles)
    if (profile.name == name) return &profile;
  return nullptr;
}

}  // namespace gpuward
