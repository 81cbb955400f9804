// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/stdin_xml.hpp"

#include <sys/select.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "domain/domain.hpp"

namespace gpuward {

// Most domains' XML fits in here, and untouched pages of it cost nothing. It is small enough that
// the kernel does not back it with a huge page, whose clearing would cost more than all else.
static char first_buffer[512 << 10];

/// Longest text that may_have_gpu looks for: so much of the end of one part belongs to the next.
static constexpr size_t overlap = 64;

/// What is left of the deadline. select(2) of Linux counts it down, so that nobody has to ask a
/// clock.
using TimeLeft = timeval;

/// What read_part returns besides the number of bytes, 0 at the end.
constexpr ssize_t is_late = -1, has_failed = -2;

static ssize_t read_part(int fd, char* to, size_t size, TimeLeft& left) {
  if (fd < 0 || fd >= FD_SETSIZE) return has_failed;
  for (;;) {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    const int ready = ::select(fd + 1, &readable, nullptr, nullptr, &left);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return is_late;
    const ssize_t n = ::read(fd, to, size);
    if (n < 0 && errno == EINTR) continue;
    return n < 0 ? has_failed : n;
  }
}

/// Of what cannot be read nobody knows what it names.
static void note_end(XmlInput& input, ssize_t last) {
  if (last == is_late && input.end == XmlInput::End::whole) input.end = XmlInput::End::late;
  if (last != has_failed) return;
  input.end = XmlInput::End::failed;
  input.may_have_gpu = input.names_gpuward = true;
}

/// libvirt writes nothing behind it but a line end.
static bool has_end(std::string_view text) {
  return text.substr(text.size() - std::min(text.size(), overlap)).find("</domain>") != text.npos;
}

static void look(XmlInput& input, std::string_view text) {
  input.may_have_gpu = input.may_have_gpu || may_have_gpu(text);
  // In what is too large to keep, hostdev and alias may be in different parts.
  if (input.may_have_gpu || input.end == XmlInput::End::too_large)
    input.names_gpuward = input.names_gpuward || names_gpuward(text);
}

/// The rest of an input that may be too large to keep.
static XmlInput drain(int fd, TimeLeft& left, XmlInput input) {
  char part[overlap + 65536];
  std::memcpy(part, input.text.data() + input.text.size() - overlap, overlap);
  for (;;) {
    const ssize_t n = read_part(fd, part + overlap, sizeof part - overlap, left);
    if (n < 0) note_end(input, n);
    if (n <= 0) return input;
    if (input.end == XmlInput::End::whole) {
      input.end = XmlInput::End::too_large;
      look(input, input.text);
    }
    const size_t size = overlap + static_cast<size_t>(n);
    look(input, {part, size});
    input.may_have_gpu_beyond = input.may_have_gpu_beyond || may_have_gpu({part, size});
    input.has_end = has_end({part, size});
    std::memmove(part, part + size - overlap, overlap);
  }
}

XmlInput read_xml(int fd, std::chrono::milliseconds deadline) {
  XmlInput input;
  TimeLeft left{deadline.count() / 1000, deadline.count() % 1000 * 1000};
  char* buffer = first_buffer;
  size_t room = sizeof first_buffer;
  size_t size = 0;
  ssize_t n = 1;
  while (size < largest_xml) {
    if (size == room) {
      char* larger = static_cast<char*>(std::malloc(largest_xml));
      if (!larger) break;
      std::memcpy(larger, buffer, size);
      buffer = larger;
      room = largest_xml;
    }
    n = read_part(fd, buffer + size, room - size, left);
    if (n <= 0) break;
    size += static_cast<size_t>(n);
  }
  input.text = {buffer, size};
  look(input, input.text);
  input.has_end = has_end(input.text);
  note_end(input, n);
  return n <= 0 ? input : drain(fd, left, input);
}

}  // namespace gpuward
