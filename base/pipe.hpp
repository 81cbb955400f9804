// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"

namespace gpuward {

/// Both ends of a pipe, closed when a program is executed. Throws SystemError.
struct Pipe {
  Fd reader, writer;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw SystemError("cannot create a pipe", errno);
    reader = Fd(ends[0]);
    writer = Fd(ends[1]);
  }
};

}  // namespace gpuward
