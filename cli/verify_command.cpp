// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/device_share.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/verify.hpp"
#include "config/config_parser.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/gpu_types.hpp"
#include "kinds/mig_part.hpp"
#include "kinds/types.hpp"
#include "pci/card_facts.hpp"
#include "pci/pci_device.hpp"
#include "pci/vf_profile.hpp"
#include "pci/virtual_functions.hpp"
#include "state/vf_settings.hpp"

namespace gpuward {

static Claim require_claim(const Root& root, const std::string& domain) {
  const ClaimedDevices claimed = claimed_devices(root);
  for (const Claim& claim : claimed.claims)
    if ((claim.name == domain || to_string(claim.domain) == domain) && !claim.devices.empty())
      return claim;
  for (const UnreadableClaim& unreadable : claimed.unreadable)
    throw Error(unreadable_reason(unreadable));
  throw Error(domain_title(domain), "no GPU is claimed; only a running domain has a claim",
              "run: gpuward list domains");
}

static void read_profile(const Root& root, const ClaimedDevice& device, DeviceModel& model) {
  const auto card = parse_pci_address(device.parent);
  if (!card) return;
  const auto profiles = vf_profiles(root, *card);
  for (const VfProfile& profile : profiles)
    if (profile.address == device.address) model.profile = profile;
  model.vf_limits = limits_of_vf(profiles, device.address);
}

static DeviceModel model_of(const Root& root, const ClaimedDevice& device) {
  DeviceModel model;
  const bool has_type = traits_of(device.use).has_types;
  const auto address =
      is_mediated(device.use) ? parse_pci_address(device.parent) : std::optional(device.address);
  if (const auto pci = address ? find_pci_device(root, *address) : std::nullopt) {
    model.vendor = pci->vendor;
    model.device = pci->device;
  }
  const auto card = parse_pci_address(device.parent);
  if (const auto pci = card ? find_pci_device(root, *card) : std::nullopt)
    model.driver = pci->driver;
  if (has_type) {
    model.type = type_of(root, device, device.type);
    model.types = types_of_card(root, device);
  }
  if (traits_of(device.use).has_vf_quota) read_profile(root, device, model);
  return model;
}

/// What the VF was enabled with, whatever the configuration has by now.
static ExpectedQuota quota_of(const Root& root, const ClaimedDevice& device) {
  const auto card = parse_pci_address(device.parent);
  if (!traits_of(device.use).has_vf_quota) return {};
  if (!card) return {{}, "the claim names no card of the VF"};
  const RecordedVfs recorded = recorded_vfs(root, *card, virtual_functions(root, *card).size());
  if (const auto quota = recorded_quota(recorded)) return {*quota, {}};
  if (recorded.writer) return {{}, to_string(still_changing(recorded.writer))};
  return {{}, "a change of the VFs of " + device.parent + " failed; check: journalctl -k"};
}

static std::string pending_of(const Root& root, const LoadedConfig& loaded,
                              const ClaimedDevice& device, const ExpectedQuota& set) {
  const auto card = parse_pci_address(device.parent);
  if (!traits_of(device.use).has_vf_quota || !card || !set.unknown.empty()) return {};
  const std::string unknown = "what the configuration has for the VFs is unknown: ";
  if (!loaded.problems.empty()) return unknown + "gpuward.conf has errors; run: gpuward check";
  const GpuSettings settings =
      settings_of(loaded.config, read_identity(root, loaded.config, *card));
  if (!settings.unclear.problem.empty()) return unknown + to_string(settings.unclear);
  return pending_quota(device.parent, set.quota, settings.quota);
}

/// Of a device that has a part of its card made for it alone.
static DeviceFacts facts_of_part(const Root& root, const ClaimedDevice& device, AskedCards& asked) {
  const auto card = parse_pci_address(device.parent);
  if (!traits_of(device.use).needs_program || !card) return {};
  if (device.part.empty()) return part_facts(device, {});
  try {
    return part_facts(device, asked.read(root, *card));
  } catch (const Error& error) {
    return part_facts(device, {}, error.reason.problem);
  }
}

/// What it is guaranteed by the scheduler that is in force now.
static DeviceFacts facts_of_share(const Root& root, const ClaimedDevice& device,
                                  AskedCards& asked) {
  using State = DeviceFact::State;
  const auto share = promised_share(root, device, device.type, asked);
  if (!share) return {};
  const std::string promised = std::to_string(*device.compute_percent) + " %";
  DeviceFact fact{State::ok, "share of the compute units", promised, "guaranteed", {}};
  if (!share->refusal.empty()) {
    fact.state = share->is_unknown ? State::unknown : State::differs;
    fact.found = share->is_unknown ? "" : share->refusal;
    fact.reason = share->is_unknown ? share->refusal : "";
  }
  return {std::move(fact)};
}

static VerifiedDevice verify(const Root& root, const Uuid& domain, const LoadedConfig& loaded,
                             const std::vector<PciAddress>& own, const OpenDevices& open,
                             const ClaimedDevice& device, AskedCards& asked) {
  const DeviceReadings found = read_back(root, domain, device, own, open);
  const ExpectedQuota set = quota_of(root, device);
  const DeviceModel model = model_of(root, device);
  DeviceFacts facts = compare(device, set, found);
  for (DeviceFact& fact : facts_of_part(root, device, asked)) facts.push_back(std::move(fact));
  for (DeviceFact& fact : facts_of_share(root, device, asked)) facts.push_back(std::move(fact));
  return {device, std::move(facts), limits_of(device, model), pending_of(root, loaded, device, set),
          guest_check(device, model)};
}

int verify_command(const Settings& settings, const std::string& domain) {
  const Root& root = settings.root;
  const Claim claim = require_claim(root, domain);
  const LoadedConfig loaded = load_host_config(root);
  const OpenDevices open(root);
  std::vector<PciAddress> own;
  for (const ClaimedDevice& device : claim.devices)
    if (is_pci(device.use)) own.push_back(device.address);
  AskedCards asked;
  std::vector<VerifiedDevice> devices;
  for (const ClaimedDevice& device : claim.devices)
    if (device.state == ClaimedDevice::State::claimed)
      devices.push_back(verify(root, claim.domain, loaded, own, open, device, asked));
  if (devices.empty())
    throw Error(domain_title(claim.name), "all GPUs of the claim are quarantined",
                "run: gpuward reconcile");
  if (settings.json)
    print_json(settings.json, "verify", verify_json(claim, devices));
  else
    print_lines(verify_text(claim, devices));
  return exit_status(state_of(devices));
}

}  // namespace gpuward
