// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/root.hpp"

namespace gpuward {

/// Nanoseconds since 1970, by the clock that files are stamped with.
using Moment = int64_t;

/// When the file itself (not what a link points to) was last changed in any way: ctime, which no
/// archive and no cp(1) can set. Nothing when there is none.
std::optional<Moment> changed_at(const std::string& path);
/// The same of the file and of the link to it, whichever changed last.
std::optional<Moment> file_changed_at(const std::string& path);

/// libvirtd or virtqemud, whichever runs the QEMU domains of the system.
struct LibvirtDaemon {
  std::string name;
  int pid = 0;
  Moment started = 0;  ///< when it wrote its pid file, which it does before it looks for hooks
};

/// Nothing when neither runs; socket activation ends libvirtd when no client needs it.
std::optional<LibvirtDaemon> running_daemon(const Root& root);

/// The daemon that a client's connection starts: virtqemud where its socket is enabled or it alone
/// is installed, else libvirtd; "" where neither is installed.
std::string installed_daemon(const Root& root);

/// When systemd last had it reload; nothing when it has not since it started, or is unknown.
/// By the unit's last change of state: one that runs changes it to reload and back. systemd forgets
/// when ExecReload ran at each daemon-reload, which every package with a unit calls.
std::optional<Moment> last_reload(const Root& root, const LibvirtDaemon& daemon);

/// From what `busctl get-property` prints of ActiveState, ActiveEnterTimestamp and
/// StateChangeTimestamp (org.freedesktop.systemd1(5)): a unit that is active and whose state has
/// changed since it became active has reloaded.
std::optional<Moment> parse_last_reload(std::string_view properties);

/// Whether "access_drivers = [ ... ]" of libvirtd.conf or virtqemud.conf names this driver.
bool names_access_driver(std::string_view config, std::string_view driver);

}  // namespace gpuward
