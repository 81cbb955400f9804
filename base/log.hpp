// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/journal.hpp"
#include "base/message.hpp"

namespace gpuward::log {

enum class To {
  journal,   ///< systemd's journal, syslog without it; for hooks, whose stdout belongs to libvirt
             ///< and whose stderr is lost when they succeed
  terminal,  ///< stderr, with the severity as a word; for people
  service,   ///< systemd's journal; without it stderr with "<N>" before each line, which systemd
             ///< reads as the priority
};

struct Sockets {
  std::string journal = journal_socket;
  std::string syslog = syslog_socket;
};

/// Chooses where this program's lines go, and fields that all its entries in the journal have.
/// Before it is called nothing is written. What a journal or syslogd does not read is dropped: a
/// hook may not block with it.
void start(To to, std::string_view program, std::vector<Field> fields = {}, Sockets sockets = {});

/// As before `start`.
void stop();

enum class Severity { info, warning, error };

/// A line with fields: to the journal as an entry with the fields, with the message's MESSAGE_ID, a
/// GPUWARD_DEVICE for each PCI address and UUID that the line names and, where no field says it, a
/// GPUWARD_DOMAIN of the first domain that it names; elsewhere the fields follow the line as text,
/// but for people. The line may hold text of others: it is made printable. Threads may call it at
/// the same time.
void entry(Severity severity, Message message, std::string_view line,
           std::span<const Field> fields = {});

// The same for lines that have no message of their own.
void info(std::string_view line);
void warning(std::string_view line);
void error(std::string_view line);

/// A warning about a domain: "domain 'web01': LINE", with GPUWARD_DOMAIN in the journal.
void warning(std::string_view domain, std::string_view line);

/// Whether what is written there goes to systemd's journal line by line (JOURNAL_STREAM): the
/// program is run by a unit.
bool is_journal(int fd);

/// PCI addresses and UUIDs in a line, in full, each once.
std::vector<std::string> devices_in(std::string_view line);

}  // namespace gpuward::log
