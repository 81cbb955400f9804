// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "allocation/limit.hpp"
#include "allocation/vf_limit.hpp"
#include "inventory/device_facts.hpp"
#include "inventory/gpu.hpp"
#include "pci/vf_profile.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// What to run in the guest, and what it must print.
struct GuestCheck {
  std::string command{};   ///< "" where none is known
  std::string expected{};  ///< of its output, in words
};

/// What the domain is limited to by a device, as the driver has it.
struct DeviceLimits {
  Limits limits{};
  std::optional<unsigned> memory_mib{};
  std::optional<unsigned> exec_quantum_ms{}, preempt_timeout_us{};  ///< of a VF
  std::string memory_by{}, compute_by{};                            ///< ", by the type"
  std::string no_memory{}, no_compute{};  ///< why there is no limit, where that is known
};

/// A device of a claim, and what of it was compared.
struct VerifiedDevice {
  ClaimedDevice device{};
  DeviceFacts facts{};
  DeviceLimits limits{};
  std::string pending{};  ///< what the configuration has for it and is not in force; "" for nothing
  GuestCheck guest{};
};

/// What the host knows of a device beside its claim.
struct DeviceModel {
  uint16_t vendor = 0, device = 0;  ///< of the PCI function, of an mdev its parent
  std::string driver{};             ///< of the card, of a VF its PF
  GpuType type{};                   ///< of mdev and vendor_vf
  std::vector<GpuType> types{};     ///< all that the driver lists for its card
  VfProfile profile{};              ///< of a VF, as the driver has it
  VfLimits vf_limits{};             ///< likewise
};

GuestCheck guest_check(const ClaimedDevice& device, const DeviceModel& model);
DeviceLimits limits_of(const ClaimedDevice& device, const DeviceModel& model);

/// What the configuration has for the VFs of a card and they were not enabled with; "" for nothing.
std::string pending_quota(const std::string& card, const VfQuota& set, const VfQuota& configured);

/// A line for each fact, limit and check.
std::string verify_text(const Claim& claim, const std::vector<VerifiedDevice>& devices);
nlohmann::json verify_json(const Claim& claim, const std::vector<VerifiedDevice>& devices);

DeviceFact::State state_of(const std::vector<VerifiedDevice>& devices);
/// 0 all is ok, 1 something differs, 3 something is unknown.
int exit_status(DeviceFact::State state);

}  // namespace gpuward
