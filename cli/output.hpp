// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace gpuward {

inline void print_text(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

/// Drivers and domain names may hold bytes that are no UTF-8; JSON may not, they become U+FFFD.
inline void print_json(const nlohmann::json& value) {
  print_text(value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n');
}

}  // namespace gpuward
