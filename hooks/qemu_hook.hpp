// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string_view>

#include "base/root.hpp"
#include "hooks/stdin_xml.hpp"
#include "kinds/deadlines.hpp"

namespace gpuward {

/// How libvirt calls a qemu hook: NAME OPERATION SUB-OPERATION EXTRA (docs/hooks.rst).
struct HookCall {
  std::string_view domain;  ///< raw: may start with "-" and hold blanks
  std::string_view operation;
};

/// Whether this operation does anything for a domain with a GPU; all others need not read stdin.
bool handles(std::string_view operation);

/// Does the operation for a domain that may have a GPU. Returns the exit status for libvirt: 0, or
/// 1 after one line on stderr, with which libvirt refuses the operation where it can.
int run_qemu_hook(const Root& root, const HookCall& call, const XmlInput& input,
                  const Deadlines& deadlines);

}  // namespace gpuward
