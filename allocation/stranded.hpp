// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string_view>

#include "allocation/capacity.hpp"
#include "allocation/placement.hpp"

namespace gpuward {

/// How much memory of the card, in MiB, the types that count (TypeRoom::counts) can have together
/// beside what is on it, by the rules of its driver: the most that a combination of them has. Pure.
uint64_t usable_mib(const CardRoom& room);

/// How many MiB more of the card's memory no combination of these types can use once there is one
/// more of `type`; negative where that one takes memory that they could not use. 0 where the memory
/// of one of them is not known.
int stranded_by(const CardRoom& room, std::string_view type);

/// What it would be of the candidate, on a card of this room, and whether it opens that.
void note_stranded(const CardRoom& room, Candidate& candidate);

}  // namespace gpuward
