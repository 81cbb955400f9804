// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/claim.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace gpuward {

static std::string_view state_word(ClaimedDevice::State state) {
  switch (state) {
    case ClaimedDevice::State::claimed:
      return "claimed";
    case ClaimedDevice::State::quarantined:
      return "quarantined";
  }
  return "claimed";
}

static std::optional<ClaimedDevice::State> state_of(std::string_view word) {
  for (const auto state : {ClaimedDevice::State::claimed, ClaimedDevice::State::quarantined})
    if (word == state_word(state)) return state;
  return {};
}

bool is_by_hand(const ClaimedDevice& device) {
  return device.profile == "-";
}

const std::string& vgpu_id(const ClaimedDevice& device) {
  return device.vgpu.empty() ? device.type : device.vgpu;
}

bool is_same_device(const ClaimedDevice& one, const ClaimedDevice& other) {
  if (is_mediated(one.use) != is_mediated(other.use)) return false;
  return is_mediated(one.use) ? one.instance == other.instance : one.address == other.address;
}

std::string device_name(const ClaimedDevice& device) {
  return is_mediated(device.use) ? to_string(device.instance) : to_string(device.address);
}

/// "mdev STATE ALIAS PROFILE UUID PARENT TYPE", "whole STATE ALIAS PROFILE ADDRESS PARENT -".
std::string format_device(const ClaimedDevice& device) {
  std::string line(use_word(device.use));
  line += ' ';
  line += state_word(device.state);
  line += ' ' + device.alias + ' ' + device.profile + ' ' + device_name(device) + ' ' +
          device.parent + ' ' + device.type;
  if (device.writer) line += " writer=" + to_string(device.writer);
  if (device.has_attributes) line += " attributes";
  if (device.scrub_process) line += " scrub-pid=" + to_string(device.scrub_process);
  if (!device.scrub.empty()) line += " scrub=" + device.scrub;
  if (device.one_time) line += " one-time";
  if (device.memory_mib) line += " memory=" + std::to_string(*device.memory_mib);
  if (device.fraction) line.append(" fraction=").append(isolation_word(*device.fraction));
  if (device.compute_percent) line += " compute=" + std::to_string(*device.compute_percent);
  if (!device.part.empty()) line += " part=" + device.part;
  if (!device.vgpu.empty()) line += " vgpu=" + device.vgpu;
  if (device.iommu_group) line += " group=" + std::to_string(*device.iommu_group);
  return line;
}

static bool parse_process_word(std::string_view text, Process& process) {
  process = parse_process(text).value_or(Process{});
  return process.pid != 0;
}

/// What a line may end with: "writer=PID@START", "attributes", "scrub-pid=PID@START",
/// "scrub=PATH", "one-time", "memory=MIB", "fraction=ISOLATION", "compute=PERCENT", "part=TEXT",
/// "vgpu=ID", "group=NUMBER". Version 1 has "maker=PID" and "scrubber=PID".
static bool parse_rest(std::string_view word, ClaimedDevice& device) {
  if (word == "one-time") return device.one_time = true;
  if (word == "attributes") return device.has_attributes = true;
  if (word.starts_with("memory=")) {
    device.memory_mib = to_number<unsigned>(word.substr(7));
    return device.memory_mib.value_or(0) > 0;
  }
  if (word.starts_with("fraction=")) {
    device.fraction = isolation_of(word.substr(9));
    return device.fraction.has_value();
  }
  if (word.starts_with("compute=")) {
    device.compute_percent = to_number<unsigned>(word.substr(8));
    return device.compute_percent && *device.compute_percent > 0 && *device.compute_percent <= 100;
  }
  if (word.starts_with("part=")) {
    device.part = word.substr(5);
    return !device.part.empty();
  }
  if (word.starts_with("vgpu=")) {
    device.vgpu = word.substr(5);
    return to_number<unsigned>(device.vgpu).has_value();
  }
  if (word.starts_with("group=")) {
    device.iommu_group = to_number<unsigned>(word.substr(6));
    return device.iommu_group.has_value();
  }
  if (word.starts_with("scrub=/")) {
    device.scrub = word.substr(6);
    return true;
  }
  for (const std::string_view name : {"writer=", "maker="})
    if (word.starts_with(name)) return parse_process_word(word.substr(name.size()), device.writer);
  for (const std::string_view name : {"scrub-pid=", "scrubber="})
    if (word.starts_with(name))
      return parse_process_word(word.substr(name.size()), device.scrub_process);
  return false;
}

/// They become parts of paths.
static bool is_path_part(std::string_view word) {
  return !word.empty() && word.find('/') == std::string_view::npos && word != "." && word != "..";
}

std::optional<ClaimedDevice> parse_device(std::string_view line) {
  const auto words = split(line, ' ');
  if (words.size() < 7) return {};
  ClaimedDevice device;
  const auto use = use_of(words[0]);
  const auto state = state_of(words[1]);
  if (!use || is_off(use) || !state) return {};
  if (!std::all_of(words.begin(), words.begin() + 7, is_path_part)) return {};
  device.use = *use;
  device.state = *state;
  device.alias = words[2];
  device.profile = words[3];
  const auto instance = is_mediated(*use) ? parse_uuid(words[4]) : Uuid{};
  const auto address = is_mediated(*use) ? PciAddress{} : parse_pci_address(words[4]);
  if (!instance || !address) return {};
  device.instance = *instance;
  device.address = *address;
  device.parent = words[5];
  device.type = words[6];
  for (size_t i = 7; i < words.size(); ++i)
    if (!parse_rest(words[i], device)) return {};
  return device;
}

Claim after_restart(Claim claim) {
  std::erase_if(claim.devices, [](const ClaimedDevice& device) {
    return device.state != ClaimedDevice::State::quarantined || device.scrub.empty();
  });
  for (ClaimedDevice& device : claim.devices) {
    device.writer = device.scrub_process = {};
    device.has_attributes = false;
    device.part.clear();  // no driver keeps one
  }
  return claim;
}

}  // namespace gpuward
