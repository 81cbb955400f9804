// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/types.hpp"

#include <algorithm>

#include "inventory/gpu_types.hpp"
#include "kinds/kind.hpp"

namespace gpuward {

bool is_counted(const std::vector<std::string>* counted, const GpuType& type) {
  return !counted || std::any_of(counted->begin(), counted->end(), [&](const std::string& word) {
    return word == type.id || (traits_of(type.use).has_named_types && word == type.name);
  });
}

GpuType with_size(GpuType type) {
  add_size(type);
  return type;
}

static std::vector<GpuType> read_types(const Root& root, const Gpu& gpu,
                                       const std::vector<std::string>* counted, bool of_one_part) {
  for (const Use use : kinds_of(gpu))
    if (const Kind& kind = kind_of(use); kind.types)
      if (auto types = kind.types(root, gpu, counted, of_one_part); !types.empty()) return types;
  return {};
}

std::vector<GpuType> types_of(const Root& root, const Gpu& gpu,
                              const std::vector<std::string>* counted) {
  return read_types(root, gpu, counted, false);
}

std::vector<GpuType> catalogue_of(const Root& root, const Gpu& gpu) {
  const std::vector<std::string> none;
  return read_types(root, gpu, &none, true);
}

std::string TypeNames::of(const GpuInstance& instance) {
  const Kind& kind = kind_of(instance.use);
  return kind.type_name ? kind.type_name(*this, instance) : std::string();
}

}  // namespace gpuward
