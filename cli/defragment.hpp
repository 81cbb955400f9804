// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "allocation/defragment.hpp"

namespace gpuward {

/// The command that does a move. `only`: it is the only GPU of its domain that has a PCI device.
std::string command_of(const DeviceMove& move, bool only);

/// What `plan --defragment` found.
struct RoomPlan {
  std::string title;  ///< of the request
  unsigned wanted = 1;
  Defragmented devices;                 ///< of PCI devices; of mdevs without moves
  std::vector<RoomUser> users{};        ///< of mdevs: who has instances
  std::vector<std::string> commands{};  ///< one for each move
  bool is_at_most = false;              ///< some cards may have room for fewer vGPUs
  bool is_unread = false;               ///< the definition of a domain: what it has is not known
  std::vector<PciAddress> unknown{};    ///< cards of which it is not known for how many vGPUs
};

std::string text_of(const RoomPlan& plan);
nlohmann::json json_of(const RoomPlan& plan);

}  // namespace gpuward
