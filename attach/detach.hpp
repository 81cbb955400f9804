// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

namespace gpuward {

/// `xml` as it was before gpuward touched it (all GPUs), or without the one named by `alias`.
/// detach_gpus(protect(attach_gpu(x))) == x, and == protect(x) when that was asked for by itself.
/// Throws Error when `alias` is not there.
std::string detach_gpus(std::string_view xml, std::string_view alias = {});

}  // namespace gpuward
