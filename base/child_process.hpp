// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace gpuward {

/// As which user a program runs.
enum class RunAs { nobody, ourselves };

/// What `program` (a path; no shell) prints on stdout when it is given `arguments`: at most `limit`
/// bytes. Nothing when it cannot be run, prints more, ends with a status other than 0 or has not
/// ended after `deadline`; then it is killed. It runs without our descriptors,
/// environment and ignored or blocked signals, and root runs it as nobody, as its path may come
/// from a domain's XML, unless `as` says otherwise. What it has started is killed when it ends, as
/// root in whatever session it is, by others what is left in its process group. Throws SystemError
/// when there can be no child at all.
std::optional<std::string> output_of(const std::string& program,
                                     const std::vector<std::string>& arguments,
                                     std::chrono::milliseconds deadline, size_t limit = 4096,
                                     RunAs as = RunAs::nobody);

/// How a program that was read has ended.
struct ProgramEnd {
  std::string output;  ///< all of it where there is no failure; else what came
  std::string
      failure;        ///< "ended with status 1", "timed out after 5 s and was killed"; "": status 0
  int status = -1;    ///< of its exit; -1 where it did not exit by itself
  pid_t blocked = 0;  ///< it was killed and is still in the kernel, which may yet do what it asked
};

/// The same with the reason of a failure. `on_start` is called with the process before the program
/// is started: a later process must find it named even if we are killed. When it throws,
/// nothing is started; nor is it where we are killed before `on_start` has returned.
ProgramEnd read_program(const std::string& program, const std::vector<std::string>& arguments,
                        std::chrono::milliseconds deadline, size_t limit, RunAs as,
                        const std::function<void(pid_t)>& on_start = {});

/// Runs `program` (a path; no shell, no arguments) as the user that we are, with `environment`
/// ("NAME=value") and none of our descriptors, ignored or blocked signals; its output goes nowhere.
/// When it has not ended after `deadline` it and all that it started are killed. Returns why it
/// did not end with status 0; "" when it did.
std::string run_program(const std::string& program, const std::vector<std::string>& environment,
                        std::chrono::milliseconds deadline);

}  // namespace gpuward
