// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/offered_types.hpp"

#include <set>
#include <tuple>

#include "inventory/gpu_types.hpp"

namespace gpuward {

namespace {

struct Before {
  bool operator()(const OfferedType& one, const OfferedType& other) const {
    return std::tie(one.use, one.id, one.name) < std::tie(other.use, other.id, other.name);
  }
};
using Types = std::set<OfferedType, Before>;

}  // namespace

std::vector<OfferedType> offered_types(const Root& root, const std::vector<Gpu>& gpus) {
  Types types;
  for (const Gpu& gpu : gpus)
    for (const GpuType& type : catalogue_of(root, gpu))
      types.insert({type.id, type.name, type.use});
  return {types.begin(), types.end()};
}

}  // namespace gpuward
