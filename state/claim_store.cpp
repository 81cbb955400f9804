// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/claim_store.hpp"

#include <sys/stat.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "state/temporary_files.hpp"

namespace gpuward {

// ---- the text of a claim

static constexpr std::string_view first_words = "gpuward-claim ";
static constexpr std::string_view newest = "3";

/// A line a fact, words between single blanks, the domain's name (which may hold blanks) last on
/// its line: readable with less(1) when all else is broken.
std::string format_claim(const Claim& claim) {
  std::string text;
  text.reserve(512);  // what a claim of two GPUs has
  text += first_words;
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

static bool parse_device_line(std::string_view line, Claim& claim) {
  auto device = parse_device(line);
  if (device) claim.devices.push_back(std::move(*device));
  return device.has_value();
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
    ++number;
    const auto at = [&] { return "claim file " + file + " line " + std::to_string(number); };
    if (number == 1 && line.starts_with(first_words)) {
      line.remove_prefix(first_words.size());
      version = version_of(line);
      claim.completed = version == 1;
      if (version == 0)
        throw Error(at(), "version '" + std::string(line) + "' is not supported by this gpuward",
                    "run: gpuward doctor");
    } else if (number == 1 || !parse_line(line, number, version, claim)) {
      throw Error(at(), "invalid line", "run: gpuward doctor");
    }
    if (end == std::string_view::npos) throw Error(at(), "incomplete line", "run: gpuward doctor");
  }
  if (number == 0 || number < head_lines[version])
    throw Error("claim file " + file, "incomplete", "run: gpuward doctor");
  return claim;
}

// ---- the files

std::string Claims::file(const Uuid& domain) const {
  return directory_ + '/' + to_string(domain);
}

std::optional<Claim> Claims::find(const Uuid& domain) const {
  const std::string path = file(domain);
  const auto text = read_file(path);
  if (!text) return {};
  Claim claim = parse_claim(*text, path);
  if (claim.domain != domain) throw Error(path, "names domain " + to_string(claim.domain));
  if (claim.boot.empty()) return claim;
  const std::string& boot = boot_id();
  return boot.empty() || boot == claim.boot ? claim : after_restart(std::move(claim));
}

const std::string& Claims::boot_id() const {
  if (!boot_id_) {
    const auto id = read_attribute(root_.proc("sys/kernel/random/boot_id"));
    boot_id_ = id && parse_uuid(*id) ? *id : std::string();
  }
  return *boot_id_;
}

AllClaims Claims::all() const {
  AllClaims claims;
  for (const std::string& name : list_directory(directory_)) {
    const auto domain = parse_uuid(name);
    if (!domain) continue;  // the temporary file of a claim that is being written
    try {
      if (auto claim = find(*domain)) claims.readable.push_back(std::move(*claim));
    } catch (const Error& error) {
      claims.unreadable.push_back({*domain, directory_ + '/' + name, without_remedy(error.reason)});
    }
  }
  return claims;
}

std::optional<Claim> Claims::find_by_name(const std::string& name) const {
  const AllClaims claims = all();
  for (const Claim& claim : claims.readable)
    if (claim.name == name) return claim;
  return {};
}

Reason unreadable_reason(const UnreadableClaim& claim) {
  return {"claim of domain " + to_string(claim.domain),
          "cannot be read, its devices stay blocked: " + claim.reason,
          "shut that domain down, then run: gpuward doctor"};
}

std::string to_string(const UnreadableClaim& claim) {
  return to_string(unreadable_reason(claim));
}

void require_readable(const std::vector<UnreadableClaim>& unreadable) {
  if (!unreadable.empty()) throw Error(unreadable_reason(unreadable.front()));
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
  const std::string path = file(domain);
  if (::stat(path.c_str(), &info) != 0) {
    if (is_absence(errno)) return {};
    throw SystemError("cannot read " + path, errno);
  }
  return std::to_string(info.st_ino) + '@' + std::to_string(info.st_mtim.tv_sec) + '.' +
         std::to_string(info.st_mtim.tv_nsec);
}

void Claims::write(const Claim& claim) const {
  Claim written = claim;
  written.boot = boot_id();
  const std::string path = file(claim.domain);
  const std::string text = format_claim(written);
  // One that cannot be read back would keep every other domain from starting, and nobody could
  // drop it.
  parse_claim(text, path);
  write_file_atomically(path, text);
}

void Claims::update(const Claim& otherwise, const ClaimedDevice& device) const {
  Claim claim = find(otherwise.domain).value_or(otherwise);
  for (ClaimedDevice& other : claim.devices)
    if (is_same_device(other, device)) other = device;
  write(claim);
}

void Claims::sweep() const {
  // Who writes holds the domain's lock; its process may be invisible here (hidepid, a namespace).
  for (const TemporaryFile& file : temporary_files(root_, directory_))
    if (file.domain && !is_worked_on(*file.domain)) remove_file(file.path);
}

void Claims::drop(const Uuid& domain) const {
  remove_file(file(domain));
}

}  // namespace gpuward
