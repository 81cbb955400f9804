// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/capacity.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>
#include <utility>

#include "inventory/gpu_types.hpp"

namespace gpuward {

// ---- a card as its driver reports it

/// More than any driver reports; what is larger would only make shares less exact.
static constexpr unsigned most_available = 1 << 16;

static const GpuType* find_type(const std::vector<GpuType>& types, std::string_view id) {
  const auto found =
      std::find_if(types.begin(), types.end(), [&](const GpuType& type) { return type.id == id; });
  return found == types.end() ? nullptr : &*found;
}

static const TypeRoom* find_type(const CardRoom& room, std::string_view id_or_name) {
  for (const TypeRoom& type : room.types)
    if (type.id == id_or_name || (!type.name.empty() && type.name == id_or_name)) return &type;
  return nullptr;
}

static TypeRoom* find_type(CardRoom& room, std::string_view id_or_name) {
  return const_cast<TypeRoom*>(find_type(std::as_const(room), id_or_name));
}

static bool is_on_vfs(const Gpu& gpu) {
  if (gpu.offers_vgpus) return true;
  return gpu.serves_mdevs() && gpu.mdev_parents.front() != gpu.parent.name;
}

/// Makes it at least so many of this cost.
static void raise(std::vector<uint64_t>& units, const std::vector<uint64_t>& cost, uint64_t count) {
  for (size_t unit = 0; unit < units.size(); ++unit)
    units[unit] = std::max(units[unit], count * cost[unit]);
}

static void lower(std::vector<uint64_t>& units, const std::vector<uint64_t>& cost) {
  for (size_t unit = 0; unit < units.size(); ++unit)
    units[unit] -= std::min(units[unit], cost[unit]);
}

static std::vector<uint64_t> units_of(const GpuType& type) {
  return {type.takes.begin(), type.takes.end()};
}

/// In what the types take.
struct EmptyCard {
  std::vector<uint64_t> units;
  bool is_known = false;  ///< else it has these at least
};

/// By max_instance, or the memory of the model. The largest type of NVIDIA's has all memory of the
/// card, each other driver's at least its own.
static EmptyCard empty_card(const std::vector<GpuType>& types) {
  EmptyCard card{std::vector<uint64_t>(types.front().takes.size())};
  for (const GpuType& type : types) {
    const auto memory = type.one_size ? card_memory_of_vgpu(type.name) : std::nullopt;
    card.is_known = card.is_known || type.most || memory;
    const unsigned by_memory = memory ? std::max(*memory / *type.memory_mib, 1U) : 1;
    raise(card.units, units_of(type), type.most.value_or(by_memory));
  }
  return card;
}

/// In NVIDIA's mixed-size mode vGPUs have places: of each size a power of two fit on the card,
/// also where its memory divided by the size is more (Virtual GPU Software User Guide: of L40-16C
/// with 48 GB two, of L40-8C four).
static std::vector<uint64_t> cost_of(const CardRoom& room, const GpuType& type,
                                     const EmptyCard& card) {
  std::vector<uint64_t> cost = units_of(type);
  if (!room.mixes_sizes || !type.one_size || !card.is_known) return cost;
  const uint64_t total = card.units.back();
  cost.back() = total / std::bit_floor(std::max(total / cost.back(), uint64_t{1}));
  return cost;
}

/// What the empty card has, less what is on it. Nothing where a part is not known.
static std::optional<std::vector<uint64_t>> left_beside_present(const CardRoom& room,
                                                                const EmptyCard& card) {
  std::vector<uint64_t> left = card.units;
  for (const std::string& id : room.present) {
    const TypeRoom* const type = find_type(room, id);
    if (!type) return {};
    lower(left, type->cost);
  }
  return left;
}

/// Of one pool the driver reports how many of each type fit in its rest (mbochs, mbochs.c), so
/// there is less of it than one more needs.
static std::optional<std::vector<uint64_t>> most_of_pool(const CardRoom& room,
                                                         const std::vector<GpuType>& types) {
  std::optional<uint64_t> most;
  for (size_t at = 0; at < types.size(); ++at) {
    const TypeRoom& type = room.types[at];
    if (types[at].on.empty() || type.at_most >= most_available) continue;
    const uint64_t less_than = (uint64_t{type.at_most} + 1) * type.cost.front();
    most = std::min(most.value_or(less_than - 1), less_than - 1);
  }
  return most ? std::optional(std::vector<uint64_t>{*most}) : std::nullopt;
}

/// In what the types take. The driver of a card without VFs counts what is left: as `available` of
/// a type fit, there is at least that much of each thing. A VF reports only whether one more fits.
static void count_in_units(CardRoom& room, const std::vector<GpuType>& types, bool on_vfs) {
  room.is_exact = true;
  const EmptyCard card = empty_card(types);
  for (size_t at = 0; at < types.size(); ++at) room.types[at].cost = cost_of(room, types[at], card);
  const auto left = left_beside_present(room, card);
  if (card.is_known)
    room.left_at_most = left;
  else if (!on_vfs && card.units.size() == 1)
    room.left_at_most = most_of_pool(room, types);
  if (on_vfs && left && (card.is_known || room.present.empty())) {
    room.left = *left;
    return;
  }
  room.left.assign(card.units.size(), 0);
  for (const TypeRoom& type : room.types)
    raise(room.left, type.cost, on_vfs ? std::min(type.available, 1U) : type.available);
}

/// A unit of which 1/n is a whole number for each of these; less exact where 62 bits are not
/// enough.
static uint64_t common_unit(const std::vector<unsigned>& numbers) {
  constexpr uint64_t limit = uint64_t{1} << 62;
  uint64_t unit = 1;
  for (const unsigned number : numbers) {
    if (number == 0) continue;
    const uint64_t factor = number / std::gcd(unit, uint64_t{number});
    if (unit > limit / factor) return limit;
    unit *= factor;
  }
  return unit;
}

/// Rounded up: shares that together are more than the whole must not seem to fit.
static uint64_t share(uint64_t unit, unsigned parts) {
  return parts ? (unit + parts - 1) / parts : unit;
}

/// In shares. Whatever types share, one instance takes of each thing no more than 1/available of
/// what is left, or 1/max_instance of what the card has. So instances fit whose shares add up to
/// no more than the whole.
static void count_in_shares(CardRoom& room, const std::vector<GpuType>& types, bool on_vfs) {
  const auto has_most = [](const GpuType& type) {
    return type.most && *type.most <= most_available;
  };
  const bool by_most = on_vfs && std::all_of(types.begin(), types.end(), has_most) &&
                       std::all_of(room.present.begin(), room.present.end(),
                                   [&](const std::string& id) { return find_type(types, id); });
  std::vector<unsigned> parts;
  for (size_t at = 0; at < types.size(); ++at)
    parts.push_back(by_most ? *types[at].most : room.types[at].available);
  const uint64_t unit = common_unit(parts);
  for (size_t at = 0; at < types.size(); ++at) room.types[at].cost = {share(unit, parts[at])};
  uint64_t left = unit;
  if (by_most)
    for (const std::string& id : room.present)
      left -= std::min(left, share(unit, *find_type(types, id)->most));
  room.left = {left};
}

/// NVIDIA's mixed-size mode, which sysfs does not show before there is an instance: beside one of
/// another size the driver offers this one, too.
static bool mixes_sizes(const CardRoom& room) {
  std::set<unsigned> sizes;
  for (const std::string& id : room.present)
    if (const TypeRoom* const type = find_type(room, id); type && type->size)
      sizes.insert(*type->size);
  if (sizes.empty()) return false;
  for (const TypeRoom& type : room.types)
    if (type.available > 0 && type.one_size) sizes.insert(*type.size);
  return sizes.size() > 1;
}

/// On KVM the administrator creates the GPU instances of MIG, and a vGPU needs one of its own
/// (Virtual GPU Software User Guide): a VF that offers the type says that one is unused, and none
/// says how many.
static void count_gpu_instances(TypeRoom& room, const GpuType& type) {
  room.mig_slices = type.takes.front();
  room.available = std::min(room.available, 1U);
}

/// What the parts that may be used have room for; adds them to `parents`.
static TypeRoom counted(const GpuType& type, const IsUsable& is_usable, bool on_vfs,
                        std::set<std::string>& parents) {
  TypeRoom room{.id = type.id,
                .name = type.name,
                .cost = {},
                .most = type.most,
                .size = type.memory_mib,
                .one_size = type.one_size};
  bool is_reported = true;
  unsigned usable = 0;
  for (const GpuType::On& on : type.on) {
    is_reported = is_reported && on.available;
    const unsigned available = std::min(on.available.value_or(0), most_available);
    if (available == 0 || (is_usable && !is_usable(on.parent))) continue;
    room.available = type.is_counted_by_card
                         ? std::min(available, ++usable)  // each says what the card has left
                         : std::min(room.available + available, most_available);
    parents.insert(on.parent);
  }
  room.reported = room.available;
  room.at_most = is_reported ? room.available : most_available;
  if (on_vfs && type.of_mig && !type.is_counted_by_card) count_gpu_instances(room, type);
  return room;
}

CardRoom card_room(const Gpu& gpu, const std::vector<GpuType>& types,
                   std::vector<std::string> present, const IsUsable& is_usable) {
  CardRoom room{.card = gpu.parent.name, .present = std::move(present)};
  const bool on_vfs = is_on_vfs(gpu);
  std::set<std::string> parents;
  for (const GpuType& type : types) room.types.push_back(counted(type, is_usable, on_vfs, parents));
  if (on_vfs) room.slots = static_cast<unsigned>(parents.size());
  room.mixes_sizes = mixes_sizes(room);
  const bool are_known =
      !types.empty() && std::all_of(types.begin(), types.end(), [&](const GpuType& type) {
        return !type.is_counted_by_card && !type.takes.empty() &&
               type.takes.size() == types.front().takes.size();
      });
  if (are_known)
    count_in_units(room, types, on_vfs);
  else
    count_in_shares(room, types, on_vfs);
  return room;
}

std::vector<std::string> present_types(const GpuUse& use,
                                       const std::vector<GpuInstance>& instances) {
  std::vector<std::string> present;
  for (const size_t at : use.at)
    if (is_mediated(instances[at].use) && instances[at].exists)
      present.push_back(instances[at].instance.type);
  for (const auto& [vf, id] : use.vgpus) present.push_back(std::to_string(id));
  return present;
}

// ---- what fits

/// That the type would have to have, where it is another.
static std::optional<unsigned> required_size(const CardRoom& room, const TypeRoom& type) {
  if (room.mixes_sizes || !type.one_size) return {};
  for (const std::string& id : room.present)
    if (const TypeRoom* const other = find_type(room, id); other && other->one_size)
      return other->size == type.size ? std::nullopt : other->size;
  return {};
}

/// How many more `most` allows.
static unsigned below_most(const CardRoom& room, const TypeRoom& type) {
  if (!type.most) return most_available;
  const auto present =
      static_cast<unsigned>(std::count(room.present.begin(), room.present.end(), type.id));
  return *type.most - std::min(*type.most, present);
}

static uint64_t fit_in_units(const CardRoom& room, const TypeRoom& type) {
  uint64_t count = most_available;
  for (size_t unit = 0; unit < room.left.size(); ++unit)
    if (type.cost[unit] > 0) count = std::min(count, room.left[unit] / type.cost[unit]);
  return count;
}

unsigned permitted(const CardRoom& room, const TypeRoom& type) {
  if (required_size(room, type)) return 0;
  return std::min({type.available, room.slots.value_or(most_available), below_most(room, type)});
}

static unsigned count_of(const CardRoom& room, const TypeRoom& type) {
  return static_cast<unsigned>(std::min(uint64_t{permitted(room, type)}, fit_in_units(room, type)));
}

unsigned room_for(const CardRoom& room, std::string_view type) {
  const TypeRoom* const found = find_type(room, type);
  return found ? count_of(room, *found) : 0;
}

unsigned room_for_first(const CardRoom& room, const std::vector<std::string>& types) {
  CardRoom left = room;
  unsigned count = 0;
  for (const std::string& type : types)
    while (take(left, type)) ++count;
  return count;
}

bool has_type(const CardRoom& room, std::string_view type) {
  return find_type(room, type) != nullptr;
}

void limit(CardRoom& room, std::string_view type, unsigned count) {
  if (TypeRoom* const found = find_type(room, type))
    found->available = std::min(found->available, count);
}

bool take(CardRoom& room, std::string_view type) {
  if (room_for(room, type) == 0) return false;
  take_anyway(room, type);
  return true;
}

static void decrement(unsigned& count) {
  if (count > 0) --count;
}

void take_anyway(CardRoom& room, std::string_view type) {
  const TypeRoom* const of_type = find_type(room, type);
  if (!of_type) return;
  TypeRoom& found = room.types[static_cast<size_t>(of_type - room.types.data())];
  lower(room.left, found.cost);
  if (room.left_at_most) lower(*room.left_at_most, found.cost);
  decrement(found.available);
  decrement(found.at_most);
  if (room.slots) decrement(*room.slots);
  room.present.push_back(found.id);
  if (!found.mig_slices) return;
  // Another type of as many slices may need the same GPU instance.
  for (TypeRoom& other : room.types)
    if (&other != &found && other.mig_slices == found.mig_slices) other.available = 0;
}

bool is_surely_full(const CardRoom& room, std::string_view type) {
  const TypeRoom* const found = find_type(room, type);
  if (!found) return false;
  if (required_size(room, *found) || below_most(room, *found) == 0) return true;
  if (room.slots == 0U || found->at_most == 0) return true;
  for (size_t unit = 0; room.left_at_most && unit < room.left_at_most->size(); ++unit)
    if ((*room.left_at_most)[unit] < found->cost[unit]) return true;
  return false;
}

static void raise_by(std::vector<uint64_t>& units, const std::vector<uint64_t>& cost) {
  for (size_t unit = 0; unit < units.size(); ++unit) units[unit] += cost[unit];
}

bool give_back(CardRoom& room, std::string_view type) {
  const TypeRoom* const found = find_type(room, type);
  if (!found || !room.is_exact) return false;
  const auto present = std::find(room.present.begin(), room.present.end(), found->id);
  if (present == room.present.end()) return false;
  room.present.erase(present);
  raise_by(room.left, found->cost);
  if (room.left_at_most) raise_by(*room.left_at_most, found->cost);
  if (room.slots) ++*room.slots;
  // The driver counted them while that one was there.
  for (TypeRoom& other : room.types) {
    other.at_most = most_available;
    const unsigned more = other.mig_slices ? other.available + (&other == found ? 1 : 0)
                                           : static_cast<unsigned>(fit_in_units(room, other));
    other.available = std::max(other.available, more);
  }
  return true;
}

std::string reason_full(const CardRoom& room, std::string_view type) {
  const TypeRoom* const found = find_type(room, type);
  if (!found) return {};
  if (const auto size = required_size(room, *found))
    return "all vGPUs of a card have the same memory size, here " + std::to_string(*size) +
           " MiB instead of " + std::to_string(found->size.value_or(0)) + " MiB";
  if (below_most(room, *found) == 0) return "max_instance is " + std::to_string(*found->most);
  if (room.slots == 0U) return "no VF without an instance remains";
  if (room.is_exact && found->size == found->cost.back() && room.left.back() < found->cost.back())
    return std::to_string(room.left.back()) + " MiB of memory remain and one requires " +
           std::to_string(found->cost.back()) + " MiB";
  if (found->available > 0) return "types of the card share its capacity";
  return "available_instances is " + std::to_string(found->reported);
}

}  // namespace gpuward
