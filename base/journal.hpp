// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace gpuward::log {

/// A value that the journal keeps beside the line, so that it can be asked for
/// (journalctl GPUWARD_DOMAIN=web01). The name is made of A-Z and _ alone.
struct Field {
  std::string_view name;
  std::string value;
};

/// An entry of fields as systemd's journal takes it in one datagram
/// (systemd.io/JOURNAL_NATIVE_PROTOCOL): a value with a line end goes with its length.
std::string journal_entry(std::span<const Field> fields);

/// Where systemd's journal listens.
inline constexpr const char* journal_socket = "/run/systemd/journal/socket";

/// Hands an entry to the journal at `socket_path`; false when nobody takes it. Never waits: who
/// logs from a path that must be fast may not hang with a journal that hangs.
bool send_to_journal(const std::string& socket_path, std::string_view entry);

}  // namespace gpuward::log
