// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/section.hpp"

namespace gpuward {

constexpr Choice<Policy> policies[] = {
    {"block", Policy::block}, {"warn", Policy::warn}, {"allow", Policy::allow}};

constexpr Choice<std::pair<Policy, bool>> gpu_hotplug_policies[] = {
    {"block", {Policy::block, false}},
    {"strict", {Policy::block, true}},
    {"warn", {Policy::warn, false}},
    {"allow", {Policy::allow, false}}};

template <Policy GuardPolicy::*member>
static void set_policy(GuardPolicy& guard, const Setting& setting) {
  if (const auto policy = choose(setting, policies)) guard.*member = *policy;
}

/// `strict` is block and more.
static void set_gpu_hotplug(GuardPolicy& guard, const Setting& setting) {
  if (const auto policy = choose(setting, gpu_hotplug_policies)) {
    guard.gpu_hotplug = policy->first;
    guard.gpu_hotplug_strict = policy->second;
  }
}

static void set_harden(GuardPolicy& guard, const Setting& setting) {
  if (const auto harden = choose(setting, yes_no)) guard.harden = *harden;
}

template <Guard guard>
constexpr Key<GuardPolicy> set_by_policy{to_string(guard), set_policy<key_of(guard).policy>};

constexpr Key<GuardPolicy> keys[] = {
    set_by_policy<Guard::migration>,
    set_by_policy<Guard::pause>,
    set_by_policy<Guard::memory_hotplug>,
    {to_string(Guard::gpu_hotplug), set_gpu_hotplug},
    {"harden", set_harden},
};

void parse_section(Section<GuardPolicy>& section, const SectionText& block) {
  set_keys(section, block, keys);
}

}  // namespace gpuward
