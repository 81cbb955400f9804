// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/root.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

/// Why QEMU refuses a domain that has an <iommu> of its own and several devices of one IOMMU group
/// of the host, each of which then is in an address space of its own; "" when it does not.
std::string viommu_conflict(const Root& root, const Document& document, const Domain& domain);

}  // namespace gpuward
