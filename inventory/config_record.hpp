// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "inventory/stand_ins.hpp"

namespace gpuward {

/// A file of the configuration with its lines, but without its comments, and with stand-ins for
/// serial numbers, UUIDs and the patterns of [quota] and allow. It may have mistakes.
std::string config_with_stand_ins(std::string_view text, StandIns& stand_ins);

}  // namespace gpuward
