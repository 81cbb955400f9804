// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/error.hpp"

#include <libvirt/virterror.h>

#include <algorithm>

namespace gpuward {

LibvirtError last_error(const std::string& what) {
  std::string text = ::virGetLastErrorMessage();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return LibvirtError({}, what + ": " + text);
}

void require(int result, const char* what) {
  if (result < 0) throw last_error(what);
}

}  // namespace gpuward
