// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string_view>

namespace gpuward {

/// Tells systemd "READY=1", "STATUS=...", "STOPPING=1" or "WATCHDOG=1" (sd_notify(3)). The protocol
/// is one datagram to $NOTIFY_SOCKET, so there is no libsystemd here. Nothing happens when the
/// program was not started by systemd, and a manager that does not listen is not waited for.
void notify_manager(std::string_view state);

}  // namespace gpuward
