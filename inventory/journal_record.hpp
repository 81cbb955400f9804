// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "inventory/stand_ins.hpp"

namespace gpuward {

/// The fields that are read of an entry.
inline constexpr const char* recorded_journal_fields =
    "MESSAGE,SYSLOG_IDENTIFIER,_PID,GPUWARD_DOMAIN";

/// What `journalctl --output=export` has printed, a line for each entry: when (in UTC), which
/// program, its message. The names of domains in the entries' fields are replaced in all messages.
std::string journal_with_stand_ins(std::string_view exported, StandIns& stand_ins);

}  // namespace gpuward
