// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "attach/attach.hpp"
#include "domain/domain.hpp"

namespace gpuward {

/// `xml` with another kind of device or type for GPU `alias`, whose request names no profile; its
/// hostdev is that of an mdev then, or none until assign_device. Throws Error when it has no such
/// GPU.
std::string settle_request(std::string_view xml, std::string_view alias,
                           const SettledRequest& settled, const std::string& model = pci_model);

}  // namespace gpuward
