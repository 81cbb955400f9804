// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inventory/gpu.hpp"

namespace gpuward {

// What can still be created together on one card. The kernel's available_instances counts each type
// as if no other were created, and of a card with VFs each VF counts only itself. Pure: never more
// than the kernel grants; it may grant more where a driver does not say what its types share, or
// how many GPU instances of MIG there are. is_surely_full() tells where it grants no more.

/// A type on a card.
struct TypeRoom {
  std::string id, name;                  ///< either may be in a profile
  std::vector<uint64_t> cost;            ///< of one, in each of the card's units
  unsigned available = 0;                ///< of this type, were no other created
  std::optional<unsigned> most{};        ///< on the card, present ones included
  std::optional<unsigned> size{};        ///< memory in MiB
  unsigned reported = 0;                 ///< `available` as the driver said it
  unsigned at_most = 0;                  ///< more than these the kernel refuses for sure
  bool one_size = false;                 ///< may run only beside others of its size
  std::optional<unsigned> mig_slices{};  ///< of the GPU instance that it uses, on a card with VFs
  bool counts = true;                    ///< memory that it can have is not stranded (stranded.hpp)
};

struct CardRoom {
  std::string card;
  bool is_exact = false;         ///< units are what the types take (GpuType::takes), else shares
  std::vector<uint64_t> left{};  ///< units
  /// Units of which the card has no more for sure; nothing where no type says what the card has.
  std::optional<std::vector<uint64_t>> left_at_most{};
  bool mixes_sizes = false;         ///< NVIDIA's mixed-size mode
  std::optional<unsigned> slots{};  ///< VFs without an instance, which take one each
  std::vector<TypeRoom> types{};
  std::vector<std::string> present{};  ///< ids of the types of the instances, "" where not known
};

/// Whether a part of the card may be used; for all where it is not given.
using IsUsable = std::function<bool(const std::string& parent)>;

/// `types`: of the GPU, with what its parts have room for. `present`: ids of the types of all
/// instances or vGPUs on it.
CardRoom card_room(const Gpu& gpu, const std::vector<GpuType>& types,
                   std::vector<std::string> present, const IsUsable& is_usable = {});

/// Ids of the types of what exists on a GPU.
std::vector<std::string> present_types(const GpuUse& use,
                                       const std::vector<GpuInstance>& instances);

/// How many of one type, by id or name.
unsigned room_for(const CardRoom& room, std::string_view type);
/// How many of these, each the first of them that has room then: as many as domains get by a
/// profile.
unsigned room_for_first(const CardRoom& room, const std::vector<std::string>& types);

/// Whether the card has the type, by id or name.
bool has_type(const CardRoom& room, std::string_view type);

/// How many more of it the card permits, whatever it has left of its units.
unsigned permitted(const CardRoom& room, const TypeRoom& type);

/// Allows no more than so many of one type.
void limit(CardRoom& room, std::string_view type, unsigned count);

/// Counts one of the type as created; false where it does not fit.
bool take(CardRoom& room, std::string_view type);
/// Counts one of the type as created that may not fit.
void take_anyway(CardRoom& room, std::string_view type);

/// Whether the kernel refuses one more for certain; without room for one it may still create it.
bool is_surely_full(const CardRoom& room, std::string_view type);

/// Counts a present one of the type as removed; false where what then fits is not known.
bool give_back(CardRoom& room, std::string_view type);

/// Why no more of the type fits: "max_instance is 2". "" of one that the card does not have.
std::string reason_full(const CardRoom& room, std::string_view type);

}  // namespace gpuward
