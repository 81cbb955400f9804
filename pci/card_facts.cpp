// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/card_facts.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_settings.hpp"
#include "config/names.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

using By = GpuSelector::By;

GpuFact serial_fact(const Identity& identity, bool is_root) {
  GpuFact fact{{}, ""};
  bool has_number_of_pcie = false;
  for (const std::string& serial : identity.serials) {
    has_number_of_pcie = has_number_of_pcie || serial.find('-') != std::string::npos;
    fact.values.push_back(lower_case(serial));
  }
  if (identity.unread)
    fact.unknown = "cannot be read: the card sleeps or does not answer";
  else if (identity.lacks_driver_serial)
    fact.unknown = "cannot be read: amdgpu is not bound to the card";
  else if (!is_root && !has_number_of_pcie)
    fact.unknown = "cannot be read: only root can";
  return fact;
}

GpuFact uuid_fact(const Identity& identity, uint16_t vendor) {
  constexpr uint16_t nvidia = 0x10de;
  if (identity.uuid) return {{*identity.uuid}, ""};
  if (vendor != nvidia) return {{}, ""};
  return {{},
          identity.is_unstarted ? "cannot be read: NVIDIA's driver has not started the card"
                                : "cannot be read: NVIDIA's driver is not bound to the card"};
}

static GpuFact known(const std::optional<std::string>& value) {
  GpuFact fact{{}, ""};
  if (value) fact.values.push_back(lower_case(*value));
  return fact;
}

static bool is_gpu_function(const Root& root, const PciAddress& address, KnownCards& cards) {
  const auto [known, is_new] = cards.are_gpus.try_emplace(address, false);
  if (is_new)
    known->second =
        is_gpu_class(hex_number(read_attribute(pci_path(root, address) + "/class").value_or("")));
  return known->second;
}

bool is_companion(const Root& root, const PciAddress& address, KnownCards& cards) {
  return address.function != 0 &&
         is_gpu_function(root, {address.domain, address.bus, address.slot, 0}, cards);
}

/// Whether selectors by marks speak of it at all.
static bool has_facts(const Root& root, const Config& config, const GpuId& gpu,
                      const PciAddress& card, KnownCards& cards) {
  const bool is_declared =
      std::any_of(config.gpus.begin(), config.gpus.end(),
                  [&](const GpuSection& section) { return declares_gpu(section.selector, gpu); });
  if (is_declared) return true;
  if (is_gpu_function(root, card, cards)) return !is_companion(root, card, cards);
  return exists(pci_path(root, *gpu.address) + "/mdev_supported_types");
}

/// Whether a selector of the configuration is by one of these serial numbers.
static bool is_selected_by(const Config& config, const std::vector<std::string>& serials) {
  GpuId gpu{.address = PciAddress{}};
  gpu.card.serial = {serials, ""};
  const auto fits = [&](const GpuSelector& selector) {
    return selector.by == By::serial && selects(selector, gpu);
  };
  return std::any_of(config.gpus.begin(), config.gpus.end(),
                     [&](const GpuSection& section) { return fits(section.selector); }) ||
         std::any_of(config.profiles.begin(), config.profiles.end(), [&](const Profile& profile) {
           return std::any_of(profile.gpus.begin(), profile.gpus.end(), fits);
         });
}

/// What a driver refuses to tell is unknown.
static GpuFact read_serials(const Root& root, const PciAddress& card) try {
  return serial_fact(find_identity(root, card, Sleepers::leave, {.serial = true}),
                     ::geteuid() == 0);
} catch (const SystemError& error) {
  return {{}, "cannot be read: " + errno_text(error.code)};
}

static const GpuFact& own_serials(const Root& root, const PciAddress& card, KnownCards& cards) {
  const auto known = cards.serials.find(card);
  if (known != cards.serials.end()) return known->second;
  return cards.serials.emplace(card, read_serials(root, card)).first->second;
}

static bool is_same_slot(const PciAddress& one, const PciAddress& other) {
  return one.domain == other.domain && one.bus == other.bus && one.slot == other.slot;
}

static const std::vector<PciAddress>& gpus_of(const Root& root, const Config& config,
                                              KnownCards& cards) {
  if (cards.gpus) return *cards.gpus;
  cards.gpus.emplace();
  for (const PciAddress& address : pci_addresses(root)) {
    // VFs first, of which there may be a thousand.
    if (read_link(pci_path(root, address) + "/physfn")) continue;
    const GpuId gpu = read_identity(pci_path(root, address), to_string(address));
    if (has_facts(root, config, gpu, address, cards)) cards.gpus->push_back(address);
  }
  return *cards.gpus;
}

