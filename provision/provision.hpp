// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "kinds/deadlines.hpp"
#include "mdev/instance.hpp"
#include "provision/plan.hpp"
#include "provision/vf_plan.hpp"

namespace gpuward {

struct Host;

/// The plan for this host as it is: what some process has open at this moment or a claim names is
/// not removed, and makes no room.
ProvisionPlan plan_host(const Root& root, const Config& config);
/// The same of a host that has been read already.
ProvisionPlan plan_host(const Root& root, const Config& config, const Host& host);

/// Takes VFs in use from the plan.
void skip_vfs_in_use(const Root& root, ProvisionPlan& plan);

struct Provisioned {
  std::vector<VfChange> vfs;
  std::vector<Instance> created;
  std::vector<Instance> removed;
  std::vector<std::string> kept;
  std::vector<std::string> failed;
};

/// Looks, plans and does it, one process at a time; called again it finds nothing to do. Throws
/// Error when another provisioning does not end in time.
Provisioned provision(const Root& root, const Config& config, const Deadlines& deadlines);

/// GPUs that sections with "instances" or "vfs" name one by one and that are not there.
std::vector<std::string> missing_gpus(const Root& root, const Config& config);

}  // namespace gpuward
