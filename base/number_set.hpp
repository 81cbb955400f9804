// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string_view>
#include <vector>

namespace gpuward {

/// The numbers below `most` of a set as the kernel and libvirt write CPUs and NUMA nodes,
/// "0-3,^2,6"; sorted, each once. What is not a part of such a set is left out.
std::vector<int> numbers_of_set(std::string_view set, int most);

}  // namespace gpuward
