// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/gpu.hpp"

namespace gpuward {

/// The types of a GPU, by id, of the first kind that has any on it; of a card with VFs one for all
/// of them. How many instances a part of the GPU has room for is read of each part, so only of the
/// types `counted` where that is given. Of a GPU of which it is not known whether it has any of a
/// kind there are none of the kinds after that either.
std::vector<GpuType> types_of(const Root& root, const Gpu& gpu,
                              const std::vector<std::string>* counted = nullptr);

/// Likewise, but of a GPU whose section gives it a kind of which only a program tells the types
/// none of another kind, whatever the program answers. `unknown`: set to why they are not known,
/// where they are not.
std::vector<GpuType> types_of(const Root& root, const Config& config, const Gpu& gpu,
                              const std::vector<std::string>* counted = nullptr,
                              std::string* unknown = nullptr);

/// Likewise without any counts, from the first part of the GPU that lists types: all of its VFs
/// offer the same.
std::vector<GpuType> catalogue_of(const Root& root, const Gpu& gpu);

/// Whether it is one of those that are to be counted: all, or those of these ids or names.
bool is_counted(const std::vector<std::string>* counted, const GpuType& type);

/// With what its name and description say of its size.
GpuType with_size(GpuType type);

/// The kind of a claimed device and the type that it has.
struct ClaimedType {
  Use use = no_use;
  std::string id{};  ///< "-" of none, "" where it cannot be read
};
/// Of a VF written by hand what is on it now, which gpuward does not note; of all others as the
/// claim has it.
ClaimedType claimed_type(const Root& root, const ClaimedDevice& device);

/// Name and size of a claimed device's type, as far as the driver reports them. `type`: of one that
/// is still to be created.
GpuType type_of(const Root& root, const ClaimedDevice& device, const std::string& type);

/// All types that the driver lists for its card now.
std::vector<GpuType> types_of_card(const Root& root, const ClaimedDevice& device);

/// A vGPU on a VF of the card that no claim names.
GpuInstance unclaimed_vgpu(const std::string& card, unsigned type);

}  // namespace gpuward
