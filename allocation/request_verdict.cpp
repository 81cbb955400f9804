// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/request_verdict.hpp"

#include <algorithm>

#include "allocation/pool.hpp"
#include "allocation/quota.hpp"
#include "allocation/request.hpp"
#include "base/quote.hpp"
#include "inventory/gpu_hostdevs.hpp"

namespace gpuward {

static Verdict pci_verdict(const Domain& domain, const GpuRequest& gpu, const Profile& profile) {
  const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
  if (hostdev && hostdev->address) return Verdict::allow();
  return Verdict::deny({gpu_title(gpu.alias),
                        "no PCI hostdev with alias " + gpu.alias + " for " + title_of(profile),
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
    // First: without its profile nothing is known of what the hostdev should be.
    const Resolution found = resolve(config, gpu, domain.name);
    if (!found.profile) return Verdict::deny(about(gpu_title(gpu.alias), found.refusal));
    if (const auto reason = access_refusal(*found.profile, domain.name, domain.owner))
      return Verdict::deny(about(gpu_title(gpu.alias), *reason));
    const bool is_pci = gives_pci_devices(*found.profile);
    if (Verdict verdict =
            is_pci ? pci_verdict(domain, gpu, *found.profile) : hostdev_verdict(domain, gpu);
        !verdict)
      return verdict;
  }
  return Verdict::allow();
}

Verdict check_incoming(const Config& config, std::string_view operation) {
  if (config.guard.migration != Policy::block) return Verdict::allow();
  return Verdict::deny({{},
                        std::string(operation == "migrate" ? "live migration" : "restoring") +
                            " of a domain with a GPU is blocked on this host",
                        "shut the domain down and start it here, or set " +
                            setting_text(Guard::migration, Policy::allow) +
                            " in [guard] of /etc/gpuward/gpuward.conf"});
}

}  // namespace gpuward
