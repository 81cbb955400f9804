// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace gpuward {

/// What every program does first, as it inherits from its parent which signals are ignored and
/// blocked. SIGPIPE is ignored: a libvirtd, a journal or a reader that ends while a thread writes
/// to it is an error of that write (EPIPE) and must not end the program. SIGCHLD and SIGTERM have
/// their default action, and nothing is blocked. Whether SIGHUP and SIGINT end the program stays
/// the choice of the parent (nohup(1), a shell's background job).
void set_up_signals();

/// For a child between fork(2) and execve(2): the default action for every signal, none blocked.
/// What a program ignores or blocks would otherwise be ignored and blocked by what it starts.
/// Async-signal-safe.
void reset_signals_of_child();

}  // namespace gpuward
