// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/version.hpp"

#include "base/error.hpp"
#include "libvirt/client.hpp"

namespace gpuward {

static constexpr unsigned takes_vendor_vfs = 9007000;

std::vector<ConfigProblem> unsupported_by(const Config& config, unsigned version) {
  std::vector<ConfigProblem> problems;
  if (version == 0 || version >= takes_vendor_vfs) return problems;
  const std::string found =
      std::to_string(version / 1000000) + '.' + std::to_string(version / 1000 % 1000);
  for (const Profile& profile : config.profiles)
    if (traits_of(profile.use).keeps_driver)
      problems.push_back(
          {profile.position,
           (profile.is_configured ? "[profile " + profile.name + "]" : title_of(profile)) +
               " uses vendor VFs, which libvirt supports since 9.7; "
               "this host has " +
               found + ", upgrade libvirt"});
  return problems;
}

unsigned libvirt_version_at(const Root& root, const std::string& uri) {
  try {
    return DomainStore(root, uri).version();
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace gpuward
