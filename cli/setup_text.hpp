// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "allocation/setup.hpp"

namespace gpuward {

/// What was found on the host, a line each: its GPUs, what uses them, what is left alone and why.
std::string setup_report(const SetupHost& host, const Setup& setup);

/// gpuward.conf for this host. The same for the same cards, whichever process numbers its programs
/// have.
std::string setup_config(const Setup& setup);

/// What `gpuward setup --json` prints (docs/json.md), without the text of the configuration.
nlohmann::json setup_json(const SetupHost& host, const Setup& setup);

}  // namespace gpuward
