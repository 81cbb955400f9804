// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "config/use.hpp"
#include "domain/domain.hpp"

namespace gpuward {

/// The model of an mdev's hostdev, which libvirt's XML must have as the device_api of its type:
/// this or vfio-ap, vfio-ccw.
inline constexpr const char* pci_model = "vfio-pci";

/// What attach needs to know about one GPU.
struct GpuToAttach {
  std::string profile;  ///< or the text of a request that names none
  bool console = true;  ///< off: graphics and video are removed, until the last such GPU goes
  Use use = default_use;
  std::vector<PciAddress> functions{};  ///< of all that are no mdev: the GPU's own, then companions
  std::optional<SettledRequest> settled{};  ///< of a request that names no profile
  std::string model{pci_model};             ///< of an mdev
  bool managed = true;  ///< of all others, as is_managed() of the profile has it
};

/// `xml` with one more GPU: hostdev with the next free alias, metadata. Bytes that need not change
/// do not change. Throws Error when the XML is no domain or cannot take it.
std::string attach_gpu(std::string_view xml, const GpuToAttach& gpu);

/// `xml` with this owner of its GPUs, for quotas. Throws Error when it requests none.
std::string set_owner(std::string_view xml, const std::string& owner);

}  // namespace gpuward
