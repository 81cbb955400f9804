// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace gpuward {

struct ParsedAttributes {
  std::vector<DeviceAttribute> attributes;
  std::string wrong{};   ///< the item that is none; "" when all are
  std::string advice{};  ///< what is expected instead of it
};

/// "NAME=VALUE, NAME="A, B"": a value with a comma is in double quotes. A name may become a path
/// below the directory of an instance: it has one or two parts without "." and "..", and is none of
/// the kernel's own files and links there.
ParsedAttributes parse_attributes(std::string_view text);

/// Of a vGPU of NVIDIA: the text of its plugin parameters.
inline constexpr std::string_view vgpu_params = "nvidia/vgpu_params";

/// NVIDIA's unified memory, which its vGPUs cannot be migrated with.
bool sets_unified_memory(const std::vector<DeviceAttribute>& attributes);

}  // namespace gpuward
