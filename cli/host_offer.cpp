// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/host_offer.hpp"

#include <algorithm>

#include "allocation/offered_types.hpp"
#include "cli/gpu_model.hpp"
#include "inventory/snapshot.hpp"

namespace gpuward {

HostOffer read_host_offer(const Root& root, const Config& config) {
  const auto gpus = read_gpus(root, config);
  HostOffer offer{offered_types(root, gpus), {}};
  offer.may_hide_types =
      std::any_of(gpus.begin(), gpus.end(), [](const Gpu& gpu) { return gpu.offers_vgpus; });
  HardwareNames names;
  for (const Gpu& gpu : gpus) {
    const auto kinds = kinds_of(gpu);
    if (std::find(kinds.begin(), kinds.end(), Use::whole) == kinds.end()) continue;
    const ModelName name = model_name(names, gpu, gpus);
    offer.models.push_back({name.brief, name.full, pci_id(gpu)});
  }
  return offer;
}

}  // namespace gpuward
