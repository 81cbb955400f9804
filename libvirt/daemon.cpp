// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/daemon.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "base/child_process.hpp"
#include "base/file.hpp"
#include "base/text.hpp"

namespace gpuward {

static Moment moment(const struct timespec& time) {
  return static_cast<Moment>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

std::optional<Moment> changed_at(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return {};
  return moment(info.st_ctim);
}

std::optional<Moment> file_changed_at(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return {};
  return std::max(changed_at(path), std::optional(moment(info.st_ctim)));
}

static std::optional<Moment> written_at(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return {};
  return moment(info.st_mtim);
}

std::optional<LibvirtDaemon> running_daemon(const Root& root) {
  for (const char* name : {"libvirtd", "virtqemud"}) {
    // Only the daemon of the system writes here; those of users have theirs in /run/user.
    const std::string file = root.at("/run/") + name + ".pid";
    const auto pid = to_number<int>(read_optional_attribute(file).value_or(""));
    const auto started = written_at(file);
    if (pid && started &&
        read_optional_attribute(root.proc(std::to_string(*pid)) + "/comm") == name)
      return LibvirtDaemon{name, *pid, *started};
  }
  return {};
}

std::string installed_daemon(const Root& root) {
  const bool has_libvirtd = exists(root.at("/usr/sbin/libvirtd"));
  if (!exists(root.at("/usr/sbin/virtqemud"))) return has_libvirtd ? "libvirtd" : "";
  const bool is_enabled = exists(root.etc("systemd/system/sockets.target.wants/virtqemud.socket"));
  return is_enabled || !has_libvirtd ? "virtqemud" : "libvirtd";
}

std::optional<Moment> last_reload(const Root& root, const LibvirtDaemon& daemon) {
  const auto properties = output_of(root.at("/usr/bin/busctl"),
                                    {"get-property", "org.freedesktop.systemd1",
                                     "/org/freedesktop/systemd1/unit/" + daemon.name + "_2eservice",
                                     "org.freedesktop.systemd1.Unit", "ActiveState",
                                     "ActiveEnterTimestamp", "StateChangeTimestamp"},
                                    std::chrono::seconds(3));
  const auto reloaded = parse_last_reload(properties.value_or(""));
  if (!reloaded || *reloaded < daemon.started) return {};
  return reloaded;
}

/// "t 1796089610738870": microseconds, 0 for never.
static std::optional<Moment> parse_timestamp(std::string_view property) {
  if (!property.starts_with("t ")) return {};
  const auto time = to_number<Moment>(property.substr(2));
  if (!time || *time <= 0 || *time >= INT64_MAX / 1000) return {};
  return *time * 1000;
}

std::optional<Moment> parse_last_reload(std::string_view properties) {
  const auto lines = split(trim(properties), '\n');
  if (lines.size() != 3 || lines[0] != "s \"active\"") return {};
  const auto entered = parse_timestamp(lines[1]), changed = parse_timestamp(lines[2]);
  return entered && changed && *changed > *entered ? changed : std::nullopt;
}

/// From behind "access_drivers" to the end of its value: a list may go over several lines.
static std::string_view value_of_access_drivers(std::string_view config) {
  std::string_view value;
  while (!config.empty()) {
    const std::string_view line = trim(config.substr(0, config.find('\n')));
    if (line.starts_with("access_drivers")) {
      const auto equals = config.find('=');
      const auto list = config.find_first_not_of(" \t", equals + 1);
      if (equals == std::string_view::npos || list == std::string_view::npos) return {};
      value = config.substr(list, config.find(config[list] == '[' ? ']' : '\n', list) - list);
    }
    const auto next = config.find('\n');
    config.remove_prefix(next == std::string_view::npos ? config.size() : next + 1);
  }
  return value;
}

static std::string_view without_comment(std::string_view line) {
  return line.substr(0, line.find('#'));
}

bool names_access_driver(std::string_view config, std::string_view driver) {
  for (const std::string_view line : split(value_of_access_drivers(config), '\n'))
    for (const char quote : {'"', '\''}) {
      const std::string wanted = quote + std::string(driver) + quote;
      if (without_comment(line).find(wanted) != std::string_view::npos) return true;
    }
  return false;
}

}  // namespace gpuward
