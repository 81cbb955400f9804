// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "domain/claim.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"

namespace gpuward {

/// A GPU as people are shown it: a parent of mdevs, or a PCI display device that is none.
struct GpuView {
  Parent parent;
  bool serves_mdevs = false;
  std::string driver;
};

/// An instance and who has it.
struct InstanceView {
  Instance instance;
  /// held, quarantined: claimed by a domain; ready: kept ready by gpuward; other: made by
  /// somebody else; missing: claimed but not there
  std::string state;
  std::optional<ClaimedDevice> device;  ///< when claimed
  std::string domain;                   ///< its name, when claimed
  std::optional<Uuid> domain_uuid;
};

std::vector<GpuView> view_gpus(const Root& root);
std::vector<InstanceView> view_instances(const Root& root);

}  // namespace gpuward
