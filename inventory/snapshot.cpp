// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/snapshot.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/file.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/usage.hpp"
#include "mdev/provisioned.hpp"
#include "pci/card_facts.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

// ---- GPUs

/// The walk over a host's PCI functions. A host may have a thousand VFs: they are known from their
/// PF's links, before anything of their own is read.
struct GpuSearch {
  const Root& root;
  const Config& config;
  std::set<std::string> mdev_parents;
  std::set<PciAddress> vfs;  ///< of the GPUs found so far
  std::map<PciAddress, Gpu> found;
};

/// By address or vendor:device: [gpu *] makes no device a GPU.
static bool is_named(const GpuSearch& search, const PciAddress& address) {
  std::optional<Parent> device;  // read only for a section that wants its ids
  for (const GpuSection& section : search.config.gpus) {
    const auto by = section.selector.by;
    if (by == GpuSelector::By::address && section.selector.address == address) return true;
    if (by != GpuSelector::By::id) continue;
    if (!device) device = read_identity(pci_path(search.root, address), to_string(address));
    if (selects(section.selector, *device)) return true;
  }
  return false;
}

/// A function beside a GPU in its slot goes where it goes, and is no GPU of its own.
static bool is_companion(const GpuSearch& search, PciAddress address) {
  if (address.function == 0) return false;
  address.function = 0;
  return search.found.contains(address);
}

static bool is_gpu(const GpuSearch& search, const PciAddress& address, uint32_t pci_class) {
  if (search.mdev_parents.contains(to_string(address))) return true;
  if (is_gpu_class(pci_class)) return !is_companion(search, address);
  return is_named(search, address);
}

static void add_virtual_functions(GpuSearch& search, Gpu& gpu) {
  const PciAddress& address = *gpu.parent.address;
  gpu.most_vfs = total_vfs(search.root, address);
  if (gpu.most_vfs == 0) return;
  gpu.vfs = virtual_functions(search.root, address);
  search.vfs.insert(gpu.vfs.begin(), gpu.vfs.end());
  for (const PciAddress& vf : gpu.vfs)
    if (std::string name = to_string(vf); search.mdev_parents.erase(name))
      gpu.mdev_parents.push_back(std::move(name));
  gpu.offers_vgpus = !gpu.serves_mdevs() &&
                     std::any_of(gpu.vfs.begin(), gpu.vfs.end(),
                                 [&](const auto& vf) { return offers_vgpus(search.root, vf); });
}

/// A VF that its PF has no link to (a PF without sriov_totalvfs) is known by its own.
static bool add_to_physical_function(GpuSearch& search, const PciDevice& vf) {
  if (!vf.physical_function) return false;
  const auto card = search.found.find(*vf.physical_function);
  if (card == search.found.end()) return false;
  Gpu& gpu = card->second;
  gpu.vfs.push_back(vf.address);
  std::string name = to_string(vf.address);
  if (search.mdev_parents.erase(name)) gpu.mdev_parents.push_back(std::move(name));
  gpu.offers_vgpus =
      !gpu.serves_mdevs() && (gpu.offers_vgpus || offers_vgpus(search.root, vf.address));
  return true;
}

static void inspect(GpuSearch& search, const PciAddress& address) {
  if (search.vfs.contains(address)) return;
  const std::string name = to_string(address);
  const std::string path = search.root.sys("bus/pci/devices/") + name;
  const uint32_t pci_class = hex_number(read_attribute(path + "/class").value_or(""));
  if (!is_gpu(search, address, pci_class)) return;
  const auto device = find_pci_device(search.root, address);
  if (!device || add_to_physical_function(search, *device)) return;
  Gpu gpu{.parent = {{name, address, device->vendor, device->device}, device->numa_node},
          .pci_class = device->pci_class,
          .driver = device->driver,
          .iommu_group = device->iommu_group,
          .is_vf = device->physical_function.has_value()};
  if (search.mdev_parents.erase(name)) gpu.mdev_parents.push_back(name);
  add_virtual_functions(search, gpu);
  search.found[address] = std::move(gpu);
}

static std::string driver_of(const std::string& device_path) {
  const auto driver = read_link(device_path + "/driver");
  return driver ? std::string(base_name(*driver)) : std::string();
}

/// A program takes longer than all else that is read. Of a GPU that no section gives a use it is
/// asked for profiles that may have it.
static bool asks_programs(const Root& root, const Config& config, const Gpu& gpu,
                          KnownCards& cards) {
  if (const auto use = settings_of(config, gpu.parent).use) return traits_of(*use).needs_program;
  const auto serves_a_vf = [&](const Profile& profile) {
    return gpu.vfs.empty() ||
           std::any_of(gpu.vfs.begin(), gpu.vfs.end(), [&](const PciAddress& vf) {
             return serves(config, profile, read_identity(root, config, vf, cards));
           });
  };
  return std::any_of(config.profiles.begin(), config.profiles.end(), [&](const Profile& profile) {
    return traits_of(profile.use).needs_program && serves(config, profile, gpu.parent) &&
           serves_a_vf(profile);
  });
}

std::vector<Gpu> read_gpus(const Root& root, const Config& config,
                           const std::shared_ptr<AskedCards>& asked) {
  const auto parents = parent_names(root);
  GpuSearch search{root, config, {parents.begin(), parents.end()}, {}, {}};
  // In the order of their addresses a PF comes before its VFs, whose routing id is its own and
  // more, and function 0 before its companions.
  for (const PciAddress& address : pci_addresses(root)) inspect(search, address);
  std::vector<Gpu> gpus;
  for (auto& [address, gpu] : search.found) gpus.push_back(std::move(gpu));
  for (const std::string& name : search.mdev_parents)
    if (auto parent = find_parent(root, name))
      gpus.push_back({.parent = std::move(*parent),
                      .driver = driver_of(root.sys("class/mdev_bus/") + name),
                      .mdev_parents = {name}});
  KnownCards cards;
  for (Gpu& gpu : gpus) {
    read_card_facts(root, config, gpu.parent, cards);
    gpu.asks_programs = asks_programs(root, config, gpu, cards);
    gpu.asked = asked ? asked : cards.asked;
  }
  return gpus;
}

