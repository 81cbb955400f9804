// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>

namespace gpuward {

/// How long each wait may take. libvirt has no timeout for hooks and holds the domain locked while
/// one runs, so the sum of all but `scrub` is what "virsh list" may have to wait in the worst case.
struct Deadlines {
  std::chrono::milliseconds lock{40'000};    ///< for the other gpuward processes: eighty at once
  std::chrono::milliseconds write{8'000};    ///< for one write to a control file of the kernel
  std::chrono::milliseconds release{3'000};  ///< for a process that still has the device open
  std::chrono::milliseconds scrub{60'000};   ///< for a profile's scrub program, waited for or not
  std::chrono::milliseconds settle{3'000};   ///< for the guard to point others at what is free
  std::chrono::milliseconds scrub_wait{5'000};  ///< until a scrub program goes on by itself
};

}  // namespace gpuward
