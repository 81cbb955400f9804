// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/kind.hpp"

#include "kinds/rows.hpp"

namespace gpuward {

static constexpr Kind no_kind{.use = Use::off};

const Kind& kind_of(Use use) {
  for (const Kind* const row : rows)
    if (row->use == use) return *row;
  return no_kind;
}

std::vector<Use> kinds_of(const Gpu& gpu) {
  std::vector<Use> kinds;
  for (const Kind* const row : rows)
    if (row->is_offered(gpu)) kinds.push_back(row->use);
  return kinds;
}

Use use_of_device(const Root& root, const PciDevice& device) {
  for (const Kind* const row : rows)
    if (row->is_of_kind && row->is_of_kind(root, device)) return row->use;
  return use_by_hand(device);
}

Use use_by_hand(const PciDevice& device) {
  return device.physical_function ? Use::vf : Use::whole;
}

}  // namespace gpuward
