// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "config/config.hpp"

namespace gpuward {

/// A key of [gpu] beside `use`.
struct GpuKey {
  const char* name;
  bool (*is_set)(const GpuSection& gpu);
  bool UseTraits::*trait = nullptr;  ///< what a kind must have for it to be permitted; null: any
  /// What a kind must have for it to change what a domain gets, where `trait` does not say so.
  bool UseTraits::*matters_for = nullptr;
};

inline constexpr GpuKey gpu_keys[] = {
    {"instances", [](const GpuSection& gpu) { return !gpu.instances.empty(); },
     &UseTraits::has_instances},
    {"max", [](const GpuSection& gpu) { return !gpu.max.empty(); }, &UseTraits::has_types},
    {"vfs", [](const GpuSection& gpu) { return gpu.vfs.has_value(); }, &UseTraits::is_vf},
    {"adopt", [](const GpuSection& gpu) { return gpu.adopt.has_value(); },
     &UseTraits::can_be_adopted},
    {"exec-quantum", [](const GpuSection& gpu) { return gpu.quota.exec_quantum_ms.has_value(); },
     &UseTraits::has_vf_quota},
    {"preempt-timeout",
     [](const GpuSection& gpu) { return gpu.quota.preempt_timeout_us.has_value(); },
     &UseTraits::has_vf_quota},
    {"vf-memory", [](const GpuSection& gpu) { return gpu.quota.memory_mib.has_value(); },
     &UseTraits::has_vf_quota},
    {"isolation", [](const GpuSection& gpu) { return gpu.isolation.has_value(); }, nullptr,
     &UseTraits::has_types},
    {"expect",
     [](const GpuSection& gpu) {
       const ExpectedIdentity& expect = gpu.expect;
       return expect.serial || expect.uuid || expect.subsystem || expect.slot;
     }},
    {"reset-method", [](const GpuSection& gpu) { return !gpu.reset_method.empty(); }, nullptr,
     &UseTraits::is_whole_card},
};

}  // namespace gpuward
