// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace gpuward {

/// What `program` (a path; no shell) prints on stdout when it is given `arguments`: at most `limit`
/// bytes. Nothing when it cannot be run, prints more, ends with a status other than 0 or is not
/// through after `deadline`; then it is killed. It runs without our descriptors and environment,
/// and root runs it as nobody: its path may come from a domain's XML. Throws SystemError when there
/// can be no child at all.
std::optional<std::string> output_of(const std::string& program,
                                     const std::vector<std::string>& arguments,
                                     std::chrono::milliseconds deadline, size_t limit = 4096);

}  // namespace gpuward
