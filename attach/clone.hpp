// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "domain/domain.hpp"

namespace gpuward {

/// Whether this GPU is an mdev, which alone can be written without knowing the host.
using IsMdev = std::function<bool(const GpuRequest&)>;

/// `xml` with its instance UUIDs made this domain's own again (after a clone); unchanged when
/// they are. Throws Error when metadata and hostdevs cannot be brought together.
/// GPUs that `is_mdev` denies are left as they are: they are pointed at a device of the host.
std::string update_instance_uuids(
    std::string_view xml, const IsMdev& is_mdev = [](const GpuRequest&) { return true; });

/// As update_instance_uuids, for what arrives from elsewhere: only sources change, as libvirt lets
/// no hook add or remove devices then.
std::string replace_sources(std::string_view xml);

}  // namespace gpuward
