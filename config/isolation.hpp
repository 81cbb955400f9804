// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace gpuward {

/// What fractions of one GPU do not share with each other: their memory, or the compute units too.
enum class Isolation { memory, memory_and_compute };

inline constexpr std::array isolation_words = {
    std::pair(std::string_view("memory"), Isolation::memory),
    std::pair(std::string_view("memory+compute"), Isolation::memory_and_compute)};

/// As the configuration and claims write it.
constexpr std::string_view isolation_word(Isolation isolation) {
  return isolation_words[static_cast<size_t>(isolation)].first;
}

constexpr std::optional<Isolation> isolation_of(std::string_view word) {
  for (const auto& [name, isolation] : isolation_words)
    if (name == word) return isolation;
  return {};
}

}  // namespace gpuward
