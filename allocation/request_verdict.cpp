// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/request_verdict.hpp"

#include <algorithm>

#include "allocation/pool.hpp"
#include "base/quote.hpp"
#include "inventory/gpu_hostdevs.hpp"

namespace gpuward {

static Verdict pci_verdict(const Domain& domain, const GpuRequest& gpu) {
  const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
  if (hostdev && hostdev->address) return Verdict::allow();
  return Verdict::deny(
      {gpu_title(gpu.alias),
       "no PCI hostdev with alias " + gpu.alias + " for profile " + in_quotes(gpu.profile),
       "run: gpuward reassign " + shell_word(domain.name)});
}

static Verdict hostdev_verdict(const Domain& domain, const GpuRequest& gpu) {
  const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
  const std::string attach = "run: gpuward attach " + shell_word(domain.name);
  if (!hostdev)
    return Verdict::deny({gpu_title(gpu.alias), "no hostdev with alias " + gpu.alias, attach});
  if (hostdev->type != Hostdev::Type::mdev || !hostdev->instance)
    return Verdict::deny({gpu_title(gpu.alias),
                          "hostdev " + gpu.alias + " is not a mediated device",
                          "run: gpuward detach " + shell_word(domain.name)});
  const Uuid own = instance_uuid(domain.uuid, gpu.alias);
  if (*hostdev->instance != own)
    return Verdict::deny({gpu_title(gpu.alias),
                          "instance UUID " + to_string(*hostdev->instance) +
                              " belongs to another domain (cloned XML?), expected " +
                              to_string(own),
                          attach});
  return Verdict::allow();
}

static Verdict profile_verdict(const Config& config, const GpuRequest& gpu) {
  const Profile* profile = find_profile(config, gpu.profile);
  if (!profile)
    return Verdict::deny({gpu_title(gpu.alias),
                          "profile " + in_quotes(gpu.profile) + " is not defined",
                          "add [profile " + gpu.profile + "] to /etc/gpuward/gpuward.conf"});
  const bool needs_type = profile->use == Use::mdev || profile->use == Use::vendor_vf;
  if (needs_type && profile->types.empty())
    return Verdict::deny(
        {gpu_title(gpu.alias),
         "profile " + in_quotes(gpu.profile) +
             " requests memory only, which this version does not support",
         "set type in " + profile->position.file + ":" + std::to_string(profile->position.line)});
  return Verdict::allow();
}

Verdict request_verdict(const Config& config, const Domain& domain) {
  for (const Hostdev& hostdev : domain.hostdevs) {
    const bool asked =
        std::any_of(domain.requests.begin(), domain.requests.end(),
                    [&](const GpuRequest& gpu) { return gpu.alias == gpu_alias(hostdev.alias); });
    if (is_ours(hostdev) && !asked)
      return Verdict::deny({"hostdev " + hostdev.alias, "not in the domain's gpuward metadata",
                            "run: gpuward detach " + shell_word(domain.name)});
  }
  for (const GpuRequest& gpu : domain.requests) {
    const Profile* const profile = find_profile(config, gpu.profile);
    // First: without its profile nothing is known of what the hostdev should be.
    if (Verdict verdict = profile_verdict(config, gpu); !verdict) return verdict;
    const bool is_pci = gives_pci_devices(*profile);
    if (Verdict verdict = is_pci ? pci_verdict(domain, gpu) : hostdev_verdict(domain, gpu);
        !verdict)
      return verdict;
  }
  return Verdict::allow();
}

Verdict check_incoming(const Config& config, std::string_view operation) {
  if (config.guard.migration != Policy::block) return Verdict::allow();
  return Verdict::deny(
      {{},
       std::string(operation == "migrate" ? "live migration" : "restoring") +
           " of a domain with a GPU is blocked on this host",
       "shut the domain down and start it here, or set migration = allow in [guard] of "
       "/etc/gpuward/gpuward.conf"});
}

}  // namespace gpuward
