// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

/// Fields of an entry by their names; an entry may have one several times.
using Entry = std::multimap<std::string, std::string>;

/// The entries that `journalctl --output=export` prints (systemd.io/JOURNAL_EXPORT_FORMATS), up to
/// one that is cut off.
std::vector<Entry> exported_entries(std::string_view text);

/// Where systemd's journal listens.
inline constexpr const char* journal_socket = "/run/systemd/journal/socket";

/// Where syslogd listens (syslog(3)).
inline constexpr const char* syslog_socket = "/dev/log";

/// A line as syslogd takes it in one datagram (RFC 3164), of the facility "daemon". `priority`: of
/// syslog(3), LOG_ERR and the like.
std::string syslog_line(int priority, std::string_view program, std::string_view line);

enum class Sent {
  yes,
  dropped,  ///< there is a receiver, which does not read what it has
  no,       ///< there is none, or it does not take this
};

/// Hands one datagram to who listens at `socket_path`. Never waits, as syslog(3) would: who logs
/// from a path that must be fast may not block with a journal that is blocked.
Sent send_datagram(const std::string& socket_path, std::string_view text);

}  // namespace gpuward::log
