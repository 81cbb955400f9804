// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/doctor/guard_status.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/lock.hpp"
#include "base/text.hpp"
#include "state/paths.hpp"

namespace gpuward {

/// As libvirt sees it: a regular file, links followed, that anybody may execute
/// (virFileIsExecutable).
static bool is_executable_file(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0111);
}

std::vector<std::string> qemu_hooks(const Root& root) {
  std::vector<std::string> hooks;
  const std::string main = root.etc("libvirt/hooks/qemu"), directory = main + ".d";
  if (is_executable_file(main)) hooks.push_back(main);
  for (const std::string& name : list_directory(directory))
    if (is_executable_file(directory + '/' + name)) hooks.push_back(directory + '/' + name);
  return hooks;
}

HookLink read_hook_link(const Root& root) {
  using State = HookLink::State;
  const std::string path = root.at(hook_link);
  if (!exists(path)) return {State::absent, ""};
  const std::string target = read_link(path).value_or("");
  if (target == "/dev/null") return {State::turned_off, target};
  if (target != hook_program) return {State::foreign, target};
  if (!exists(root.at(target))) return {State::dangling, target};
  return {is_executable_file(root.at(target)) ? State::good : State::not_executable, target};
}

HookSeen hook_is_active(const HookTrace& times, const std::string& daemon) {
  if (!times.linked) return {Tristate::no, "link " + std::string(hook_link) + " does not exist"};
  if (!times.started)
    return {Tristate::yes, "libvirt is not running and searches for hooks when it starts"};
  if (*times.linked < *times.started)
    return {Tristate::yes, "the hook is older than the running " + daemon};
  if (times.reloaded && *times.reloaded > *times.linked)
    return {Tristate::yes, daemon + " has reloaded since the hook was changed"};
  if (times.other && *times.other < *times.started)
    return {Tristate::yes, daemon + " found another hook when it started, and so runs all"};
  if (times.touched && *times.touched > std::max(*times.started, *times.linked))
    return {Tristate::yes, daemon + " has called the hook"};
  return {Tristate::unknown, "the hook is newer than the running " + daemon +
                                 ", which searches for hooks only when it starts or reloads"};
}

/// Since when libvirt has found the hook: its link does not change with the program's mode.
static std::optional<Moment> linked_at(const Root& root) {
  const auto link = changed_at(root.at(hook_link));
  return link ? std::max(link, changed_at(root.at(hook_program))) : link;
}

static std::optional<Moment> oldest_other_hook(const Root& root) {
  std::optional<Moment> oldest;
  for (const std::string& hook : qemu_hooks(root)) {
    if (hook == root.at(hook_link)) continue;
    const auto changed = file_changed_at(hook);
    if (changed && (!oldest || *changed < *oldest)) oldest = changed;
  }
  return oldest;
}

static bool has_quarantined(const Claim& claim) {
  return std::any_of(claim.devices.begin(), claim.devices.end(), [](const ClaimedDevice& device) {
    return device.state == ClaimedDevice::State::quarantined;
  });
}

/// Marks and claims are the hook's, but for claims that `gpuward reconcile` wrote again.
static std::optional<Moment> newest_trace(const Root& root, const std::vector<Claim>& claims) {
  std::vector<std::string> files;
  for (const std::string& name : list_directory(paths::gpu_domains(root)))
    files.push_back(paths::gpu_domains(root) + '/' + name);
  for (const Claim& claim : claims)
    if (!has_quarantined(claim)) files.push_back(paths::claim(root, claim.domain));
  std::optional<Moment> newest;
  for (const std::string& file : files)
    newest = std::max(newest, changed_at(file));  // nothing is less than any moment
  return newest;
}

