// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"
#include "mdev/instance.hpp"
#include "provision/vf_plan.hpp"
#include "provision/view.hpp"

namespace gpuward {

/// What brings the host to what the configuration wants of "instances = TYPE:N" and "vfs = N".
struct ProvisionPlan {
  std::vector<VfChange> vfs;
  std::vector<Instance> create;
  std::vector<Instance> remove;     ///< ours and no longer wanted
  std::vector<std::string> kept;    ///< lines: not wanted, but in use, claimed or mdevctl's
  std::vector<std::string> errors;  ///< lines: wanted, but cannot be
};

/// Pure: view in, plan out.
ProvisionPlan plan_provision(const Config& config, const ProvisionView& view);

/// "instance UUID on PARENT: no longer configured, not removed: WHY"
std::string not_removed(const Instance& instance, const std::string& why);

}  // namespace gpuward
