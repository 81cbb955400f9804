// SPDX-License-Identifier: LGPL-2.1-or-later
// Stands in for programs of others in a host directory. Static, as there is no library in there.
//   …/scrub  a scrub program: writes 'begin DEVICE' and 'end DEVICE' into …/scrubs, 'overlap
//   DEVICE'
//            when one runs already; takes longer while there is a file …/scrub.slow
//   else     QEMU, of which only the version is asked for
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>

namespace {

bool print(int fd, std::string_view text) {
  return ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

int scrub(const std::string& directory) {
  const char* const variable = ::getenv("GPUWARD_DEVICE");
  const std::string device = variable ? variable : "?";
  const int log = ::open((directory + "/scrubs").c_str(), O_WRONLY | O_APPEND | O_CREAT, 0644);
  const int lock = ::open((directory + "/scrub.lock").c_str(), O_RDWR | O_CREAT, 0644);
  if (log < 0 || lock < 0) return 1;
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) print(log, "overlap " + device + '\n');
    return 1;
  }
  if (!print(log, "begin " + device + '\n')) return 1;
  const bool is_slow = ::access((directory + "/scrub.slow").c_str(), F_OK) == 0;
  const timespec time{0, is_slow ? 300'000'000 : 10'000'000};
  ::nanosleep(&time, nullptr);
  return print(log, "end " + device + '\n') ? 0 : 1;
}

}  // namespace

int main(int, char** argv) {
  const std::string self = argv[0];
  const auto slash = self.rfind('/');
  if (slash != std::string::npos && self.substr(slash) == "/scrub")
    return scrub(self.substr(0, slash));
  return print(STDOUT_FILENO, "QEMU emulator version 10.0.3 (Debian 1:10.0.3+ds-0)\n") ? 0 : 1;
}
