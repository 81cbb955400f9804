// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/error.hpp"

namespace gpuward {

/// libvirt refused or failed; what() ends with its text.
struct LibvirtError : Error {
  using Error::Error;
};

/// Ends with the text of libvirt's last error in this thread, on one line.
LibvirtError last_error(const std::string& what);

/// Throws last_error() when a call of libvirt's returned a negative result.
void require(int result, const char* what);

}  // namespace gpuward
