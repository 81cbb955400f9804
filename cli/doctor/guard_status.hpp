// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "libvirt/daemon.hpp"
#include "state/claim.hpp"

namespace gpuward {

enum class Tristate { yes, no, unknown };

/// /etc/libvirt/hooks/qemu.d/50-gpuward, by which libvirt finds our hook.
struct HookLink {
  enum class State {
    good,
    absent,
    turned_off,      ///< it points to /dev/null
    dangling,        ///< to nothing
    foreign,         ///< to something else
    not_executable,  ///< libvirt passes it over
  } state = State::absent;
  std::string target;  ///< as written in the link
};

HookLink read_hook_link(const Root& root);

/// What can be known of whether the running daemon runs hooks at all. It looks whether there is any
/// that is executable when it starts and when it reloads, and keeps the answer (libvirt's
/// src/util/virhook.c).
struct HookTrace {
  std::optional<Moment> started = {};   ///< nothing: no daemon runs
  std::optional<Moment> reloaded = {};  ///< after it started
  std::optional<Moment> linked = {};    ///< since when link and program are as they are
  std::optional<Moment> other = {};     ///< oldest other executable hook for qemu, likewise
  std::optional<Moment> touched = {};   ///< newest file that our hook left in /run/gpuward
};

struct HookSeen {
  Tristate seen = Tristate::unknown;
  std::string reason;  ///< "the hook is older than the running libvirtd"
};

HookSeen hook_is_active(const HookTrace& times, const std::string& daemon);

struct PolkitLayer {
  Tristate driver = Tristate::unknown;  ///< libvirt asks polkit
  std::string config;                   ///< the file that says so: /etc/libvirt/libvirtd.conf
  bool changed = false;                 ///< that file changed after the daemon had read it
  Tristate rule = Tristate::unknown;    ///< our rule is there; only root may look
  bool helper = false;                  ///< and what it calls
};

/// What guards domains on this host, but for libvirt and QEMU themselves.
struct HostLayers {
  std::optional<LibvirtDaemon> daemon;
  HookLink link;
  HookSeen seen;
  Tristate guard_service = Tristate::unknown;
  PolkitLayer polkit;
};

/// `claims`: of this host, traces of our hook.
HostLayers read_guard_status(const Root& root, const std::vector<Claim>& claims);

/// The commands after which libvirt runs the hook, where it does not; a daemon that is not running
/// needs no reload.
std::string hook_fix(const HostLayers& layers);

/// The executable hooks for qemu in the order in which libvirt runs them, ours included.
std::vector<std::string> qemu_hooks(const Root& root);

inline constexpr const char* hook_link = "/etc/libvirt/hooks/qemu.d/50-gpuward";
inline constexpr const char* hook_program = "/usr/sbin/gpuward-qemu-hook";

}  // namespace gpuward
