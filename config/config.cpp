// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/config.hpp"

namespace gpuward {

std::string to_string(const Position& position) {
  if (position.line == 0) return position.file;
  return position.file + ":" + std::to_string(position.line);
}

const Profile* find_profile(const Config& config, const std::string& name) {
  for (const Profile& profile : config.profiles)
    if (profile.name == name) return &profile;
  return nullptr;
}

}  // namespace gpuward
