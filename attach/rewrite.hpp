// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
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
  bool console = true;  ///< off: graphics and video are taken out, until the last such GPU goes
  Use use = default_use;
  std::vector<PciAddress> functions{};  ///< of all that are no mdev: the GPU's own, then companions
  std::optional<SettledRequest> settled{};  ///< of a request that names no profile
  std::string model{pci_model};             ///< of an mdev
};

/// Whether this GPU is an mdev, which alone can be written without knowing the host.
using IsMdev = std::function<bool(const GpuRequest&)>;

/// `xml` with one more GPU: hostdev with the next free alias, metadata. Bytes that need not change
/// do not change. Throws Error when the XML is no domain or cannot take it.
std::string attach_gpu(std::string_view xml, const GpuToAttach& gpu);

/// `xml` with this owner of its GPUs, for quotas. Throws Error when it requests none.
std::string set_owner(std::string_view xml, const std::string& owner);

/// `xml` with its instance UUIDs made this domain's own again (after a clone); unchanged when
/// they are. Throws Error when metadata and hostdevs cannot be brought together.
/// GPUs that `is_mdev` denies are left as they are: they are pointed at a device of the host.
std::string update_instance_uuids(
    std::string_view xml, const IsMdev& is_mdev = [](const GpuRequest&) { return true; });

/// `xml` with GPU `alias` at these functions of the host instead; unchanged when it is there.
/// Throws Error when it has no such GPU.
std::string assign_device(std::string_view xml, std::string_view alias, Use use,
                          const std::vector<PciAddress>& functions);

/// `xml` with another kind of device or type for GPU `alias`, whose request names no profile; its
/// hostdev is that of an mdev then, or none until assign_device. Throws Error when it has no such
/// GPU.
std::string settle_request(std::string_view xml, std::string_view alias,
                           const SettledRequest& settled, const std::string& model = pci_model);

/// As assign_device, for what arrives from elsewhere: only sources change, as libvirt lets no hook
/// add or take away devices then.
std::string replace_sources(std::string_view xml);

/// `xml` as it was before gpuward touched it (all GPUs), or without the one named by `alias`.
/// detach_gpus(protect(attach_gpu(x))) == x, and == protect(x) when that was asked for by itself.
/// Throws Error when `alias` is not there.
std::string detach_gpus(std::string_view xml, std::string_view alias = {});

}  // namespace gpuward
