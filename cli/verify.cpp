// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/verify.hpp"

#include <cinttypes>
#include <cstdio>

#include "allocation/fraction.hpp"
#include "base/quote.hpp"
#include "base/utf8.hpp"

namespace gpuward {

using nlohmann::json;
using State = DeviceFact::State;

// ---- the guest

static constexpr uint16_t nvidia = 0x10de;

/// The guest's driver keeps a part of a vGPU's memory for itself: of 2048 MiB 1856 are left, of
/// 1024 MiB 896 (nvidia-vgpud's log, github.com/DualCoder/vgpu_unlock#70). The name is the type's.
static GuestCheck check_of_vgpu(const GpuType& type) {
  const std::string command = "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader";
  if (type.name.empty() || !type.memory_mib)
    return {command, "unknown: the driver of the host does not report name and memory of the type"};
  return {command,
          "name " + type.name + "; memory at most " + std::to_string(*type.memory_mib) +
              " MiB (nominal; the guest's driver reserves a part, so that less is usable)"};
}

/// drivers/gpu/drm/xe/xe_vram.c prints what a VF was provisioned with as its physical size.
static GuestCheck check_of_xe_vf(uint64_t bytes) {
  char size[24];
  std::snprintf(size, sizeof size, "0x%016" PRIx64, bytes);
  return {"journalctl -k -g 'VRAM.*Actual physical size'",
          "Actual physical size " + std::string(size) + " (" + std::to_string(bytes >> 20) +
              " MiB, all of it usable)"};
}

static GuestCheck check_of_pci_device(const DeviceModel& model) {
  char id[16];
  std::snprintf(id, sizeof id, "%04x:%04x", model.vendor, model.device);
  return {"lspci -n -d " + std::string(id),
          "one line for each such device of the domain; its memory is unknown to the host"};
}

GuestCheck guest_check(const ClaimedDevice& device, const DeviceModel& model) {
  const bool has_type = traits_of(device.use).has_types;
  if (has_type && model.vendor == nvidia) return check_of_vgpu(model.type);
  if (has_type)
    return {"", model.type.memory_mib
                    ? std::to_string(*model.type.memory_mib) + " MiB of video memory"
                    : "unknown: the driver of the host does not report the memory of the type"};
  if (traits_of(device.use).has_vf_quota && model.driver == "xe" && model.vram_quota)
    return check_of_xe_vf(*model.vram_quota);
  return check_of_pci_device(model);
}

// ---- limits

static std::vector<std::string> limits_of_card() {
  const Limits whole = limits_of_whole();
  return {"memory of the card: " + to_string(whole.memory),
          "compute units of the card: " + to_string(whole.compute)};
}

/// Which scheduler NVIDIA's driver runs is not known here.
static void add_limits_of_type(const DeviceModel& model, std::vector<std::string>& limits) {
  const GpuType& type = model.type;
  const Limits of_type = limits_of(type, FractionGpu{.name = {}, .types = model.types});
  const bool is_known = of_type.memory.kind != Limit::Kind::none;
  if (type.memory_mib)
    limits.push_back("memory " + std::to_string(*type.memory_mib) + " MiB, by the type" +
                     (is_known ? ": " + to_string(of_type.memory) : ""));
  if (of_type.compute.kind != Limit::Kind::none)
    limits.push_back("compute units, by the type: " + to_string(of_type.compute));
}

std::vector<std::string> limits_of(const ClaimedDevice& device, const DeviceModel& model,
                                   const VfQuota& quota) {
  if (traits_of(device.use).is_whole_card) return limits_of_card();
  std::vector<std::string> limits;
  add_limits_of_type(model, limits);
  if (model.vram_quota)
    limits.push_back("memory " + std::to_string(*model.vram_quota) + " bytes, by vram_quota");
  if (!traits_of(device.use).has_vf_quota) return limits;
  if (quota.exec_quantum_ms)
    limits.push_back("execution quantum " + std::to_string(*quota.exec_quantum_ms) + " ms");
  if (quota.preempt_timeout_us)
    limits.push_back("preemption timeout " + std::to_string(*quota.preempt_timeout_us) + " us");
  return limits;
}

// ---- what is printed

static std::string title_of(const ClaimedDevice& device) {
  std::string text =
      device.alias + ": " + std::string(use_word(device.use)) + ' ' + device_name(device);
  return device.type == "-" ? text : text + " of type " + device.type;
}

static std::string fact_text(const DeviceFact& fact) {
  std::string text = "  ";
  text += state_word(fact.state);
  text.resize(11, ' ');
  text += fact.what + ": ";
  switch (fact.state) {
    case State::ok:
      return text + fact.found;
    case State::differs:
      return text + "expected " + fact.expected + ", found " + fact.found;
    case State::unknown:
      break;
  }
  return text + (fact.expected.empty() ? "" : "expected " + fact.expected + ", ") + fact.reason;
}

static std::string guest_text(const GuestCheck& guest) {
  return "  guest    " +
         (guest.command.empty() ? "no command is known for this type" : "run: " + guest.command) +
         "\n           expected: " + printable(guest.expected) + '\n';
}

std::string verify_text(const Claim& claim, const std::vector<VerifiedDevice>& devices) {
  std::string text = domain_title(claim.name) + '\n';
  for (const VerifiedDevice& each : devices) {
    text += printable(title_of(each.device)) + '\n';
    for (const DeviceFact& fact : each.facts) text += printable(fact_text(fact)) + '\n';
    for (const std::string& limit : each.limits) text += "  limit    " + limit + '\n';
    text += guest_text(each.guest);
  }
  return text;
}

static json text_or_null(const std::string& text) {
  return text.empty() ? json(nullptr) : json(text);
}

static json facts_json(const DeviceFacts& facts) {
  json list = json::array();
  for (const DeviceFact& fact : facts)
    list.push_back({{"fact", fact.what},
                    {"state", state_word(fact.state)},
                    {"expected", text_or_null(fact.expected)},
                    {"found", text_or_null(fact.found)},
                    {"reason", text_or_null(fact.reason)}});
  return list;
}

json verify_json(const Claim& claim, const std::vector<VerifiedDevice>& devices) {
  json list = json::array();
  for (const VerifiedDevice& each : devices)
    list.push_back(
        {{"alias", each.device.alias},
         {"instance", device_name(each.device)},
         {"use", use_word(each.device.use)},
         {"facts", facts_json(each.facts)},
         {"limits", each.limits},
         {"guest",
          {{"command", text_or_null(each.guest.command)}, {"expected", each.guest.expected}}}});
  return {{"domain", {{"name", claim.name}, {"uuid", to_string(claim.domain)}}},
          {"state", state_word(state_of(devices))},
          {"devices", list}};
}

State state_of(const std::vector<VerifiedDevice>& devices) {
  DeviceFacts all;
  for (const VerifiedDevice& each : devices)
    all.insert(all.end(), each.facts.begin(), each.facts.end());
  return state_of(all);
}

int exit_status(State state) {
  constexpr int is_unknown = 3;
  if (state == State::ok) return 0;
  return state == State::differs ? 1 : is_unknown;
}

}  // namespace gpuward
