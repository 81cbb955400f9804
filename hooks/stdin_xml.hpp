// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <string_view>

namespace gpuward {

/// What a hook was given on stdin.
struct XmlInput {
  enum class End {
    whole,      ///< read to its end
    late,       ///< not closed within the deadline; what came until then is here
    failed,     ///< cannot be read; what came until then is here
    too_large,  ///< more than largest_xml; only its first part is here
  } end = End::whole;
  std::string_view text;
  bool may_have_gpu = false;         ///< of all that came, also of what is not kept
  bool names_gpuward = false;        ///< likewise
  bool may_have_gpu_beyond = false;  ///< in what is not kept
  bool has_end = false;              ///< what came ends with </domain>
};

inline constexpr size_t largest_xml = 16 << 20;

/// Reads `fd` to its end, waiting for no more than `deadline` in all. The text lives as long as the
/// program. Never throws. An
/// input that cannot be read may be that of a domain with a GPU.
XmlInput read_xml(int fd, std::chrono::milliseconds deadline);

}  // namespace gpuward
