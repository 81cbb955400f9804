// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/attach_requests.hpp"

#include <algorithm>

#include "allocation/fraction_host.hpp"
#include "allocation/offered_types.hpp"
#include "allocation/pool.hpp"
#include "allocation/reassignment.hpp"
#include "allocation/settled_now.hpp"
#include "attach/attach.hpp"
#include "attach/settle.hpp"
#include "base/error.hpp"
#include "base/joined.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "cli/host_offer.hpp"
#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "pci/iommu_group.hpp"

namespace gpuward {

std::vector<WantedGpus> require_requests(const Settings& settings, const Config& config,
                                         const std::vector<std::string>& words,
                                         const std::shared_ptr<AskedCards>& asked) {
  std::vector<Request> requests;
  requests.reserve(words.size());
  for (const std::string& word : words) requests.push_back(parse_request(word));
  const bool needs = std::any_of(requests.begin(), requests.end(),
                                 [&](const Request& each) { return needs_host(config, each); });
  const HostOffer offer = needs ? read_host_offer(settings.root, config, asked) : HostOffer{};
  std::vector<WantedGpus> gpus;
  gpus.reserve(requests.size());
  for (const Request& request : requests) gpus.push_back(resolve(config, offer, request));
  return gpus;
}

/// What the domain has by its XML.
static DevicesInUse own_devices(const Root& root, const Domain& domain) {
  std::vector<PciAddress> devices;
  std::vector<Uuid> instances;
  for (const Hostdev& hostdev : domain.hostdevs) {
    if (hostdev.address) devices.push_back(*hostdev.address);
    if (hostdev.instance) instances.push_back(*hostdev.instance);
  }
  DevicesInUse own;
  add_own_devices(root, domain.uuid, devices, instances, own);
  return own;
}

/// Why a device of the pool is not assigned to the domain.
static std::string why_not(const PoolDevice& device, const DeviceUse& use,
                           const std::string& domain) {
  const std::string name = to_string(device.address);
  if (const auto user = find_user(device, use.taken))
    return name + " is " +
           (user->what.empty() ? "assigned to " + domain_title(domain) : user->what);
  if (has_others_vgpu(device)) return name + " has a vGPU that gpuward did not create";
  if (!is_viable(device, use.own))
    return name + " is in an IOMMU group with " + to_string(device.host_bound_members.front()) +
           ", which is bound to a host driver";
  return name + " is not local to the domain's memory and CPUs";
}

static Error no_device(const Settings& settings, const Config& config, const Profile& profile,
                       const std::string& domain, const std::vector<PoolDevice>& pool) {
  const std::string hint = "run: gpuward list gpus";
  const std::string devices = joined(pool, ", ", [](const PoolDevice& device) {
    return to_string(device.address) +
           (has_others_vgpu(device) ? " has a vGPU that gpuward did not create" : "");
  });
  if (!pool.empty())
    return Error(title_of(profile),
                 "all devices are already assigned to " + domain_title(domain) + ": " + devices,
                 hint);
  return Error(title_of(profile),
               "no device on this host: " + explain_empty_pool(settings.root, config, profile),
               hint);
}

static Error none_to_assign(const Profile& profile, const std::vector<PoolDevice>& pool,
                            const DeviceUse& use, const std::string& domain) {
  const std::string reasons =
      joined(pool, "; ", [&](const PoolDevice& device) { return why_not(device, use, domain); });
  return Error(title_of(profile), "no GPU can be assigned: " + reasons, "run: gpuward list gpus");
}

/// Devices that the host itself uses: no domain, so a domain that is shut off makes none of them
/// available.
static DevicesInUse used_by_processes(const DevicesInUse& taken) {
  DevicesInUse used;
  for (const auto& [device, user] : taken)
    if (user.is_process) used.emplace(device, user);
  return used;
}

static void warn_of_host_programs(const PoolDevice& device, const DevicesInUse& taken) {
  for (const PciAddress& function : device.functions) {
    const auto user = taken.find(function);
    if (user == taken.end() || !user->second.is_process) continue;
    log::warning(to_string(function) + " is " + user->second.what +
                 "; the domain does not start before that process ends");
    return;
  }
}

static void warn_of_staying(const PoolDevice& device) {
  for (const PciAddress& function : device.staying)
    log::warning(to_string(function) + " is in the slot of " + to_string(device.address) +
                 " but in another IOMMU group, not assigned to the domain");
}

/// With a profile its author knows the card.
static void name_companions(const PoolDevice& device) {
  std::string names;
  for (const PciAddress& function : device.functions)
    if (function != device.address) names += (names.empty() ? "" : ", ") + to_string(function);
  if (!names.empty())
    log::warning(names + (device.functions.size() > 2 ? " are" : " is") +
                 " assigned to the domain with " + to_string(device.address) +
                 ", in the same slot and IOMMU group");
}

/// VFIO opens devices by their IOMMU group (Documentation/driver-api/vfio.rst).
static void warn_of_no_iommu(const Root& root, const PoolDevice& device) {
  if (!device.exists || iommu_group_of(root, device.address)) return;
  log::warning(to_string(device.address) +
               " has no IOMMU group, the domain does not start; enable the IOMMU in the firmware "
               "and with intel_iommu=on or amd_iommu=on on the kernel command line");
}

/// A vGPU on a VF that a domain has claimed goes with that domain.
static void forget_claimed_vgpus(const DevicesInUse& taken, std::vector<PoolDevice>& pool) {
  for (PoolDevice& device : pool) {
    const auto user = taken.find(device.address);
    if (user != taken.end() && user->second.domain) device.has_vgpu = false;
  }
}

/// `use` without what ends when domains are shut off: one device is shared with these until then.
/// Who wrote a profile meant its GPUs; a request that names none is never given one that the host
/// uses.
static DeviceUse shared_use(const Profile& profile, const std::vector<PoolDevice>& pool,
                            DeviceUse use, const DevicesInUse& own) {
  DevicesInUse used = used_by_processes(use.taken);
  use.taken = own;
  if (profile.is_configured)
    for (const PoolDevice& each : pool)
      use.own.insert(use.own.end(), each.host_bound_members.begin(), each.host_bound_members.end());
  else
    use.taken.merge(used);
  return use;
}

/// A GPU that attach adds and that is a PCI device.
struct PciGpu {
  Profile profile;
  std::vector<PoolDevice> pool;
};

static bool is_chosen(const PoolDevice& device, const std::vector<const PoolDevice*>& chosen) {
  return std::any_of(chosen.begin(), chosen.end(), [&](const PoolDevice* each) {
    return each && each->address == device.address;
  });
}

static std::vector<PciGpu> pci_gpus(const Settings& settings, const Config& config,
                                    const std::vector<WantedGpus>& gpus,
                                    const std::shared_ptr<AskedCards>& asked) {
  std::vector<PciGpu> found;
  KnownCards cards;
  if (asked) cards.asked = asked;
  for (const WantedGpus& wanted : gpus) {
    if (!gives_pci_devices(wanted.profile)) continue;
    const PciGpu gpu{wanted.profile, pool_of({settings.root, config, wanted.profile, cards})};
    found.insert(found.end(), wanted.count, gpu);
  }
  return found;
}

/// Devices that this command finds for requests that are equal to this one.
static std::vector<const PoolDevice*> chosen_for(const PciGpu& gpu, const std::vector<PciGpu>& gpus,
                                                 const std::vector<const PoolDevice*>& chosen) {
  std::vector<const PoolDevice*> devices;
  for (size_t number = 0; number < gpus.size(); ++number)
    if (chosen[number] && title_of(gpus[number].profile) == title_of(gpu.profile))
      devices.push_back(chosen[number]);
  return devices;
}

/// The same as none_to_assign(), of a request for several of which there are devices for some.
static Error too_few(const PciGpu& gpu, const std::vector<PciGpu>& gpus,
                     const std::vector<const PoolDevice*>& chosen, const DeviceUse& use,
                     const std::string& domain) {
  const auto requested = std::count_if(gpus.begin(), gpus.end(), [&](const PciGpu& other) {
    return title_of(other.profile) == title_of(gpu.profile);
  });
  std::string reasons;
  for (const PoolDevice& device : gpu.pool)
    if (!is_chosen(device, chosen))
      reasons += (reasons.empty() ? ": " : "; ") + why_not(device, use, domain);
  return Error(title_of(gpu.profile),
               "only " + std::to_string(chosen.size()) + " of " + std::to_string(requested) +
                   " GPUs can be assigned" + reasons,
               "run: gpuward list gpus");
}

/// Of vGPUs on VFs, where the domain is to have several GPUs and more than one card has room.
static void add_links(const Root& root, std::vector<PciGpu>& gpus, std::vector<GpuSpot>& beside,
                      AskedCards& asked) {
  std::vector<PoolDevice*> devices;
  if (gpus.size() + beside.size() < 2) return;
  for (PciGpu& gpu : gpus)
    for (PoolDevice& device : gpu.pool)
      if (is_typed_vf(gpu.profile.use) && !device.is_full) devices.push_back(&device);
  if (!devices.empty()) add_nvlinks(root, devices, beside, asked);
}

/// The best device of its pool for each or, when all are taken, one that the domain shares with
/// others until one of them is off.
static std::vector<PoolDevice> require_devices(const Settings& settings, const Config& config,
                                               const Domain& domain, std::vector<PciGpu> gpus,
                                               DeviceUse use, AskedCards& asked) {
  const DomainPlace place{domain.numa_nodes, domain.cpus};
  const DevicesInUse own = own_devices(settings.root, domain);
  use.own = pool_domain(config, domain).own;
  for (const auto& device : own) use.taken.insert(device);
  use.beside = spots_of(settings.root, assigned_devices(config, domain));
  add_links(settings.root, gpus, use.beside, asked);
  std::vector<DeviceRequest> requests;
  requests.reserve(gpus.size());
  for (const PciGpu& gpu : gpus) requests.push_back({gpu.profile, gpu.pool, use});
  std::vector<const PoolDevice*> chosen;
  choose_devices(requests, place, chosen);
  for (PciGpu& gpu : gpus) forget_claimed_vgpus(use.taken, gpu.pool);
  for (DeviceRequest& request : requests)
    request.use = shared_use(request.profile, request.pool, use, own);
  choose_devices(requests, place, chosen);
  std::vector<PoolDevice> devices;
  for (size_t number = 0; number < gpus.size(); ++number) {
    if (chosen[number]) {
      devices.push_back(*chosen[number]);
      continue;
    }
    const auto& [profile, pool] = gpus[number];
    const DeviceUse beside = use_beside_others(requests, chosen, number);
    if (const auto some = chosen_for(gpus[number], gpus, chosen); !some.empty())
      throw too_few(gpus[number], gpus, some, beside, domain.name);
    if (profile.is_configured || pool.empty())
      throw no_device(settings, config, profile, domain.name, pool);
    throw none_to_assign(profile, pool, beside, domain.name);
  }
  return devices;
}

static void warn_of_device(const Settings& settings, const WantedGpus& wanted,
                           const PoolDevice& device, const DevicesInUse& taken) {
  warn_of_host_programs(device, taken);
  if (!names_profile(wanted.request)) name_companions(device);
  warn_of_staying(device);
  warn_of_no_iommu(settings.root, device);
}

std::string with_gpus(const Settings& settings, const Config& config,
                      const std::vector<WantedGpus>& gpus, std::string xml, const DeviceUse& use,
                      const std::shared_ptr<AskedCards>& asked) {
  const auto cards = asked ? asked : std::make_shared<AskedCards>();
  const auto devices = require_devices(settings, config, parse_domain(xml),
                                       pci_gpus(settings, config, gpus, cards), use, *cards);
  auto device = devices.begin();
  for (const WantedGpus& wanted : gpus)
    for (unsigned number = 0; number < wanted.count; ++number) {
      const Profile& profile = wanted.profile;
      GpuToAttach gpu{
          wanted.request.profile, profile.console, profile.use, {}, wanted.request.settled};
      if (gives_pci_devices(profile)) {
        gpu.functions = device->functions;
        gpu.managed = is_managed(profile);
        warn_of_device(settings, wanted, *device++, use.taken);
      } else {
        gpu.model = hostdev_model(settings.root, profile.types);
      }
      xml = attach_gpu(xml, gpu);
    }
  return xml;
}

static bool is_fraction(const WantedGpus& wanted) {
  return wanted.profile.memory_mib.has_value();
}

/// Of a fraction with what serves it, which the words do not say.
static std::string title_of(const WantedGpus& wanted) {
  std::string title = (names_profile(wanted.request) ? "profile " : "request ") +
                      in_quotes(wanted.request.profile) +
                      (wanted.count > 1 ? ":" + std::to_string(wanted.count) : "");
  if (!is_fraction(wanted)) return title;
  const SettledRequest& settled = *wanted.request.settled;
  if (!settled.type.empty()) return title + " by type " + settled.type;
  const bool is_whole = traits_of(settled.use).is_whole_card;
  return title + " by " + (is_whole ? "whole GPU " : "VF of ") + settled.device;
}

std::string attached_text(const std::vector<WantedGpus>& gpus) {
  unsigned count = 0;
  for (const WantedGpus& wanted : gpus) count += wanted.count;
  const std::string titles =
      joined(gpus, ", ", [](const WantedGpus& wanted) { return title_of(wanted); });
  return (count == 1 ? "GPU" : std::to_string(count) + " GPUs") + " attached (" + titles + ")";
}

std::string with_requests_settled(const Settings& settings, const Config& config, std::string xml,
                                  std::shared_ptr<AskedCards> asked) {
  if (!asked) asked = std::make_shared<AskedCards>();
  for (const GpuRequest& gpu : parse_domain(xml).requests) {
    const auto now = settled_now(settings.root, config, gpu, asked);
    if (now && (now != gpu.settled || now->granted != gpu.settled->granted))
      xml = settle_request(xml, gpu.alias, *now, hostdev_model(settings.root, {now->type}));
  }
  return xml;
}

}  // namespace gpuward
