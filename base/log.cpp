// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <sys/stat.h>
#include <syslog.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/quote.hpp"
#include "base/utf8.hpp"
#include "base/uuid.hpp"

namespace gpuward::log {

// The one object that lives for the whole program: a logger handed through every function would
// be in every signature and never differ.
static std::unique_ptr<spdlog::logger> logger;
static std::optional<To> destination;
static std::string program_name;
static std::vector<Field> program_fields;  ///< of every entry
static std::optional<Sockets> sockets;     ///< from `start` on: most runs of the hook write nothing
static std::mutex logger_mutex;            // a service may write from several threads

/// Of syslog(3), as the journal has it too.
static int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::err:
      return LOG_ERR;
    case spdlog::level::warn:
      return LOG_WARNING;
    default:
      return LOG_INFO;
  }
}

void start(To to, std::string_view program, std::vector<Field> fields, Sockets receivers) {
  destination = to;
  program_name = program;
  program_fields = std::move(fields);
  sockets = std::move(receivers);
  logger.reset();
}

void stop() {
  destination.reset();
  program_name.clear();
  program_fields.clear();
  sockets.reset();
  logger.reset();
}

/// Made for the first line only: it takes a tenth of the time of a program that writes none.
static void make_logger() {
  logger = std::make_unique<spdlog::logger>(program_name,
                                            std::make_shared<spdlog::sinks::stderr_sink_st>());
  logger->set_pattern(destination == To::terminal ? "%n: %l: %v" : "%v");
}

static void write(spdlog::level::level_enum level, std::string_view line) {
  if (destination == To::journal) {
    send_datagram(sockets->syslog, syslog_line(priority_of(level), program_name, line));
    return;
  }
  const std::scoped_lock lock(logger_mutex);
  if (!logger) make_logger();
  if (destination == To::service)
    logger->log(level, "<{}>{}", priority_of(level), line);
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

/// The words of a line, as far as they can be a PCI address or a UUID.
static std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  const std::string_view letters = "0123456789abcdef.:-";
  while (!line.empty()) {
    const size_t begin = line.find_first_of(letters);
    if (begin == line.npos) break;
    const size_t end = std::min(line.find_first_not_of(letters, begin), line.size());
    std::string_view word = line.substr(begin, end - begin);
    while (!word.empty() && (word.back() == ':' || word.back() == '.' || word.back() == '-'))
      word.remove_suffix(1);
    words.push_back(word);
    line.remove_prefix(end);
  }
  return words;
}

/// Also where a line number or the like follows: "UUID:3".
static std::optional<std::string> device_of(std::string_view word) {
  for (;;) {
    if (const auto address = parse_pci_address(word)) return to_string(*address);
    if (const auto uuid = parse_uuid(word)) return to_string(*uuid);
    const size_t colon = word.rfind(':');
    if (colon == word.npos) return {};
    word = word.substr(0, colon);
  }
}

std::vector<std::string> devices_in(std::string_view line) {
  std::vector<std::string> devices;
  for (const std::string_view word : words_of(line)) {
    auto device = device_of(word);
    if (device && std::find(devices.begin(), devices.end(), *device) == devices.end())
      devices.push_back(std::move(*device));
  }
  return devices;
}

/// The first domain that the line names (domain_title), as of a lock that another has; nothing when
/// its name is cut. What follows it may be part of its name.
static std::optional<std::string> domain_in(std::string_view line) {
  static constexpr std::string_view title = "domain '";
  const size_t begin = line.find(title);
  if (begin == line.npos) return {};
  line.remove_prefix(begin + title.size());
  const size_t end = line.find('\'');
  if (end == line.npos || end == 0 || line.substr(0, end).ends_with("...")) return {};
  // A name may have a quote of its own, and would pass for another.
  if (line.find('\'', end + 1) != line.npos) return {};
  return std::string(line.substr(0, end));
}

static bool has_domain(std::span<const Field> fields) {
  return std::any_of(fields.begin(), fields.end(),
                     [](const Field& field) { return field.name == "GPUWARD_DOMAIN"; });
}

static Sent entry_to_journal(spdlog::level::level_enum level, Message message,
                             const std::string& line, std::span<const Field> fields) {
  std::vector<Field> all = {{"MESSAGE", line},
                            {"MESSAGE_ID", std::string(id_of(message))},
                            {"PRIORITY", std::to_string(priority_of(level))},
                            {"SYSLOG_IDENTIFIER", program_name}};
  all.insert(all.end(), program_fields.begin(), program_fields.end());
  all.insert(all.end(), fields.begin(), fields.end());
  if (auto domain = has_domain(all) ? std::nullopt : domain_in(line))
    all.push_back({"GPUWARD_DOMAIN", std::move(*domain)});
  for (std::string& device : devices_in(line)) all.push_back({"GPUWARD_DEVICE", std::move(device)});
  for (Field& field : all) field.value = printable(field.value);
  return send_datagram(sockets->journal, journal_entry(all));
}

void entry(Severity severity, Message message, std::string_view text,
           std::span<const Field> fields) {
  if (!destination) return;
  const auto level = level_of(severity);
  std::string line = printable(text);
  if (destination != To::terminal && entry_to_journal(level, message, line, fields) != Sent::no)
    return;
  const auto shown = destination == To::terminal ? std::span<const Field>() : fields;
  for (const Field& field : shown) {
    line += ' ';
    line += field.name;
    line += "='" + printable(field.value) + "'";
  }
  write(level, line);
}

void info(std::string_view line) {
  entry(Severity::info, Message::notice, line);
}
void warning(std::string_view line) {
  entry(Severity::warning, Message::warning, line);
}
void error(std::string_view line) {
  entry(Severity::error, Message::error, line);
}
void warning(std::string_view domain, std::string_view line) {
  const Field fields[] = {{"GPUWARD_DOMAIN", std::string(domain)}};
  entry(Severity::warning, Message::warning, domain_title(domain) + ": " + std::string(line),
        fields);
}

bool is_journal(int fd) {
  const char* const stream = std::getenv("JOURNAL_STREAM");  // systemd.exec(5): "DEVICE:INODE"
  struct stat info;
  return stream && ::fstat(fd, &info) == 0 &&
         stream == std::to_string(info.st_dev) + ':' + std::to_string(info.st_ino);
}

}  // namespace gpuward::log
