// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/config.hpp"

#include "base/quote.hpp"

namespace gpuward {

std::string to_string(const Position& position) {
  if (position.line == 0) return position.file;
  return position.file + ":" + std::to_string(position.line);
}

std::string title_of(const Profile& profile) {
  return (profile.is_configured ? "profile " : "request ") + in_quotes(profile.name);
}

const Profile* find_profile(const Config& config, const std::string& name) {
  for (const Profile& profile : config.profiles)
    if (profile.name == name) return &profile;
  return nullptr;
}

}  // namespace gpuward
