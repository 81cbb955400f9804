// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <bit>
#include <random>
#include <string>
#include <vector>

#include "allocation/capacity.hpp"
#include "inventory/gpu_types.hpp"

namespace gpuward {

// Cards of random sizes and types, with the rules by which their drivers create instances.

inline GpuType type(const std::string& id, const std::string& description, unsigned available,
                    const std::string& parent = "card") {
  GpuType type{.id = id, .description = description};
  add_size(type);
  type.on = {{parent, available}};
  return type;
}

/// A card that is the mdev parent itself.
inline Gpu card() {
  Gpu gpu;
  gpu.parent.name = "card";
  gpu.mdev_parents = {"card"};
  return gpu;
}

inline Gpu card_with_vfs(unsigned count) {
  Gpu gpu;
  gpu.parent.name = "0000:41:00.0";
  for (unsigned number = 1; number <= count; ++number) {
    gpu.vfs.push_back(
        {0, 0x41, static_cast<uint8_t>(number / 8), static_cast<uint8_t>(number % 8)});
    gpu.mdev_parents.push_back(to_string(gpu.vfs.back()));
  }
  return gpu;
}

inline std::string nvidia(unsigned mib, unsigned most) {
  return "num_heads=4, framebuffer=" + std::to_string(mib) +
         "M, max_instance=" + std::to_string(most);
}

/// A card as its driver keeps it.
struct Kernel {
  enum class Kind { pool, homogeneous, mixed, ports, resources } kind;
  struct Type {
    std::string id, description;
    std::vector<unsigned> takes;
    unsigned most = 1000;
  };
  std::vector<Type> types;
  std::vector<unsigned> left;
  unsigned total = 0;  ///< of the first unit
  unsigned vfs = 0;    ///< 0: the card itself is the mdev parent
  std::vector<size_t> present{};

  /// In NVIDIA's mixed-size mode a vGPU takes one of 2^n equal places of the card.
  unsigned cost(const Type& type, size_t unit) const {
    if (kind != Kind::mixed) return type.takes[unit];
    return total / std::bit_floor(total / type.takes[unit]);
  }

  bool fits(const Type& type) const {
    const auto at = static_cast<size_t>(&type - types.data());
    if (vfs > 0 && present.size() == vfs) return false;
    if (static_cast<unsigned>(std::count(present.begin(), present.end(), at)) == type.most)
      return false;
    if (kind == Kind::homogeneous && !present.empty() && types[present.front()].takes != type.takes)
      return false;
    for (size_t unit = 0; unit < left.size(); ++unit)
      if (cost(type, unit) > left[unit]) return false;
    return true;
  }
  bool create(size_t at) {
    if (!fits(types[at])) return false;
    for (size_t unit = 0; unit < left.size(); ++unit) left[unit] -= cost(types[at], unit);
    present.push_back(at);
    return true;
  }
  unsigned available(size_t at) const {
    Kernel copy = *this;
    unsigned count = 0;
    while (copy.create(at)) ++count;
    return count;
  }

  /// What gpuward reads of it.
  CardRoom room() const {
    const Gpu gpu = vfs ? card_with_vfs(vfs) : card();
    std::vector<GpuType> read;
    for (size_t at = 0; at < types.size(); ++at) {
      GpuType type{.id = types[at].id, .description = types[at].description};
      add_size(type);
      if (vfs == 0) type.on = {{"card", available(at)}};
      // Those with an instance are the last.
      for (unsigned vf = 0; vf < vfs; ++vf)
        type.on.push_back(
            {gpu.mdev_parents[vf], vf < vfs - present.size() && fits(types[at]) ? 1 : 0});
      read.push_back(type);
    }
    std::vector<std::string> ids;
    for (const size_t at : present) ids.push_back(types[at].id);
    return card_room(gpu, read, ids);
  }
};

using Random = std::mt19937;
inline unsigned any(Random& random, unsigned least, unsigned most) {
  return std::uniform_int_distribution<unsigned>(least, most)(random);
}

inline Kernel random_kernel(Random& random) {
  using Kind = Kernel::Kind;
  Kernel kernel{static_cast<Kind>(any(random, 0, 4)), {}, {}};
  const bool is_nvidia = kernel.kind == Kind::homogeneous || kernel.kind == Kind::mixed;
  const unsigned total = is_nvidia ? 1024 * any(random, 4, 48) : any(random, 8, 512);
  kernel.left = {total};
  kernel.total = total;
  if (kernel.kind == Kind::resources) kernel.left = {total, any(random, 64, 4096), 32};
  if (is_nvidia) kernel.vfs = any(random, 0, 1) ? any(random, 1, 32) : 0;
  for (unsigned number = 0; number < any(random, 1, 6); ++number) {
    Kernel::Type type{"t" + std::to_string(number), {}, {any(random, 1, total)}};
    const std::string size = std::to_string(type.takes[0]);
    if (is_nvidia) {
      type.takes[0] = 512 * any(random, 1, total / 512);
      type.most = total / type.takes[0];
      type.description = nvidia(type.takes[0], type.most);
    } else if (kernel.kind == Kind::pool) {
      type.description = "virtual display, " + size + " MB video memory";
    } else if (kernel.kind == Kind::resources) {
      type.takes = {type.takes[0], any(random, 1, kernel.left[1]), any(random, 1, 8)};
      type.description = "low_gm_size: " + size +
                         "MB\nhigh_gm_size: " + std::to_string(type.takes[1]) +
                         "MB\nfence: " + std::to_string(type.takes[2]);
    }
    kernel.types.push_back(type);
  }
  if (is_nvidia) {  // the largest type has all of the card
    kernel.types.push_back({"whole", nvidia(total, 1), {total}, 1});
  }
  for (unsigned count = any(random, 0, 4); count > 0; --count)
    kernel.create(any(random, 0, static_cast<unsigned>(kernel.types.size()) - 1));
  return kernel;
}

/// The mode is seen where a type is offered beside one of another size.
inline bool is_mode_hidden(const Kernel& kernel, const CardRoom& room) {
  return kernel.kind == Kernel::Kind::mixed && !room.mixes_sizes;
}

}  // namespace gpuward
