// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/start_permit.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "state/paths.hpp"

namespace gpuward {

static constexpr std::string_view first_line = "start-permit 1";
static constexpr size_t longest_file = 64 << 10;

static std::string boot_id(const Root& root) {
  const auto boot = read_attribute(root.proc("sys/kernel/random/boot_id"));
  return boot && parse_uuid(*boot) ? *boot : std::string();
}

static std::string format(const StartPermit& permit) {
  std::string text = std::string(first_line) + "\ndomain " + to_string(permit.domain) + "\nname " +
                     permit.name + "\ntime " + std::to_string(permit.time) + "\nboot " +
                     permit.boot + "\nreason " + printable(permit.reason) + '\n';
  for (const std::string& refusal : permit.refusals) text += "refused " + printable(refusal) + '\n';
  return text;
}

static bool add(std::string_view key, std::string_view value, StartPermit& permit) {
  if (key == "domain") {
    const auto domain = parse_uuid(value);
    if (domain) permit.domain = *domain;
    return domain.has_value();
  }
  if (key == "time") {
    const auto time = to_number<time_t>(value);
    if (time) permit.time = *time;
    return time.has_value();
  }
  if (key == "name") return permit.name = value, true;
  if (key == "boot") return permit.boot = value, true;
  if (key == "reason") return permit.reason = value, true;
  if (key == "refused") return permit.refusals.emplace_back(value), true;
  return false;
}

/// Nothing for text that format() did not write for this domain.
static std::optional<StartPermit> parse(std::string_view text, const Uuid& domain) {
  StartPermit permit;
  bool is_first = true;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == text.npos) return {};  // cut
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (std::exchange(is_first, false)) {
      if (line != first_line) return {};
      continue;
    }
    const size_t blank = line.find(' ');
    if (blank == line.npos || !add(line.substr(0, blank), line.substr(blank + 1), permit))
      return {};
  }
  if (permit.domain != domain || permit.name.empty() || permit.reason.empty()) return {};
  return permit;
}

// ---- by the process that starts the domain

static Lock lock_or_refuse(const Root& root, const Uuid& domain) {
  make_directories(paths::run(root));
  make_directories(paths::start_permits(root), 0700);
  auto lock = Lock::acquire(paths::start_permit_locks(root), lock_number::of_domain(domain),
                            std::chrono::milliseconds(0));
  if (!lock) throw Error({}, "another gpuward start --anyway of this domain is running");
  return std::move(*lock);
}

GrantedStart::GrantedStart(const Root& root, StartPermit permit)
    : root_(root), domain_(permit.domain), lock_(lock_or_refuse(root, permit.domain)) {
  permit.time = ::time(nullptr);
  permit.boot = boot_id(root);
  write_file_atomically(paths::start_permit(root, domain_), format(permit), 0600);
}

GrantedStart::~GrantedStart() {
  // One that stays counts no more: its lock ends here.
  ::unlink(paths::start_permit(root_, domain_).c_str());
}

void sweep_start_permits(const Root& root) {
  for (const std::string& name : list_directory(paths::start_permits(root))) {
    const auto domain = parse_uuid(std::string_view(name).substr(0, 36));
    if (domain && !Lock::is_held(paths::start_permit_locks(root), lock_number::of_domain(*domain)))
      remove_file(paths::start_permits(root) + '/' + name);
  }
}

// ---- by the hook

/// Its text; nothing when there is none. `why`: it is not one that only root can have written.
static std::optional<std::string> read_own_file(const std::string& path, std::string& why) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && is_absence(errno)) return {};
  struct stat info;
  if (!fd || ::fstat(fd.get(), &info) != 0) throw SystemError("cannot read " + path, errno);
  // The hook does all this as root alone (hooks/qemu_hook_main.cpp).
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0) {
    why = path + " is not a regular file of root with mode 600";
    return {};
  }
  std::string text(longest_file, '\0');
  ssize_t size = 0;
  do size = ::pread(fd.get(), text.data(), text.size(), 0);
  while (size < 0 && errno == EINTR);
  if (size < 0) throw SystemError("cannot read " + path, errno);
  text.resize(static_cast<size_t>(size));
  return text;
}

static std::string reason_not_to_count(const Root& root, const StartPermit& permit,
                                       std::string_view name) {
  if (permit.name != name) return "written for a domain with another name";
  if (permit.boot != boot_id(root)) return "written before the host was rebooted";
  const time_t age = ::time(nullptr) - permit.time;
  if (age < 0 || age > start_permit_lifetime) return "expired";
  if (!Lock::is_held(paths::start_permit_locks(root), lock_number::of_domain(permit.domain)))
    return "the command that wrote it has ended";
  return {};
}

static std::optional<StartPermit> use_one(const Root& root, const Uuid& domain,
                                          std::string_view name, bool is_search, std::string& why) {
  const std::string path = paths::start_permit(root, domain);
  const auto text = read_own_file(path, why);
  if (!text) return {};
  auto permit = parse(*text, domain);
  if (is_search && permit && permit->name != name) return {};
  why = permit ? reason_not_to_count(root, *permit, name) : "cannot parse " + path;
  if (!why.empty()) return {};
  make_directories(paths::started_anyway(root));
  if (::rename(path.c_str(), paths::started_anyway(root, domain).c_str()) == 0) return permit;
  if (is_absence(errno)) return {};
  throw SystemError("cannot rename " + path, errno);
}

std::optional<StartPermit> use_start_permit(const Root& root, const std::optional<Uuid>& domain,
                                            std::string_view name, std::string& why) {
  if (domain) return use_one(root, *domain, name, false, why);
  for (const std::string& file : list_directory(paths::start_permits(root))) {
    const auto uuid = parse_uuid(file);
    if (!uuid) continue;
    if (auto permit = use_one(root, *uuid, name, true, why)) return permit;
  }
  return {};
}

// ---- until the domain is shut off

void record_started_anyway(const Root& root, const StartPermit& permit) {
  write_file_atomically(paths::started_anyway(root, permit.domain), format(permit));
}

std::optional<StartPermit> started_anyway(const Root& root, const Uuid& domain) {
  const std::string path = paths::started_anyway(root, domain);
  const auto text = read_file(path, longest_file);
  if (!text) return {};
  auto permit = parse(*text, domain);
  if (!permit) throw Error(path, "cannot be parsed");
  return permit;
}

std::vector<Uuid> domains_started_anyway(const Root& root) {
  std::vector<Uuid> domains;
  for (const std::string& name : list_directory(paths::started_anyway(root)))
    if (const auto domain = parse_uuid(name)) domains.push_back(*domain);
  return domains;
}

std::vector<StartPermit> all_started_anyway(const Root& root,
                                            std::vector<std::string>& unreadable) {
  std::vector<StartPermit> permits;
  const auto read = [&](const auto& reader) {
    try {
      reader();
    } catch (const Error& error) {
      unreadable.emplace_back(error.what());
    }
  };
  read([&] {
    for (const Uuid& domain : domains_started_anyway(root))
      read([&] {
        if (auto permit = started_anyway(root, domain)) permits.push_back(std::move(*permit));
      });
  });
  return permits;
}

void forget_started_anyway(const Root& root, const Uuid& domain) {
  remove_file(paths::started_anyway(root, domain));
}

std::string to_string(const StartPermit& permit) {
  std::array<char, 32> text{};
  tm local{};
  if (!::localtime_r(&permit.time, &local) ||
      std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local) == 0)
    return permit.reason;
  return std::string(text.data()) + ", " + permit.reason;
}

}  // namespace gpuward
