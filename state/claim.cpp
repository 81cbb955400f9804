// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/claim.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace gpuward {

static constexpr std::string_view first_words = "gpuward-claim ";
static constexpr std::string_view newest = "3";

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
  if (!device.part.empty()) line += " part=" + device.part;
  if (!device.vgpu.empty()) line += " vgpu=" + device.vgpu;
  return line;
}

/// A line a fact, words between single blanks, the domain's name (which may hold blanks) last on
/// its line: readable with less(1) when all else is broken.
std::string format_claim(const Claim& claim) {
  std::string text(first_words);
  text += newest;
  text += "\ndomain " + to_string(claim.domain) + ' ' + claim.name + '\n';
  text += "boot " + (claim.boot.empty() ? "-" : claim.boot) + '\n';
  text += claim.completed ? "state completed\n" : "state started\n";
  text += "owner " + (claim.owner.empty() ? "-" : claim.owner) + '\n';
  for (const ClaimedDevice& device : claim.devices) text += format_device(device) + '\n';
  return text;
}

static bool parse_domain_line(std::string_view line, Claim& claim) {
  if (!line.starts_with("domain ") || line.size() < 45 || line[43] != ' ') return false;
  const auto uuid = parse_uuid(line.substr(7, 36));
  if (!uuid) return false;
  claim.domain = *uuid;
  claim.name = line.substr(44);
  return true;
}

static bool parse_process_word(std::string_view text, Process& process) {
  process = parse_process(text).value_or(Process{});
  return process.pid != 0;
}

/// What a line may end with: "writer=PID@START", "attributes", "scrub-pid=PID@START",
/// "scrub=PATH", "one-time", "memory=MIB", "fraction=ISOLATION", "part=TEXT", "vgpu=ID". Version 1
/// has "maker=PID" and
/// "scrubber=PID".
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
  if (word.starts_with("part=")) {
    device.part = word.substr(5);
    return !device.part.empty();
  }
  if (word.starts_with("vgpu=")) {
    device.vgpu = word.substr(5);
    return to_number<unsigned>(device.vgpu).has_value();
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

static bool parse_device_line(std::string_view line, Claim& claim) {
  auto device = parse_device(line);
  if (device) claim.devices.push_back(std::move(*device));
  return device.has_value();
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

static bool parse_boot_line(std::string_view line, Claim& claim) {
  if (!line.starts_with("boot ")) return false;
  const std::string_view id = line.substr(5);
  if (id != "-" && !parse_uuid(id)) return false;
  claim.boot = id == "-" ? "" : id;
  return true;
}

static bool parse_state_line(std::string_view line, Claim& claim) {
  claim.completed = line == "state completed";
  return claim.completed || line == "state started";
}

static bool parse_owner_line(std::string_view line, Claim& claim) {
  if (!line.starts_with("owner ")) return false;
  const std::string_view owner = line.substr(6);
  if (owner.empty() || owner.find(' ') != std::string_view::npos) return false;
  claim.owner = owner == "-" ? "" : owner;
  return true;
}

/// How many lines there are before the devices, by version: 1 has the domain alone, 2 has boot and
/// state too, 3 the owner.
static constexpr int head_lines[] = {0, 2, 4, 5};

/// What was written by version 1 was complete or undone.
static bool parse_line(std::string_view line, int number, int version, Claim& claim) {
  if (number > head_lines[version]) return parse_device_line(line, claim);
  switch (number) {
    case 2:
      return parse_domain_line(line, claim);
    case 3:
      return parse_boot_line(line, claim);
    case 4:
      return parse_state_line(line, claim);
    default:
      return parse_owner_line(line, claim);
  }
}

/// 0 for a version that this gpuward does not know.
static int version_of(std::string_view word) {
  const int version = to_number<int>(word).value_or(0);
  return word.size() == 1 && word <= newest ? version : 0;
}

Claim parse_claim(std::string_view text, const std::string& file) {
  Claim claim;
  int number = 0;
  int version = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::string at = "claim file " + file + " line " + std::to_string(++number);
    if (number == 1 && line.starts_with(first_words)) {
      line.remove_prefix(first_words.size());
      version = version_of(line);
      claim.completed = version == 1;
      if (version == 0)
        throw Error(at, "version '" + std::string(line) + "' is not supported by this gpuward",
                    "run: gpuward doctor");
    } else if (number == 1 || !parse_line(line, number, version, claim)) {
      throw Error(at, "invalid line", "run: gpuward doctor");
    }
    if (end == std::string_view::npos) throw Error(at, "incomplete line", "run: gpuward doctor");
  }
  if (number == 0 || number < head_lines[version])
    throw Error("claim file " + file, "incomplete", "run: gpuward doctor");
  return claim;
}

}  // namespace gpuward
