// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/claim_store.hpp"

#include <sys/stat.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "state/temporary_files.hpp"

namespace gpuward {

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
  const std::string boot = boot_id();
  return boot.empty() || boot == claim.boot ? claim : after_restart(std::move(claim));
}

std::string Claims::boot_id() const {
  const auto id = read_attribute(root_.proc("sys/kernel/random/boot_id"));
  return id && parse_uuid(*id) ? *id : std::string();
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
