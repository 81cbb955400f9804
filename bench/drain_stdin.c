// SPDX-License-Identifier: LGPL-2.1-or-later
// The least that a hook can be: reads stdin to its end.
#include <unistd.h>

int main(void) {
  char buffer[65536];
  while (read(0, buffer, sizeof buffer) > 0) {
  }
  return 0;
}
