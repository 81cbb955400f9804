// SPDX-License-Identifier: LGPL-2.1-or-later
// create_mdevs FILE UUID...: writes each UUID to a `create` file, as a script would do it by hand.
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char** argv) {
  for (int i = 2; i < argc; ++i) {
    const int fd = open(argv[1], O_WRONLY);
    if (fd < 0 || write(fd, argv[i], strlen(argv[i])) < 0) return 1;
    close(fd);
  }
  return 0;
}
