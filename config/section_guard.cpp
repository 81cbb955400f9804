// SPDX-License-Identifier: LGPL-2.1-or-later
#include <utility>

#include "config/section.hpp"

namespace gpuward {

constexpr Choice<Policy> policies[] = {{to_string(Policy::block), Policy::block},
                                       {to_string(Policy::warn), Policy::warn},
                                       {to_string(Policy::allow), Policy::allow}};

/// Of a guard that has the value strict as well.
constexpr Choice<std::pair<Policy, bool>> strict_policies[] = {
    {to_string(Policy::block), {Policy::block, false}},
    {"strict", {Policy::block, true}},
    {to_string(Policy::warn), {Policy::warn, false}},
    {to_string(Policy::allow), {Policy::allow, false}}};

template <size_t guard>
static void set_policy(GuardPolicy& policy, const Setting& setting) {
  constexpr GuardKey key = guard_keys[guard];
  if constexpr (key.strict == nullptr) {
    if (const auto chosen = choose(setting, policies)) policy.*key.policy = *chosen;
  } else if (const auto chosen = choose(setting, strict_policies)) {
    policy.*key.policy = chosen->first;
    policy.*key.strict = chosen->second;
  }
}

static void set_harden(GuardPolicy& policy, const Setting& setting) {
  if (const auto harden = choose(setting, yes_no)) policy.harden = *harden;
}

template <typename Guards>
struct Keys;

template <size_t... guards>
struct Keys<std::index_sequence<guards...>> {
  static constexpr Key<GuardPolicy> all[] = {{guard_keys[guards].name, set_policy<guards>}...,
                                             {"harden", set_harden}};
};

void parse_section(Section<GuardPolicy>& section, const SectionText& block) {
  set_keys(section, block, Keys<std::make_index_sequence<std::size(guard_keys)>>::all);
}

}  // namespace gpuward