/// Another GPU of the host with one of these numbers: boards with two GPUs, and some cards without
/// a number of their own, have one in common.
static std::optional<PciAddress> other_with(const Root& root, const Config& config,
                                            const PciAddress& card,
                                            const std::vector<std::string>& serials,
                                            KnownCards& cards) {
  for (const PciAddress& address : gpus_of(root, config, cards)) {
    if (is_same_slot(address, card)) continue;
    const GpuFact& other = own_serials(root, address, cards);
    if (std::find_first_of(other.values.begin(), other.values.end(), serials.begin(),
                           serials.end()) != other.values.end())
      return address;
  }
  return {};
}

static GpuFact serials_of(const Root& root, const Config& config, const PciAddress& card,
                          KnownCards& cards) {
  GpuFact fact = own_serials(root, card, cards);
  if (!is_selected_by(config, fact.values)) return fact;
  if (const auto other = other_with(root, config, card, fact.values, cards))
    return {{}, "is also that of GPU " + to_string(*other), true};
  return fact;
}

static GpuFact iommu_group_fact(const Root& root, const PciAddress& card) {
  const auto link = read_link(pci_path(root, card) + "/iommu_group");
  return known(link ? std::optional(std::string(base_name(*link))) : std::nullopt);
}

static CardFacts read_facts(const Root& root, const Config& config, const PciAddress& card,
                            uint16_t vendor, KnownCards& cards) {
  const GpuFact none{{}, ""};
  CardFacts facts{none, none, none, none, none};
  if (has_selector(config, By::serial)) facts.serial = serials_of(root, config, card, cards);
  const IdentityParts parts{.uuid = has_selector(config, By::uuid),
                            .subsystem = has_selector(config, By::subsystem),
                            .slot = has_selector(config, By::slot)};
  const Identity identity = find_identity(root, card, Sleepers::leave, parts);
  if (parts.uuid) facts.uuid = uuid_fact(identity, vendor);
  facts.subsystem = known(identity.subsystem);
  facts.slot = known(identity.slot);
  if (has_selector(config, By::iommu_group)) facts.iommu_group = iommu_group_fact(root, card);
  return facts;
}

void read_card_facts(const Root& root, const Config& config, GpuId& gpu, KnownCards& cards) {
  if (!needs_facts(config)) return;
  const GpuFact none{{}, ""};
  gpu.card = {none, none, none, none, none};
  if (!gpu.address) return;
  const PciAddress card = gpu.physical_function.value_or(*gpu.address);
  if (!has_facts(root, config, gpu, card, cards)) return;
  auto found = cards.facts.find(card);
  if (found == cards.facts.end()) {
    const uint16_t vendor = gpu.physical_function ? gpu.card_vendor : gpu.vendor;
    found = cards.facts.emplace(card, read_facts(root, config, card, vendor, cards)).first;
  }
  gpu.card = found->second;
}

Parent read_identity(const Root& root, const Config& config, const PciAddress& address,
                     KnownCards& cards) {
  Parent parent = read_identity(pci_path(root, address), to_string(address));
  read_card_facts(root, config, parent, cards);
  return parent;
}

static uint16_t read_id(const std::string& path) {
  return static_cast<uint16_t>(hex_number(read_attribute(path).value_or("")));
}

Parent read_identity(const Root& root, const Config& config, const PciDevice& device,
                     KnownCards& cards) {
  Parent parent{{.name = to_string(device.address),
                 .address = device.address,
                 .vendor = device.vendor,
                 .device = device.device,
                 .physical_function = device.physical_function},
                device.numa_node};
  if (device.physical_function) {
    const std::string card = pci_path(root, *device.physical_function);
    parent.card_vendor = read_id(card + "/vendor");
    parent.card_device = read_id(card + "/device");
  }
  read_card_facts(root, config, parent, cards);
  return parent;
}

std::optional<Parent> find_parent(const Root& root, const Config& config, const std::string& name,
                                  KnownCards& cards) {
  auto parent = find_parent(root, name);
  if (parent) read_card_facts(root, config, *parent, cards);
  return parent;
}

void read_card_facts(const Root& root, const Config& config, GpuId& gpu) {
  KnownCards cards;
  read_card_facts(root, config, gpu, cards);
}

Parent read_identity(const Root& root, const Config& config, const PciAddress& address) {
  KnownCards cards;
  return read_identity(root, config, address, cards);
}

std::optional<Parent> find_parent(const Root& root, const Config& config, const std::string& name) {
  KnownCards cards;
  return find_parent(root, config, name, cards);
}

}  // namespace gpuward
