// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/usage.hpp"
#include "pci/port_acs.hpp"
#include "state/claim.hpp"

namespace gpuward {

// What kernel and driver hold for a device of a running domain, compared with the domain's claim:
// read_back() reads, compare() decides and is pure.

/// One text of the kernel's. Neither text nor `unknown`: there is none.
struct Reading {
  std::optional<std::string> text{};
  std::string unknown{};  ///< why it could not be read
};

/// What was read of one device; of an mdev the first two and the process.
struct DeviceReadings {
  Reading parent{}, type{};  ///< of an mdev
  Reading process{};         ///< that has it open through VFIO
  Reading process_uuid{};    ///< the domain's UUID where the process was started with it, else ""
  Reading driver{};
  Reading vfio{};                ///< name of the VFIO device that the driver has made of it
  Reading vgpu_type{};           ///< id of the vGPU on a VF
  std::string vgpu_type_word{};  ///< what its driver calls it
  Reading group{}, group_type{};
  bool is_noiommu = false;
  Reading host_bound{};  ///< other members of its group that host drivers have, "" for none
  std::vector<PortAcs> ports{};
  std::map<std::string, Reading> vf_profile{};  ///< of xe, by attribute
};

/// `own`: all PCI devices of the domain.
DeviceReadings read_back(const Root& root, const Uuid& domain, const ClaimedDevice& device,
                         const std::vector<PciAddress>& own, const OpenDevices& open);

struct DeviceFact {
  enum class State { ok, differs, unknown } state = State::ok;
  std::string what{};      ///< "IOMMU group type"
  std::string expected{};  ///< by the claim, or as gpuward set it
  std::string found{};     ///< "" when it is unknown
  std::string reason{};    ///< why it is unknown
};
using DeviceFacts = std::vector<DeviceFact>;

/// What gpuward gave each VF of a card when it enabled them (state/vf_settings.hpp).
struct ExpectedQuota {
  VfQuota quota{};
  std::string unknown{};  ///< why it is not known; "" when it is
};

DeviceFacts compare(const ClaimedDevice& device, const ExpectedQuota& expected,
                    const DeviceReadings& found);

/// differs where one does, else unknown where one is.
DeviceFact::State state_of(const DeviceFacts& facts);

/// "ok", "differs", "unknown"
const char* state_word(DeviceFact::State state);

}  // namespace gpuward