GpuDetails read_details(const Root& root, const Gpu& gpu) {
  GpuDetails details;
  if (!gpu.parent.address) return details;
  const PciAddress& address = *gpu.parent.address;
  details.companions = companions(root, address);
  details.group = iommu_group_of(root, address);
  if (details.group) {
    auto own = details.companions;
    own.push_back(address);
    details.viable = viability(root, *details.group, own);
  }
  details.identity = find_identity(root, address);
  details.health = find_health(root, address);
  return details;
}

// ---- instances

static std::string state_word(ClaimedDevice::State state, bool exists) {
  if (state == ClaimedDevice::State::quarantined) return "quarantined";
  return exists ? "in-use" : "missing";
}

static void add_claim(GpuInstance& view, const Claim& claim, const ClaimedDevice& device,
                      bool exists) {
  view.state = state_word(device.state, exists);
  view.exists = exists;
  view.device = device;
  view.domain = claim.name;
  view.domain_uuid = claim.domain;
}

using Views = std::map<std::string, GpuInstance>;

static void add_claimed_mdev(Views& views, const Claim& claim, const ClaimedDevice& device) {
  const std::string name = device_name(device);
  const auto found = views.find(name);
  const bool exists = found != views.end();
  // Someone removed what was claimed and made another of its UUID elsewhere.
  if (exists && found->second.instance.parent != device.parent) return;
  GpuInstance& view = views[name];
  if (!exists) view = {.instance = {device.instance, device.parent, device.type}, .name = name};
  add_claim(view, claim, device, exists);
}

static GpuInstance claimed_pci_device(const Root& root, const Claim& claim,
                                      const ClaimedDevice& device) {
  GpuInstance view{.instance = {{}, device.parent, device.type == "-" ? "" : device.type},
                   .name = device_name(device),
                   .use = device.use};
  add_claim(view, claim, device, exists(pci_path(root, device.address)));
  return view;
}

std::vector<GpuInstance> read_instances(const Root& root, const ClaimedDevices& claimed) {
  Views mdevs;
  std::vector<GpuInstance> result, pci_devices;
  ProvisionedUuids provisioned;
  for (Instance& instance : list_instances(root)) {
    std::string name = to_string(instance.uuid);
    mdevs[name] = {.instance = std::move(instance), .name = name};
  }
  for (const Claim& claim : claimed.with_quarantined())
    for (const ClaimedDevice& device : claim.devices)
      if (is_mediated(device.use))
        add_claimed_mdev(mdevs, claim, device);
      else
        pci_devices.push_back(claimed_pci_device(root, claim, device));
  for (auto& [name, view] : mdevs) {
    if (view.state.empty())
      view.state = provisioned.contains(view.instance) ? "provisioned"
                   : claimed.unreadable.empty()        ? "external"
                                                       : "unknown";
    result.push_back(std::move(view));
  }
  std::sort(pci_devices.begin(), pci_devices.end(),
            [](const auto& a, const auto& b) { return a.device->address < b.device->address; });
  std::move(pci_devices.begin(), pci_devices.end(), std::back_inserter(result));
  return result;
}

// ---- what of a GPU is in use

/// vGPUs that others set are known by their VFs alone.
static void add_vgpus(const Root& root, const Gpu& gpu, GpuUse& use) {
  if (!gpu.offers_vgpus) return;
  for (const PciAddress& vf : gpu.vfs)
    if (const unsigned id = current_vgpu(root, vf).value_or(0)) {
      use.vgpus.emplace(vf, id);
      use.vfs.insert(to_string(vf));
    }
}

std::map<std::string, GpuUse> use_of_gpus(const Root& root, const std::vector<Gpu>& gpus,
                                          const std::vector<GpuInstance>& instances) {
  std::map<std::string, GpuUse> uses;
  std::map<std::string, std::string> gpu_of_vf;
  for (const Gpu& gpu : gpus) {
    GpuUse& use = uses[gpu.parent.name];
    for (const PciAddress& vf : gpu.vfs) gpu_of_vf[to_string(vf)] = gpu.parent.name;
    add_vgpus(root, gpu, use);
  }
  for (size_t at = 0; at < instances.size(); ++at) {
    const GpuInstance& view = instances[at];
    // The parent of an mdev may be a VF; that of a claimed VF is its PF.
    const std::string& parent = view.instance.parent;
    const auto of_vf = gpu_of_vf.find(parent);
    const auto gpu = uses.find(of_vf == gpu_of_vf.end() ? parent : of_vf->second);
    if (gpu == uses.end()) continue;  // a companion, or the GPU went
    ++gpu->second.instances;
    gpu->second.at.push_back(at);
    if (of_vf != gpu_of_vf.end()) gpu->second.vfs.insert(parent);
    if (gpu_of_vf.contains(view.name)) gpu->second.vfs.insert(view.name);
    if (!view.domain.empty()) gpu->second.domains.insert(view.domain);
  }
  return uses;
}

Host read_host(const Root& root, const Config& config, const std::shared_ptr<AskedCards>& asked) {
  Host host{read_gpus(root, config, asked), {}, claimed_devices(root)};
  host.instances = read_instances(root, host.claimed);
  return host;
}

}  // namespace gpuward
