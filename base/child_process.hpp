// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace gpuward {

/// As which user a program runs.
enum class RunAs { nobody, ourselves };

/// What `program` (a path; no shell) prints on stdout when it is given `arguments`: at most `limit`
/// bytes. Nothing when it cannot be run, prints more, ends with a status other than 0 or is not
/// through after `deadline`; then it is killed. It runs without our descriptors,
/// environment and ignored or blocked signals, and root runs it as nobody, as its path may come
/// from a domain's XML, unless `as` says otherwise. What it has started is killed when it ends, as
/// root in whatever session it is, by others what is left in its process group. Throws SystemError
/// when there can be no child at all.
std::optional<std::string> output_of(const std::string& program,
                                     const std::vector<std::string>& arguments,
                                     std::chrono::milliseconds deadline, size_t limit = 4096,
                                     RunAs as = RunAs::nobody);

/// Runs `program` (a path; no shell, no arguments) as the user that we are, with `environment`
/// ("NAME=value") and none of our descriptors, ignored or blocked signals; its output goes nowhere.
/// When it is not through after `deadline` it and all that it started are killed. Returns why it
/// did not end with status 0; "" when it did.
std::string run_program(const std::string& program, const std::vector<std::string>& environment,
                        std::chrono::milliseconds deadline);

}  // namespace gpuward
