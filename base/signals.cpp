// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/signals.hpp"

#include <csignal>

namespace gpuward {

static void set_action(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(signal, &action, nullptr);
}

static void unblock_all() {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void set_up_signals() {
  set_action(SIGPIPE, SIG_IGN);
  set_action(SIGCHLD, SIG_DFL);
  set_action(SIGTERM, SIG_DFL);
  unblock_all();
}

void reset_signals_of_child() {
  for (int signal = 1; signal < NSIG; ++signal) set_action(signal, SIG_DFL);
  unblock_all();
}

}  // namespace gpuward
