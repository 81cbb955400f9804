// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/vf_part.hpp"

#include <algorithm>
#include <cstdint>

#include "base/file.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

/// As the driver has it now; it may refuse (EUCLEAN where the tiles differ).
static std::optional<uint64_t> number_in(const std::string& path) {
  return to_number<uint64_t>(read_optional_attribute(path).value_or(""));
}

std::optional<unsigned> vf_memory(const Root& root, const PciAddress& pf, const PciAddress& vf) {
  const auto vfs = virtual_functions(root, pf);
  const auto found = std::find(vfs.begin(), vfs.end(), vf);
  if (found == vfs.end()) return {};
  const auto number = static_cast<unsigned>(found - vfs.begin()) + 1;  // xe counts VFs from 1
  const auto bytes = number_in(vf_profile_path(root, pf, number, "vram_quota"));
  const uint64_t mib = bytes.value_or(0) >> 20;
  if (mib == 0 || mib > ~0U) return {};
  return static_cast<unsigned>(mib);
}

/// Nothing, and why in `turns`, where it has no quantum.
static std::optional<VfTurns::Turn> turn_of(const VfProfile& profile, const std::string& name,
                                            VfTurns& turns) {
  constexpr unsigned longest = 1'000'000;  // far more than the driver takes
  const auto quantum = profile.exec_quantum_ms;
  const std::string& priority = profile.sched_priority;
  if (!quantum || *quantum > longest)
    turns.unknown = "the driver does not report the execution quantum of " + name;
  else if (*quantum == 0)
    turns.unknown = name + " has no execution quantum";
  else if (priority != "low" && priority != "normal")
    turns.unknown =
        "scheduling priority of " + name + " is " + (priority == "high" ? "high" : "unknown");
  else
    return VfTurns::Turn{profile.address, *quantum};
  return {};
}

VfTurns turns_of(const std::vector<VfProfile>& profiles) {
  VfTurns turns;
  for (const VfProfile& profile : profiles) {
    const bool is_pf = &profile == &profiles.front();
    const auto turn =
        turn_of(profile, is_pf ? "the PF" : "VF " + to_string(profile.address), turns);
    if (!turn) return turns;
    turns.round_ms += turn->quantum_ms;
    if (!is_pf) turns.turns.push_back(*turn);
  }
  return turns;
}

static const VfTurns::Turn* find_turn(const VfTurns& turns, const PciAddress& vf) {
  if (!turns.unknown.empty()) return nullptr;
  for (const VfTurns::Turn& turn : turns.turns)
    if (turn.vf == vf) return &turn;
  return nullptr;
}

std::optional<unsigned> vf_share(const VfTurns& turns, const PciAddress& vf) {
  const VfTurns::Turn* const turn = find_turn(turns, vf);
  if (!turn) return {};
  return static_cast<unsigned>(uint64_t{100} * turn->quantum_ms / turns.round_ms);
}

}  // namespace gpuward