static HookSeen look_for_hook(const Root& root, const std::vector<Claim>& claims,
                              const std::optional<LibvirtDaemon>& daemon) {
  HookTrace times;
  times.linked = linked_at(root);
  times.other = oldest_other_hook(root);
  times.touched = newest_trace(root, claims);
  if (!daemon) return hook_is_active(times, "libvirtd");
  times.started = daemon->started;
  if (HookSeen told = hook_is_active(times, daemon->name); told.seen != Tristate::unknown)
    return told;
  times.reloaded = last_reload(root, *daemon);  // asks systemd, so only when nothing else tells
  return hook_is_active(times, daemon->name);
}

static bool is_root_process(const std::string& path, std::string_view name) {
  struct stat info;
  return read_optional_attribute(path + "/comm") == name && ::stat(path.c_str(), &info) == 0 &&
         info.st_uid == 0;
}

/// By the lock that it holds, which only root may check, or by its process.
static Tristate guard_service(const Root& root) {
  const std::string lock = paths::locks(root);
  const bool is_readable = !exists(lock) || ::access(lock.c_str(), R_OK | W_OK) == 0;
  if (is_readable && Lock::is_held(lock, lock_number::guard)) return Tristate::yes;
  for (const std::string& name : list_directory(root.proc("")))
    if (to_number<int>(name) && is_root_process(root.proc(name), "gpuward-guard"))
      return Tristate::yes;
  return is_readable ? Tristate::no : Tristate::unknown;
}

static std::string config_of(const Root& root, const std::optional<LibvirtDaemon>& daemon) {
  std::string modular = "/etc/libvirt/virtqemud.conf", single = "/etc/libvirt/libvirtd.conf";
  if (daemon) return daemon->name == "virtqemud" ? modular : single;
  if (installed_daemon(root) == "virtqemud") return modular;
  return exists(root.at(single)) || !exists(root.at(modular)) ? single : modular;
}

static PolkitLayer read_polkit_layer(const Root& root, const std::optional<LibvirtDaemon>& daemon) {
  PolkitLayer polkit;
  polkit.config = config_of(root, daemon);
  const std::string path = root.at(polkit.config);
  try {
    const bool named = names_access_driver(read_file(path).value_or(""), "polkit");
    polkit.driver = named ? Tristate::yes : Tristate::no;
  } catch (const Error&) {
    polkit.driver = Tristate::unknown;
  }
  const auto changed = changed_at(path);
  polkit.changed = daemon && changed && *changed > daemon->started;
  const std::string rule = "polkit-1/rules.d/10-gpuward.rules";
  const std::string own = root.etc(rule);  // an administrator's file of that name replaces ours
  const bool may_look =
      ::access(root.at("/usr/share/polkit-1/rules.d").c_str(), X_OK) == 0 || errno == ENOENT;
  if (may_look)
    polkit.rule =
        exists(root.at("/usr/share/" + rule)) && !exists(own) ? Tristate::yes : Tristate::no;
  polkit.helper = is_executable_file(root.at("/usr/sbin/gpuward-polkit"));
  return polkit;
}

std::string hook_fix(const HostLayers& layers) {
  using State = HookLink::State;
  const std::string link = std::string("ln -sfn ") + hook_program + ' ' + hook_link;
  std::string reload = layers.daemon ? "systemctl reload " + layers.daemon->name : std::string();
  const auto then_reload = [&](const std::string& command) {
    return reload.empty() ? command : command + "; " + reload;
  };
  switch (layers.link.state) {
    case State::absent:
    case State::turned_off:
    case State::foreign:
      return then_reload(link);
    case State::dangling:
      return then_reload("apt install --reinstall gpuward");
    case State::not_executable:
      return then_reload(std::string("chmod 755 ") + hook_program);
    case State::good:
      break;
  }
  return reload;
}

HostLayers read_guard_status(const Root& root, const std::vector<Claim>& claims) {
  HostLayers layers;
  layers.daemon = running_daemon(root);
  layers.link = read_hook_link(root);
  layers.seen = look_for_hook(root, claims, layers.daemon);
  layers.guard_service = guard_service(root);
  layers.polkit = read_polkit_layer(root, layers.daemon);
  return layers;
}

}  // namespace gpuward
