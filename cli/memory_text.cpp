// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/memory_text.hpp"

#include <cstdio>

namespace gpuward {

/// With one digit after the point where that is needed.
static std::string in_gib(unsigned mib) {
  if (mib % 1024 == 0) return std::to_string(mib / 1024);
  char text[16];
  std::snprintf(text, sizeof text, "%.1f", mib / 1024.0);
  return text;
}

std::string memory_text(const std::optional<unsigned>& mib) {
  if (!mib) return {};
  return *mib < 1024 ? std::to_string(*mib) + " MiB" : in_gib(*mib) + " GiB";
}

std::string memory_text(const GpuMemory& memory) {
  if (!memory.total_mib) return {};
  const std::string total = memory_text(memory.total_mib);
  if (!memory.given_mib) return "?/" + total;
  return (*memory.total_mib < 1024 ? std::to_string(*memory.given_mib)
                                   : in_gib(*memory.given_mib)) +
         '/' + total;
}

}  // namespace gpuward
