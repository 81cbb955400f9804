// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/request_verdict.hpp"

#include <algorithm>

#include "inventory/gpu_hostdevs.hpp"
#include "pci/pool.hpp"

namespace gpuward {

std::string shell_word(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  if (!text.empty() && text[0] != '-' && std::all_of(text.begin(), text.end(), plain))
    return std::string(text);
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'')
      word += "'\\''";
    else
      word += c;
  }
  return word + "'";
}

static Verdict pci_verdict(const Domain& domain, const AskedGpu& gpu) {
  const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
  if (hostdev && hostdev->address) return Verdict::allow();
  return Verdict::deny("it asks for GPU " + gpu.alias + " of profile " + gpu.profile +
                       " but has no PCI hostdev of that alias; 'gpuward repoint " +
                       shell_word(domain.name) + "' adds it");
}

static Verdict hostdev_verdict(const Domain& domain, const AskedGpu& gpu) {
  const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
  const std::string mend = "'gpuward attach " + shell_word(domain.name) + "'";
  if (!hostdev)
    return Verdict::deny("it asks for GPU " + gpu.alias + " but has no hostdev of that alias; " +
                         mend + " adds it");
  if (hostdev->type != Hostdev::Type::mdev || !hostdev->instance)
    return Verdict::deny("hostdev " + gpu.alias + " is no mediated device; 'gpuward detach " +
                         shell_word(domain.name) + "' takes it out");
  const Uuid own = instance_uuid(domain.uuid, gpu.alias);
  if (*hostdev->instance != own)
    return Verdict::deny("hostdev " + gpu.alias + " names instance " +
                         to_string(*hostdev->instance) + ", this domain's own is " +
                         to_string(own) + " (was it cloned?); " + mend + " mends it");
  return Verdict::allow();
}

static Verdict profile_verdict(const Config& config, const AskedGpu& gpu) {
  const Profile* profile = find_profile(config, gpu.profile);
  if (!profile)
    return Verdict::deny("GPU " + gpu.alias + " wants profile '" + gpu.profile +
                         "', which is not configured; add [profile " + gpu.profile +
                         "] to /etc/gpuward/gpuward.conf");
  const bool needs_type = profile->use == Use::mdev || profile->use == Use::vendor_vf;
  if (needs_type && profile->types.empty())
    return Verdict::deny("GPU " + gpu.alias + " wants profile '" + gpu.profile +
                         "', which asks by memory; this version serves 'type = ...' only (" +
                         profile->position.file + ":" + std::to_string(profile->position.line) +
                         ")");
  return Verdict::allow();
}

Verdict request_verdict(const Config& config, const Domain& domain) {
  for (const Hostdev& hostdev : domain.hostdevs) {
    const bool asked =
        std::any_of(domain.asked.begin(), domain.asked.end(),
                    [&](const AskedGpu& gpu) { return gpu.alias == gpu_alias(hostdev.alias); });
    if (is_ours(hostdev) && !asked)
      return Verdict::deny("hostdev " + hostdev.alias +
                           " is not in the domain's gpuward metadata; 'gpuward detach " +
                           shell_word(domain.name) + "' takes it out");
  }
  for (const AskedGpu& gpu : domain.asked) {
    const Profile* const profile = find_profile(config, gpu.profile);
    // First: what its hostdev should be nobody knows of a profile that is not there.
    if (Verdict verdict = profile_verdict(config, gpu); !verdict) return verdict;
    const bool is_pci = gives_pci_devices(*profile);
    if (Verdict verdict = is_pci ? pci_verdict(domain, gpu) : hostdev_verdict(domain, gpu);
        !verdict)
      return verdict;
  }
  return Verdict::allow();
}

Verdict arrival_verdict(const Config& config, std::string_view operation) {
  if (config.guard.migration != Policy::block) return Verdict::allow();
  return Verdict::deny(std::string(operation == "migrate" ? "live migration" : "restoring") +
                       " of a domain with a GPU is blocked on this host; shut it down and start it "
                       "here, or set 'migration = allow' in [guard] of /etc/gpuward/gpuward.conf");
}

}  // namespace gpuward
