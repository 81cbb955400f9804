// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace gpuward {

inline constexpr int newest_schema = 2;

/// What `gpuward COMMAND --json` prints, in the spelling of a schema: 1, which gpuward 0.1.0 prints
/// and `--json=1` for one release, or 2. Adds the key "schema".
nlohmann::json in_schema(int schema, std::string_view command, nlohmann::json value);

}  // namespace gpuward
