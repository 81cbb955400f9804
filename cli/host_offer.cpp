// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/host_offer.hpp"

#include <algorithm>

#include "allocation/fraction_host.hpp"
#include "allocation/offered_types.hpp"
#include "cli/gpu_model.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/kind.hpp"

namespace gpuward {

HostOffer read_host_offer(const Root& root, const Config& config,
                          std::shared_ptr<AskedCards> asked) {
  if (!asked) asked = std::make_shared<AskedCards>();
  const auto gpus = read_gpus(root, config, asked);
  OfferedTypes offered = offered_types(root, config, gpus);
  HostOffer offer{
      std::move(offered.types), {}, std::move(offered.partly_listed), std::move(offered.unknown)};
  HardwareNames names;
  for (const Gpu& gpu : gpus) {
    const auto kinds = kinds_of(gpu);
    if (std::none_of(kinds.begin(), kinds.end(),
                     [](Use kind) { return traits_of(kind).is_whole_card; }))
      continue;
    const ModelName name = model_name(names, gpu, gpus);
    offer.models.push_back({name.brief, name.full, pci_id(gpu)});
  }
  offer.fraction_gpus = [&root, &config, asked](const FractionRequest& request,
                                                const std::vector<GpuSelector>& selectors) {
    return fraction_gpus(root, config, read_host(root, config, asked), request, selectors);
  };
  return offer;
}

}  // namespace gpuward
