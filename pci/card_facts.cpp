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
  return {{}, vendor == nvidia ? "cannot be read: NVIDIA's driver is not bound to the card" : ""};
}

static GpuFact known(const std::optional<std::string>& value) {
  GpuFact fact{{}, ""};
  if (value) fact.values.push_back(lower_case(*value));
  return fact;
}

static bool is_gpu_function(const Root& root, const PciAddress& address) {
  return is_gpu_class(hex_number(read_attribute(pci_path(root, address) + "/class").value_or("")));
}

/// A function beside a GPU in its slot is its companion: PCIe gives all functions of a card one
/// serial number.
static bool is_companion(const Root& root, const PciAddress& address) {
  return address.function != 0 &&
         is_gpu_function(root, {address.domain, address.bus, address.slot, 0});
}

/// Whether selectors by marks speak of it at all.
static bool has_facts(const Root& root, const Config& config, const GpuId& gpu,
                      const PciAddress& card) {
  const bool is_declared =
      std::any_of(config.gpus.begin(), config.gpus.end(),
                  [&](const GpuSection& section) { return declares_gpu(section.selector, gpu); });
  if (is_declared) return true;
  if (is_gpu_function(root, card)) return !is_companion(root, card);
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

static bool is_same_slot(const PciAddress& one, const PciAddress& other) {
  return one.domain == other.domain && one.bus == other.bus && one.slot == other.slot;
}

/// Another GPU of the host with one of these numbers: boards with two GPUs, and some cards without
/// a number of their own, have one in common.
static std::optional<PciAddress> other_with(const Root& root, const Config& config,
                                            const PciAddress& card,
                                            const std::vector<std::string>& serials) {
  for (const PciAddress& address : pci_addresses(root)) {
    // VFs first, of which there may be a thousand.
    if (is_same_slot(address, card) || read_link(pci_path(root, address) + "/physfn")) continue;
    const GpuId gpu = read_identity(pci_path(root, address), to_string(address));
    if (!has_facts(root, config, gpu, address)) continue;
    const GpuFact other = read_serials(root, address);
    if (std::find_first_of(other.values.begin(), other.values.end(), serials.begin(),
                           serials.end()) != other.values.end())
      return address;
  }
  return {};
}

static GpuFact serials_of(const Root& root, const Config& config, const PciAddress& card) {
  GpuFact fact = read_serials(root, card);
  if (!is_selected_by(config, fact.values)) return fact;
  if (const auto other = other_with(root, config, card, fact.values))
    return {{}, "is also that of GPU " + to_string(*other)};
  return fact;
}

static GpuFact iommu_group_fact(const Root& root, const PciAddress& card) {
  const auto link = read_link(pci_path(root, card) + "/iommu_group");
  return known(link ? std::optional(std::string(base_name(*link))) : std::nullopt);
}

void read_card_facts(const Root& root, const Config& config, GpuId& gpu) {
  if (!needs_facts(config)) return;
  const GpuFact none{{}, ""};
  gpu.card = {none, none, none, none, none};
  if (!gpu.address) return;
  const PciAddress card = gpu.physical_function.value_or(*gpu.address);
  if (!has_facts(root, config, gpu, card)) return;
  if (has_selector(config, By::serial)) gpu.card.serial = serials_of(root, config, card);
  const IdentityParts parts{.uuid = has_selector(config, By::uuid),
                            .subsystem = has_selector(config, By::subsystem),
                            .slot = has_selector(config, By::slot)};
  const Identity identity = find_identity(root, card, Sleepers::leave, parts);
  if (parts.uuid)
    gpu.card.uuid = uuid_fact(identity, gpu.physical_function ? gpu.card_vendor : gpu.vendor);
  gpu.card.subsystem = known(identity.subsystem);
  gpu.card.slot = known(identity.slot);
  if (has_selector(config, By::iommu_group)) gpu.card.iommu_group = iommu_group_fact(root, card);
}

Parent read_identity(const Root& root, const Config& config, const PciAddress& address) {
  Parent parent = read_identity(pci_path(root, address), to_string(address));
  read_card_facts(root, config, parent);
  return parent;
}

std::optional<Parent> find_parent(const Root& root, const Config& config, const std::string& name) {
  auto parent = find_parent(root, name);
  if (parent) read_card_facts(root, config, *parent);
  return parent;
}

}  // namespace gpuward
