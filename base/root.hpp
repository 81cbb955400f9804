// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

namespace gpuward {

/// Where the host's files lie. Every path that gpuward opens is made here, so a test (or
/// `gpuward --root DIR`) can put a whole host into a directory.
struct Root {
  std::string prefix;  ///< "" on a real host

  std::string sys(std::string_view rest) const { return join("/sys/", rest); }
  std::string proc(std::string_view rest) const { return join("/proc/", rest); }
  std::string dev(std::string_view rest) const { return join("/dev/", rest); }
  std::string etc(std::string_view rest) const { return join("/etc/", rest); }
  std::string run(std::string_view rest) const { return join("/run/gpuward/", rest); }
  /// Any other: "/usr/sbin/x".
  std::string at(std::string_view path) const { return join("", path); }

 private:
  std::string join(std::string_view top, std::string_view rest) const {
    std::string path = prefix;
    path += top;
    path += rest;
    return path;
  }
};

}  // namespace gpuward
