// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace gpuward {

/// What a GPU is given as; "off" not at all.
enum class Use { mdev, vf, vendor_vf, whole, off };

inline constexpr std::array use_words = {
    std::pair(std::string_view("mdev"), Use::mdev), std::pair(std::string_view("vf"), Use::vf),
    std::pair(std::string_view("vendor-vf"), Use::vendor_vf),
    std::pair(std::string_view("whole"), Use::whole), std::pair(std::string_view("off"), Use::off)};

/// As the configuration and claims write it.
constexpr std::string_view use_word(Use use) {
  return use_words[static_cast<size_t>(use)].first;
}

constexpr std::optional<Use> use_of(std::string_view word) {
  for (const auto& [name, use] : use_words)
    if (name == word) return use;
  return {};
}

}  // namespace gpuward
