// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace gpuward {

/// Which of its vGPUs NVIDIA's driver runs when (Virtual GPU Software User Guide, "vGPU
/// Schedulers"). NVML alone reports it (nvmlDeviceGetVgpuSchedulerState), no file of sysfs.
struct VgpuScheduler {
  enum class Policy { best_effort, equal_share, fixed_share } policy = Policy::best_effort;
  unsigned time_slice_ns = 0;  ///< 0: not known
  bool operator==(const VgpuScheduler&) const = default;
};

}  // namespace gpuward
