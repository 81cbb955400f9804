// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <set>
#include <string>
#include <vector>

#include "allocation/place_mdev.hpp"
#include "allocation/request.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "kinds/deadlines.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

/// One prepare that is running.
struct Preparation {
  const Root& root;
  const Config& config;
  const Domain& domain;
  const Deadlines& deadlines;
  const Deadlines& undo_deadlines;
  std::vector<ResolvedRequest> requests;  ///< of the domain
  Claims claims;
  Claim claim;
  std::set<ParentType> refused;  ///< where the kernel said no although it had said there was room
  std::set<std::string> made;    ///< aliases of the devices whose instance is there
  std::shared_ptr<AskedCards> asked = std::make_shared<AskedCards>();  ///< while mdevs are placed
  std::vector<std::string> marks{};  ///< files of single use that this prepare has written

  /// The request that the device was claimed for: each that is not by hand has one, a companion
  /// without an alias that of its profile.
  const ResolvedRequest& request_of(const ClaimedDevice& device) const {
    for (const ResolvedRequest& request : requests)
      if (request.alias == gpu_alias(device.alias)) return request;
    for (const ResolvedRequest& request : requests)
      if (request.profile.name == device.profile) return request;
    throw Error(device_name(device), "not requested by the domain");
  }
  const Profile& profile_of(const ClaimedDevice& device) const {
    return request_of(device).profile;
  }
};

}  // namespace gpuward
