// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/device_share.hpp"

#include <utility>

#include "allocation/fraction.hpp"
#include "base/error.hpp"
#include "base/utf8.hpp"
#include "inventory/gpu_types.hpp"
#include "kinds/type_limit.hpp"
#include "kinds/types.hpp"
#include "pci/vf_part.hpp"

namespace gpuward {

SchedulerAnswer read_scheduler(const Root& root, const PciAddress& card, AskedCards& asked) try {
  return {asked.read(root, card).scheduler, {}};
} catch (const NoNvml&) {
  return {};
} catch (const Error& error) {
  return {{}, error.reason.problem};
}

/// Of a VF by the turns that the driver gives it now.
static PromisedShare promised_turn(const Root& root, const ClaimedDevice& device) {
  const auto pf = parse_pci_address(device.parent);
  const VfTurns turns = pf ? turns_of(vf_profiles(root, *pf)) : VfTurns{};
  const auto share = vf_share(turns, device.address);
  if (!share)
    return {"no share of the compute units is guaranteed" +
                (turns.unknown.empty() ? "" : ": " + turns.unknown),
            true};
  if (*share >= *device.compute_percent) return {};
  return {"VF is guaranteed " + std::to_string(*share) + " % of the compute units"};
}

std::optional<PromisedShare> promised_share(const Root& root, const ClaimedDevice& device,
                                            const std::string& type, AskedCards& asked) {
  if (!device.compute_percent || traits_of(device.use).needs_program) return {};
  if (traits_of(device.use).has_vf_quota) return promised_turn(root, device);
  const std::string name = card_of(root, device);
  const auto card = parse_pci_address(name);
  const GpuType own = type_of(root, device, type);
  if (own.of_mig) return {};
  if (!card || !own.memory_mib)
    return PromisedShare{"the driver of " + name + " does not list type " + printable(type), true};
  Gpu itself;
  itself.parent.address = card;
  FractionGpu gpu{.name = name};
  gpu.types = types_of_card(root, device);
  gpu.memory_mib = total_memory(root, itself, gpu.types);
  if (!is_scheduled(own, gpu)) {  // nor does a scheduler change it, but metadata edited by hand may
    std::string refusal = share_refusal(*device.compute_percent, own, gpu);
    if (refusal.empty()) return {};
    return PromisedShare{std::move(refusal), false};
  }
  SchedulerAnswer answer = read_scheduler(root, *card, asked);
  gpu.scheduler = answer.scheduler;
  gpu.scheduler_problem = std::move(answer.problem);
  return PromisedShare{share_refusal(*device.compute_percent, own, gpu), !gpu.scheduler};
}

}  // namespace gpuward
