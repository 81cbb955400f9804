// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/verify.hpp"

#include <cinttypes>
#include <cstdio>

#include "allocation/fraction.hpp"
#include "base/quote.hpp"
#include "base/utf8.hpp"
#include "cli/limits_json.hpp"
#include "inventory/gpu_types.hpp"

namespace gpuward {

using nlohmann::json;
using State = DeviceFact::State;

// ---- the guest

static constexpr uint16_t nvidia = 0x10de, amd = 0x1002;

static std::string mib_text(unsigned mib) {
  return std::to_string(mib) + " MiB";
}

/// The guest's driver keeps a part of a vGPU's memory for itself. Known are two sizes of a Tesla
/// P40, from nvidia-vgpud's log (github.com/DualCoder/vgpu_unlock#70).
static std::string usable_text(unsigned nominal) {
  if (nominal == 1024) return "896 MiB were usable on a Tesla P40";
  if (nominal == 2048) return "1856 MiB were usable on a Tesla P40";
  return "how much is usable is not known";
}

static GuestCheck check_of_nvidia(const std::string& name, const std::optional<unsigned>& mib) {
  const std::string command = "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader";
  if (name.empty() || !mib)
    return {command, "unknown: the driver of the host does not report name and memory of the type"};
  return {command, "name " + name + "; memory at most " + mib_text(*mib) +
                       " (nominal; the guest's driver reserves a part: " + usable_text(*mib) + ")"};
}

/// amdgpu of the guest prints what amdgpu of the host had printed before the domain had the card:
/// the size that the card reports, in MiB (gmc_v9_0.c and its like, mc_vram_size).
static GuestCheck check_of_amdgpu(unsigned mib) {
  return {"cat /sys/bus/pci/drivers/amdgpu/*/mem_info_vram_total",
          std::to_string(uint64_t{mib} << 20) + " (" + mib_text(mib) +
              "; how much of it is usable is not known), one line for each GPU of amdgpu"};
}

/// i915 of the guest prints its part of the aperture when it is loaded (intel_vgt_balloon,
/// drivers/gpu/drm/i915/i915_vgpu.c): low memory is what the CPU can map.
static GuestCheck check_of_gvt(const GpuType& type) {
  const auto size = [&](size_t at) { return std::to_string(type.takes[at] * 1024) + "KiB"; };
  return {"journalctl -k -g 'ppable graphic memory'",
          "size " + size(1) + " of mappable and " + size(2) +
              " of unmappable memory (how much of it is usable is not known)"};
}

/// BAR 0 has the size of the video memory (samples/vfio-mdev/mbochs.c), a power of 2.
static GuestCheck check_of_mbochs(unsigned mib) {
  return {"lspci -v -d 1234:1111",
          "a prefetchable memory region of [size=" + std::to_string(mib) + "M]"};
}

/// drivers/gpu/drm/xe/xe_vram.c prints what a VF was provisioned with as its physical size.
static GuestCheck check_of_xe_vf(uint64_t bytes) {
  char size[24];
  std::snprintf(size, sizeof size, "0x%016" PRIx64, bytes);
  return {"journalctl -k -g 'VRAM.*Actual physical size'",
          "Actual physical size " + std::string(size) + " (" + std::to_string(bytes >> 20) +
              " MiB, all of it usable)"};
}

/// Of a card whose memory the host knows from NVIDIA's vGPU driver, which it had before.
static GuestCheck check_of_nvidia_card(unsigned mib) {
  return {"nvidia-smi --query-gpu=memory.total --format=csv,noheader",
          "at most " + mib_text(mib) +
              " (nominal; how much is usable is not known), one line for each GPU of NVIDIA"};
}

static GuestCheck check_of_pci_device(const DeviceModel& model) {
  char id[16];
  std::snprintf(id, sizeof id, "%04x:%04x", model.vendor, model.device);
  return {"lspci -n -d " + std::string(id),
          "one line for each such device of the domain; its memory is unknown to the host"};
}

static GuestCheck check_of_type(const DeviceModel& model) {
  const GpuType& type = model.type;
  if (model.vendor == nvidia) return check_of_nvidia(type.name, type.memory_mib);
  if (type.takes.size() == 3) return check_of_gvt(type);
  if (type.memory_mib && type.id.starts_with("mbochs-")) return check_of_mbochs(*type.memory_mib);
  return {"", type.memory_mib
                  ? mib_text(*type.memory_mib) + " of video memory"
                  : "unknown: the driver of the host does not report the memory of the type"};
}

GuestCheck guest_check(const ClaimedDevice& device, const DeviceModel& model) {
  if (traits_of(device.use).has_types) return check_of_type(model);
  if (traits_of(device.use).has_vf_quota && model.driver == "xe" && model.profile.vram_quota)
    return check_of_xe_vf(*model.profile.vram_quota);
  const bool is_known = traits_of(device.use).is_whole_card && device.memory_mib;
  if (is_known && model.vendor == amd) return check_of_amdgpu(*device.memory_mib);
  if (is_known && model.vendor == nvidia) return check_of_nvidia_card(*device.memory_mib);
  return check_of_pci_device(model);
}

// ---- limits

static DeviceLimits limits_of_card(const ClaimedDevice& device) {
  const std::string by = " of the card";
  return {.limits = limits_of_whole(),
          .memory_mib = device.memory_mib,
          .memory_by = by,
          .compute_by = by};
}

/// Which scheduler NVIDIA's driver runs is not known here.
static DeviceLimits limits_of_type(const DeviceModel& model) {
  const std::string by = ", by the type";
  const FractionGpu card{
      .name = {}, .memory_mib = card_memory_of_vgpu(model.type.name), .types = model.types};
  return {.limits = limits_of(model.type, card),
          .memory_mib = model.type.memory_mib,
          .memory_by = by,
          .compute_by = by};
}

static DeviceLimits limits_of_plain_vf(const DeviceModel& model) {
  const VfProfile& profile = model.profile;
  DeviceLimits found{.limits = model.vf_limits.limits,
                     .exec_quantum_ms = profile.exec_quantum_ms,
                     .preempt_timeout_us = profile.preempt_timeout_us,
                     .no_memory = model.vf_limits.no_memory,
                     .no_compute = model.vf_limits.no_compute};
  if (profile.vram_quota) {
    found.memory_mib = static_cast<unsigned>(*profile.vram_quota >> 20);
    found.memory_by = ", by vram_quota";
  }
  if (profile.exec_quantum_ms) found.compute_by = ", by exec_quantum_ms";
  return found;
}

DeviceLimits limits_of(const ClaimedDevice& device, const DeviceModel& model) {
  if (traits_of(device.use).is_whole_card) return limits_of_card(device);
  if (traits_of(device.use).has_types) return limits_of_type(model);
  return limits_of_plain_vf(model);
}

std::string pending_quota(const std::string& card, const VfQuota& set, const VfQuota& configured) {
  std::string text;
  const auto add = [&](const char* key, const auto& before, const auto& now) {
    if (before == now) return;
    text += (text.empty() ? "" : ", ") +
            (now ? std::string(key) + " = " + std::to_string(*now) : "no " + std::string(key));
  };
  add("vf-memory", set.memory_mib, configured.memory_mib);
  add("exec-quantum", set.exec_quantum_ms, configured.exec_quantum_ms);
  add("preempt-timeout", set.preempt_timeout_us, configured.preempt_timeout_us);
  if (text.empty()) return {};
  return "the configuration has " + text + " for the VFs of " + card +
         "; it takes effect when no domain uses one of them and gpuward apply is run";
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

/// "12288 MiB, by the type: hard"
static std::string limit_text(const std::string& amount, const std::string& by, const Limit& limit,
                              const std::string& why_none) {
  return amount + by + ": " + to_string(limit) + (why_none.empty() ? "" : " (" + why_none + ")");
}

static std::string limits_text(const DeviceLimits& found) {
  const std::string memory =
      found.memory_mib ? "memory " + std::to_string(*found.memory_mib) + " MiB" : "memory";
  const std::string of_quantum =
      found.exec_quantum_ms ? ' ' + std::to_string(*found.exec_quantum_ms) : "";
  std::string text = "  limit    " +
                     limit_text(memory, found.memory_by, found.limits.memory, found.no_memory) +
                     "\n  limit    " +
                     limit_text("compute units", found.compute_by + of_quantum,
                                found.limits.compute, found.no_compute) +
                     '\n';
  if (found.preempt_timeout_us)
    text += "  limit    preempt_timeout_us " + std::to_string(*found.preempt_timeout_us) + '\n';
  return text;
}

std::string verify_text(const Claim& claim, const std::vector<VerifiedDevice>& devices) {
  std::string text = domain_title(claim.name) + '\n';
  for (const VerifiedDevice& each : devices) {
    text += printable(title_of(each.device)) + '\n';
    for (const DeviceFact& fact : each.facts) text += printable(fact_text(fact)) + '\n';
    text += limits_text(each.limits);
    if (!each.pending.empty()) text += "  pending  " + printable(each.pending) + '\n';
    text += guest_text(each.guest);
  }
  return text;
}

static json text_or_null(const std::string& text) {
  return text.empty() ? json(nullptr) : json(text);
}

static json number_or_null(const std::optional<unsigned>& number) {
  return number ? json(*number) : json(nullptr);
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
         {"limits", limits_json(each.limits.limits)},
         {"memory", number_or_null(each.limits.memory_mib)},
         {"exec_quantum_ms", number_or_null(each.limits.exec_quantum_ms)},
         {"preempt_timeout_us", number_or_null(each.limits.preempt_timeout_us)},
         {"pending", text_or_null(each.pending)},
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
