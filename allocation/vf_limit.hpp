// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "allocation/limit.hpp"
#include "pci/vf_profile.hpp"

namespace gpuward {

/// How hard a VF is limited, as far as its driver reports that.
struct VfLimits {
  Limits limits{};
  std::string no_memory{}, no_compute{};  ///< why there is no limit; "" where there is one
};

/// Of a VF of the card with these profiles (vf_profiles()). Pure.
VfLimits limits_of_vf(const std::vector<VfProfile>& profiles, const PciAddress& vf);

}  // namespace gpuward
