// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/journal.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/file.hpp"

namespace gpuward::log {

static void append_length(std::string& entry, uint64_t length) {
  for (int i = 0; i < 8; ++i) entry += static_cast<char>(length >> (8 * i) & 0xff);
}

std::string journal_entry(std::span<const Field> fields) {
  std::string entry;
  for (const Field& field : fields) {
    entry += field.name;
    if (field.value.find('\n') == std::string::npos) {
      entry += '=';
    } else {
      entry += '\n';
      append_length(entry, field.value.size());
    }
    entry += field.value;
    entry += '\n';
  }
  return entry;
}

/// Takes the value of a field off the text, whose name has been taken with its line end: eight
/// bytes of length, the value, a line end. False where it is cut off.
static bool take_value(std::string_view& text, std::string& value) {
  constexpr size_t length_size = 8;
  if (text.size() < length_size) return false;
  uint64_t length = 0;
  for (size_t i = 0; i < length_size; ++i)
    length |= static_cast<uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
  text.remove_prefix(length_size);
  if (length >= text.size()) return false;  // the line end is missing at least
  value = text.substr(0, length);
  text.remove_prefix(length + 1);
  return true;
}

std::vector<Entry> exported_entries(std::string_view text) {
  std::vector<Entry> entries;
  Entry entry;
  for (size_t end; (end = text.find('\n')) != text.npos;) {
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const size_t equals = line.find('=');
    if (line.empty()) {
      if (!entry.empty()) entries.push_back(std::exchange(entry, {}));
    } else if (equals != line.npos) {
      entry.emplace(line.substr(0, equals), line.substr(equals + 1));
    } else {
      std::string value;
      if (!take_value(text, value)) return entries;
      entry.emplace(line, std::move(value));
    }
  }
  if (!entry.empty()) entries.push_back(std::move(entry));
  return entries;
}

std::string syslog_line(int priority, std::string_view program, std::string_view line) {
  char time[32] = "";
  const std::time_t now = std::time(nullptr);
  tm local{};
  if (::localtime_r(&now, &local)) std::strftime(time, sizeof time, "%b %e %T", &local);
  return '<' + std::to_string(LOG_DAEMON | priority) + '>' + time + ' ' + std::string(program) +
         '[' + std::to_string(::getpid()) + "]: " + std::string(line);
}

Sent send_datagram(const std::string& socket_path, std::string_view text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) return Sent::no;
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return Sent::no;
  const ssize_t sent = ::sendto(fd.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (sent < 0) return errno == EAGAIN || errno == ENOBUFS ? Sent::dropped : Sent::no;
  return Sent::yes;
}

}  // namespace gpuward::log
