// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <string>
#include <vector>

#include "allocation/request.hpp"
#include "base/root.hpp"
#include "config/config_parser.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

struct OfferedTypes {
  std::vector<OfferedType> types{};
  /// GPUs that have vGPU types of which some, or all, cannot be created now.
  std::vector<std::string> partly_listed{};
  std::map<std::string, std::string> unknown{};  ///< GPUs of which no type is known, and why
};

/// The types that domains may have of these GPUs by [gpu], each once. Of vGPUs on VFs those that
/// can be created, as a driver lists no others, and those that exist.
OfferedTypes offered_types(const Root& root, const Config& config, const std::vector<Gpu>& gpus);

/// Profiles that are named as one of these types or models and provide others. A claim names a
/// profile and a type alike: what a domain requested as the type would count for the profile's
/// limits in [quota]. A model of that name could not be requested.
std::vector<ConfigProblem> profiles_named_as_others(const Config& config,
                                                    const std::vector<OfferedType>& types,
                                                    const std::vector<OfferedModel>& models);

}  // namespace gpuward
