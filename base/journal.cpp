// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/journal.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstring>

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

bool send_to_journal(const std::string& socket_path, std::string_view entry) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return fd && ::sendto(fd.get(), entry.data(), entry.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                        reinterpret_cast<const sockaddr*>(&address),
                        sizeof address) == static_cast<ssize_t>(entry.size());
}

}  // namespace gpuward::log
