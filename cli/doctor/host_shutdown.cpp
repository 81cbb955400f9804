// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/file.hpp"
#include "base/text.hpp"
#include "cli/doctor/findings.hpp"

namespace gpuward {

static constexpr const char* qemu_conf = "/etc/libvirt/qemu.conf";

/// The value that the last line of this key sets, without quotes; "" when none does.
static std::string_view value_of(std::string_view config, std::string_view key) {
  std::string_view value;
  for (const std::string_view line : split(config, '\n')) {
    const auto equals = line.find('=');
    if (equals == line.npos || trim(line.substr(0, equals)) != key) continue;
    value = trim(line.substr(equals + 1));
    value = value.substr(0, value.find('#'));
    value = trim(value);
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\''))
      value = value.substr(1, value.size() - 2);
  }
  return value;
}

static bool is_on(std::string_view value) {
  return !value.empty() && value != "none";
}

Findings check_host_shutdown(const Root& root, unsigned libvirt) {
  if (libvirt < 11'002'000) return {};
  const auto config = read_file(root.at(qemu_conf), 1 << 20);
  if (!config || !is_on(value_of(*config, "auto_shutdown_try_save")) ||
      is_on(value_of(*config, "auto_shutdown_try_shutdown")))
    return {};
  return {{Finding::Severity::warning, "guards", qemu_conf,
           "auto_shutdown_try_save is set without auto_shutdown_try_shutdown: a domain with a GPU "
           "cannot be saved, so it is powered off when the host shuts down",
           "set auto_shutdown_try_shutdown = \"all\" in " + std::string(qemu_conf)}};
}

}  // namespace gpuward
