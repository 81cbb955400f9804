// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <span>
#include <string_view>

namespace gpuward::log {

/// What a line of the journal is about. Each has a MESSAGE_ID, by which journalctl(1) finds all of
/// its kind, and a text in the message catalog (systemd/gpuward.catalog) that says what to do.
enum class Message {
  notice,
  warning,
  error,
  start_refused,
  arrival_refused,
  release_failed,
  reconnect_failed,
  scrub_failed,
  resumed,
  pause_left,
  pause_not_undone,
  job_aborted,
  job_left,
  job_not_aborted,
  memory_unplugged,
  memory_left,
  gpu_unplugged,
  gpu_left,
  not_unplugged,
  not_released,
  released,
  gpu_removed,
  unknown_to_libvirt,
  retried,
  withheld,
  reconciled,
  not_reconciled,
  reassigned,
  port_closed,
  config_invalid,
  connection_lost,
  call_denied,
  call_allowed,
  provision_failed,
  started_anyway,
};

/// The one table of message ids.
struct MessageRow {
  Message message;
  std::string_view name;
  std::string_view action;  ///< GPUWARD_ACTION; "" where there is none
  std::string_view id;      ///< MESSAGE_ID; never changes and is never given again
};
std::span<const MessageRow> messages();

std::string_view to_string(Message message);
std::string_view action_of(Message message);
std::string_view id_of(Message message);

}  // namespace gpuward::log
