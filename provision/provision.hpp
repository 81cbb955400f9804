// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "allocation/capacity.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "kinds/deadlines.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"
#include "mdev/provisioned.hpp"
#include "provision/vf_plan.hpp"

namespace gpuward {

struct ClaimedDevices;

/// What provisioning has to know of the host.
struct ProvisionView {
  struct MdevParent {
    Parent parent;
    std::vector<std::string> types;
    std::string card{};  ///< the GPU that it is, or is a VF of
  };
  std::vector<MdevParent> parents;
  /// By card, what can be created together on those that the configuration has instances for. What
  /// is not here is not counted: the kernel says it when the instances are created.
  std::map<std::string, CardRoom> rooms;
  std::vector<PhysicalFunction> pfs;
  std::vector<Instance> instances;
  std::set<std::pair<std::string, Uuid>> mdevctl;  ///< parent and UUID of mdevctl's definitions
  std::map<Uuid, std::string> in_use{};            ///< of instances that are not to be removed: why
  std::set<Uuid> of_requests{};         ///< instances that domains' requests have: none of ours
  std::vector<std::string> unexpected;  ///< lines: GPUs that are not those that [gpu] expects
  std::map<std::string, std::string> unexpected_parents;  ///< those, and VFs of those, and why
};

/// What is not the card that the configuration expects, or cannot be read, is left out; its
/// instances are not removed.
ProvisionView scan_host(const Root& root, const Config& config);

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

/// The plan for this host as it is: what some process has open at this moment or a claim names is
/// not removed, and makes no room.
ProvisionPlan plan_host(const Root& root, const Config& config);
/// The same by claims that have been read already.
ProvisionPlan plan_host(const Root& root, const Config& config, const ClaimedDevices& claimed);

/// Takes VFs from the plan that somebody uses.
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
