// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace gpuward::log {

// The one object that lives for the whole program: a logger handed through every function would
// be in every signature and never differ.
static std::unique_ptr<spdlog::logger> logger;
static std::optional<To> destination;
static std::string program_name;
static std::mutex logger_mutex;  // a service may write from several threads

static std::string priority_prefix(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::err:
      return "<3>";
    case spdlog::level::warn:
      return "<4>";
    default:
      return "<6>";
  }
}

void start(To to, std::string_view program) {
  destination = to;
  program_name = program;
  logger.reset();
}

/// Made for the first line only: most hooks have none to write, and it takes a tenth of their time.
static void make_logger() {
  spdlog::sink_ptr sink;
  if (destination == To::journal)
    sink =
        std::make_shared<spdlog::sinks::syslog_sink_st>(program_name, LOG_PID, LOG_DAEMON, false);
  else
    sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
  logger = std::make_unique<spdlog::logger>(program_name, std::move(sink));
  logger->set_pattern(destination == To::terminal ? "%n: %l: %v" : "%v");
}

static void write(spdlog::level::level_enum level, std::string_view line) {
  if (!destination) return;
  const std::scoped_lock lock(logger_mutex);
  if (!logger) make_logger();
  if (destination == To::service)
    logger->log(level, "{}{}", priority_prefix(level), line);
  else
    logger->log(level, "{}", line);
}

static spdlog::level::level_enum level_of(Severity severity) {
  switch (severity) {
    case Severity::error:
      return spdlog::level::err;
    case Severity::warning:
      return spdlog::level::warn;
    case Severity::info:
      break;
  }
  return spdlog::level::info;
}

static bool entry_to_journal(spdlog::level::level_enum level, std::string_view line,
                             std::span<const Field> fields) {
  std::vector<Field> all = {{"MESSAGE", std::string(line)},
                            {"PRIORITY", priority_prefix(level).substr(1, 1)},
                            {"SYSLOG_IDENTIFIER", program_name}};
  all.insert(all.end(), fields.begin(), fields.end());
  return send_to_journal(journal_socket, journal_entry(all));
}

void entry(Severity severity, std::string_view line, std::span<const Field> fields) {
  if (!destination) return;
  const auto level = level_of(severity);
  if (destination == To::service && entry_to_journal(level, line, fields)) return;
  std::string text(line);
  for (const Field& field : fields) {
    text += ' ';
    text += field.name;
    text += "='" + field.value + "'";
  }
  write(level, text);
}

void info(std::string_view line) {
  write(spdlog::level::info, line);
}
void warning(std::string_view line) {
  write(spdlog::level::warn, line);
}
void error(std::string_view line) {
  write(spdlog::level::err, line);
}

}  // namespace gpuward::log
