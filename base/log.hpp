// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <span>
#include <string_view>

#include "base/journal.hpp"

namespace gpuward::log {

enum class To {
  journal,   ///< syslog(3); for hooks, whose stdout belongs to libvirt and whose stderr is lost
             ///< when they succeed
  terminal,  ///< stderr, with the severity as a word; for people
  service,   ///< stderr with "<N>" before each line, which systemd reads as the priority
};

/// Chooses where this program's lines go. Before it is called nothing is written.
void start(To to, std::string_view program);

void info(std::string_view line);
void warning(std::string_view line);
void error(std::string_view line);

enum class Severity { info, warning, error };

/// A line with fields. A service's goes to the journal with the fields as fields of the entry;
/// elsewhere they follow the line as text. Threads may call it at the same time.
void entry(Severity severity, std::string_view line, std::span<const Field> fields);

}  // namespace gpuward::log
