// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/claim.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"

namespace gpuward {

static constexpr std::string_view first_line = "gpuward-claim 1";

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

bool is_same_device(const ClaimedDevice& one, const ClaimedDevice& other) {
  if ((one.use == Use::mdev) != (other.use == Use::mdev)) return false;
  return one.use == Use::mdev ? one.instance == other.instance : one.address == other.address;
}

std::string device_name(const ClaimedDevice& device) {
  return device.use == Use::mdev ? to_string(device.instance) : to_string(device.address);
}

/// "mdev STATE ALIAS PROFILE UUID PARENT TYPE", "whole STATE ALIAS PROFILE ADDRESS PARENT -".
static std::string device_line(const ClaimedDevice& device) {
  std::string line(use_word(device.use));
  line += ' ';
  line += state_word(device.state);
  line += ' ' + device.alias + ' ' + device.profile + ' ' + device_name(device) + ' ' +
          device.parent + ' ' + device.type;
  if (device.maker) line += " maker=" + std::to_string(device.maker);
  if (device.scrubber) line += " scrubber=" + std::to_string(device.scrubber);
  if (!device.scrub.empty()) line += " scrub=" + device.scrub;
  if (device.one_time) line += " one-time";
  return line;
}

/// A line a fact, words between single blanks, the domain's name (which may hold blanks) last on
/// its line: readable with less(1) when all else is broken.
std::string format_claim(const Claim& claim) {
  std::string text(first_line);
  text += "\ndomain " + to_string(claim.domain) + ' ' + claim.name + '\n';
  for (const ClaimedDevice& device : claim.devices) text += device_line(device) + '\n';
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

static bool parse_pid(std::string_view text, pid_t& pid) {
  pid = to_number<pid_t>(text).value_or(0);
  return pid > 0;
}

/// What a line may end with: "maker=PID", "scrubber=PID", "scrub=PATH", "one-time".
static bool parse_rest(std::string_view word, ClaimedDevice& device) {
  if (word == "one-time") return device.one_time = true;
  if (word.starts_with("scrub=/")) {
    device.scrub = word.substr(6);
    return true;
  }
  if (word.starts_with("maker=")) return parse_pid(word.substr(6), device.maker);
  return word.starts_with("scrubber=") && parse_pid(word.substr(9), device.scrubber);
}

/// They become parts of paths.
static bool is_path_part(std::string_view word) {
  return !word.empty() && word.find('/') == std::string_view::npos && word != "." && word != "..";
}

static bool parse_device_line(std::string_view line, Claim& claim) {
  const auto words = split(line, ' ');
  if (words.size() < 7) return false;
  ClaimedDevice device;
  const auto use = use_of(words[0]);
  const auto state = state_of(words[1]);
  if (!use || *use == Use::off || !state) return false;
  if (!std::all_of(words.begin(), words.begin() + 7, is_path_part)) return false;
  device.use = *use;
  device.state = *state;
  device.alias = words[2];
  device.profile = words[3];
  const auto instance = *use == Use::mdev ? parse_uuid(words[4]) : Uuid{};
  const auto address = *use == Use::mdev ? PciAddress{} : parse_pci_address(words[4]);
  if (!instance || !address) return false;
  device.instance = *instance;
  device.address = *address;
  device.parent = words[5];
  device.type = words[6];
  for (size_t i = 7; i < words.size(); ++i)
    if (!parse_rest(words[i], device)) return false;
  claim.devices.push_back(std::move(device));
  return true;
}

Claim parse_claim(std::string_view text, const std::string& file) {
  Claim claim;
  int line_number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++line_number;
    const bool good = line_number == 1   ? line == first_line
                      : line_number == 2 ? parse_domain_line(line, claim)
                                         : parse_device_line(line, claim);
    if (!good || end == std::string_view::npos)
      throw Error(file + ":" + std::to_string(line_number) +
                  ": not a line of a claim; when its domain is off, remove the file");
  }
  if (line_number < 2)
    throw Error(file + ": no claim in it; when its domain is off, remove the file");
  return claim;
}

std::string Claims::file(const Uuid& domain) const {
  return directory_ + '/' + to_string(domain);
}

std::optional<Claim> Claims::find(const Uuid& domain) const {
  const std::string path = file(domain);
  const auto text = read_file(path);
  if (!text) return {};
  Claim claim = parse_claim(*text, path);
  if (claim.domain != domain) throw Error(path + ": names domain " + to_string(claim.domain));
  return claim;
}

std::vector<Claim> Claims::all(std::vector<Broken>* broken) const {
  std::vector<Claim> claims;
  for (const std::string& name : list_directory(directory_)) {
    const auto domain = parse_uuid(name);
    if (!domain) continue;  // the temporary file of a claim that is being written
    try {
      if (auto claim = find(*domain)) claims.push_back(std::move(*claim));
    } catch (const Error& error) {
      if (broken) broken->push_back({directory_ + '/' + name, error.what()});
    }
  }
  return claims;
}

void Claims::make_ready() const {
  if (!exists(directory_)) make_directories(directory_);
}

std::optional<Lock> Claims::lock_domain(const Uuid& domain,
                                        std::chrono::milliseconds deadline) const {
  return Lock::acquire(lock_file_, lock_number::of_domain(domain), deadline);
}

bool Claims::is_worked_on(const Uuid& domain) const {
  return Lock::is_held(lock_file_, lock_number::of_domain(domain));
}

std::optional<Lock> Claims::lock_host(std::chrono::milliseconds deadline) const {
  return Lock::acquire(lock_file_, lock_number::host, deadline);
}

std::optional<std::string> Claims::stamp(const Uuid& domain) const {
  struct stat info;
  if (::stat(file(domain).c_str(), &info) != 0) return {};
  return std::to_string(info.st_ino) + '@' + std::to_string(info.st_mtim.tv_sec) + '.' +
         std::to_string(info.st_mtim.tv_nsec);
}

void Claims::write(const Claim& claim) const {
  write_file_atomically(file(claim.domain), format_claim(claim));
}

void Claims::drop(const Uuid& domain) const {
  remove_file(file(domain));
}

}  // namespace gpuward
