// SPDX-License-Identifier: LGPL-2.1-or-later
// Stands in for QEMU in a host directory: only its version is asked for. Static, as there is no
// library in that directory.
#include <unistd.h>

#include <string_view>

int main() {
  constexpr std::string_view version = "QEMU emulator version 10.0.3 (Debian 1:10.0.3+ds-0)\n";
  return ::write(STDOUT_FILENO, version.data(), version.size()) < 0;
}
