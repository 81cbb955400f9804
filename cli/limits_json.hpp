// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <nlohmann/json.hpp>

#include "allocation/limit.hpp"

namespace gpuward {

/// How hard memory and compute units are limited, in the words of gpuward.conf(5).
inline nlohmann::json limits_json(const Limits& limits) {
  return {{"memory", to_string(limits.memory)}, {"compute", to_string(limits.compute)}};
}

}  // namespace gpuward
