// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gpuward {

/// Letters to insert, drop, change or swap with their neighbour to get from one word to the other
/// (Damerau-Levenshtein, optimal string alignment), small and capital letters being the same.
size_t edit_distance(std::string_view from, std::string_view to);

/// The candidate that a user who wrote `word` most likely meant; nothing when none is near.
std::optional<std::string_view> nearest(std::string_view word,
                                        std::span<const std::string_view> candidates);

/// "possible: x, y, z"; or that there is none.
std::string list_choices(std::span<const std::string_view> candidates);

/// How a complaint about an unknown word ends: "did you mean 'x'?", or "possible: x, y, z".
std::string suggestion(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace gpuward
