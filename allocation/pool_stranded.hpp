// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "kinds/pool_device.hpp"

namespace gpuward {

/// Notes in each VF of the pool that has room how much memory of its card a vGPU of the profile on
/// it strands (allocation/stranded.hpp), where the VFs list the types that can be created. Only
/// where the pool has several cards: of each it reads the types of one VF, and what is on those
/// that have none of the pool's room.
void note_stranded(const PoolQuery& query, std::vector<PoolDevice>& pool);

}  // namespace gpuward
