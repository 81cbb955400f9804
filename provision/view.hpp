// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "allocation/capacity.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/snapshot.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"
#include "provision/vf_plan.hpp"

namespace gpuward {

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
ProvisionView scan_host(const Root& root, const Config& config, const Host& host);

}  // namespace gpuward
