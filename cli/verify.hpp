// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "inventory/device_facts.hpp"
#include "inventory/gpu.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// What to run in the guest, and what it must print.
struct GuestCheck {
  std::string command{};   ///< "" where none is known
  std::string expected{};  ///< of its output, in words
};

/// A device of a claim, and what of it was compared.
struct VerifiedDevice {
  ClaimedDevice device{};
  DeviceFacts facts{};
  std::vector<std::string> limits{};  ///< that the domain has by it, as far as they are known
  GuestCheck guest{};
};

/// What the host knows of a device beside its claim.
struct DeviceModel {
  uint16_t vendor = 0, device = 0;       ///< of the PCI function, of an mdev its parent
  std::string driver{};                  ///< of the card, of a VF its PF
  GpuType type{};                        ///< of mdev and vendor_vf
  std::vector<GpuType> types{};          ///< all that the driver lists for its card
  std::optional<uint64_t> vram_quota{};  ///< of a VF, in bytes, as the driver has it
};

GuestCheck guest_check(const ClaimedDevice& device, const DeviceModel& model);
std::vector<std::string> limits_of(const ClaimedDevice& device, const DeviceModel& model,
                                   const VfQuota& quota);

/// A line for each fact, limit and check.
std::string verify_text(const Claim& claim, const std::vector<VerifiedDevice>& devices);
nlohmann::json verify_json(const Claim& claim, const std::vector<VerifiedDevice>& devices);

DeviceFact::State state_of(const std::vector<VerifiedDevice>& devices);
/// 0 all is ok, 1 something differs, 3 something is unknown.
int exit_status(DeviceFact::State state);

}  // namespace gpuward
