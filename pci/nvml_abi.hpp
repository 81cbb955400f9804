// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace gpuward::nvml {

// What gpuward uses of the binary interface of libnvidia-ml.so.1, NVIDIA's library: names, numbers
// and layouts as in nvml.h of NVIDIA's go-nvml (gen/nvml/nvml.h, API version 13), in words of our
// own, as Debian has no such header.

using Device = struct DeviceHandle*;
using GpuInstance = struct GpuInstanceHandle*;
using ComputeInstance = struct ComputeInstanceHandle*;

/// nvmlReturn_t: those that are told apart here.
enum Return : unsigned {
  success = 0,
  invalid_argument = 2,
  not_supported = 3,
  no_permission = 4,
  not_found = 6,
  driver_not_loaded = 9,
  in_use = 19,
  insufficient_resources = 23,
  version_mismatch = 25,
};

inline constexpr unsigned mig_enabled = 1;

/// Indexes of profiles, not their ids, are counted from 0: NVML_GPU_INSTANCE_PROFILE_COUNT is 0x12
/// and NVML_COMPUTE_INSTANCE_PROFILE_COUNT 9, more in each version; of one that it does not know
/// the library says invalid_argument.
inline constexpr unsigned gpu_instance_profiles = 0x20;
inline constexpr unsigned compute_instance_profiles = 0x10;
inline constexpr unsigned shared_engines = 0;

/// nvmlGpuInstancePlacement_t, in memory slices.
struct Placement {
  unsigned start, size;
};
static_assert(sizeof(Placement) == 8);

/// nvmlGpuInstanceProfileInfo_v2_t
struct ProfileInfo2 {
  unsigned version, id, is_p2p_supported, slices, most, multiprocessors, copy_engines, decoders,
      encoders, jpeg_engines, ofa_engines;
  unsigned long long memory_mib;
  char name[96];
};
static_assert(sizeof(ProfileInfo2) == 152);

/// nvmlGpuInstanceProfileInfo_v3_t
struct ProfileInfo3 {
  unsigned version, id, slices, most, multiprocessors, copy_engines, decoders, encoders,
      jpeg_engines, ofa_engines;
  unsigned long long memory_mib;
  char name[96];
  unsigned capabilities;
};
static_assert(sizeof(ProfileInfo3) == 152);

/// nvmlGpuInstanceInfo_t
struct GpuInstanceInfo {
  Device device;
  unsigned id, profile_id;
  Placement placement;
};
static_assert(sizeof(GpuInstanceInfo) == 24);

/// nvmlComputeInstanceProfileInfo_t
struct ComputeProfileInfo {
  unsigned id, slices, most, multiprocessors, copy_engines, decoders, encoders, jpeg_engines,
      ofa_engines;
};
static_assert(sizeof(ComputeProfileInfo) == 36);

/// nvmlVgpuSchedulerGetState_t. The last two are a union: {time slice}, or {average factor, time
/// slice} with adaptive round robin (ARR).
struct SchedulerState {
  unsigned policy, arr_mode, first, second;
};
static_assert(sizeof(SchedulerState) == 16);

/// NVML_VGPU_SCHEDULER_POLICY_*: 0 is unknown.
enum SchedulerPolicy : unsigned { best_effort = 1, equal_share = 2, fixed_share = 3 };

/// NVML_VGPU_SCHEDULER_ARR_ENABLE. In the first versions of the header it is 1, which is
/// ..._DISABLE now.
inline constexpr unsigned arr_enabled = 2;

/// NVML_STRUCT_VERSION
template <typename T>
constexpr unsigned version_of(unsigned number) {
  return static_cast<unsigned>(sizeof(T)) | number << 24;
}

/// NVML_NVLINK_MAX_LINKS; 4 to 12 in earlier versions. Of a link that the card does not have the
/// library says not_supported or invalid_argument.
inline constexpr unsigned most_nvlinks = 18;

/// NVML_FEATURE_ENABLED: the link is up.
inline constexpr unsigned link_active = 1;

/// nvmlIntNvLinkDeviceType_t: NVML_NVLINK_DEVICE_TYPE_GPU and _SWITCH; 1 is an IBM NPU.
enum NvLinkEnd : unsigned { gpu_end = 0, switch_end = 2 };

/// nvmlPciInfo_t
struct PciInfo {
  char legacy_address[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char address[32];
};
static_assert(sizeof(PciInfo) == 68);

// Types of the functions; each is named without its "nvml".
using Init_v2 = Return();
using Shutdown = Return();
using SystemGetDriverVersion = Return(char* text, unsigned size);
using DeviceGetHandleByPciBusId_v2 = Return(const char* address, Device*);
using DeviceGetVgpuSchedulerState = Return(Device, SchedulerState*);
using DeviceGetNvLinkState = Return(Device, unsigned link, unsigned* is_active);
using DeviceGetNvLinkRemoteDeviceType = Return(Device, unsigned link, unsigned* type);
using DeviceGetNvLinkRemotePciInfo_v2 = Return(Device, unsigned link, PciInfo*);
using DeviceGetMigMode = Return(Device, unsigned* current, unsigned* pending);
/// Of either version, which the struct begins with.
using DeviceGetGpuInstanceProfileInfoV = Return(Device, unsigned index, void* info);
using DeviceGetGpuInstanceRemainingCapacity = Return(Device, unsigned profile_id, unsigned* count);
using DeviceGetGpuInstancePossiblePlacements_v2 = Return(Device, unsigned profile_id, Placement*,
                                                         unsigned* count);
using DeviceCreateGpuInstanceWithPlacement = Return(Device, unsigned profile_id, const Placement*,
                                                    GpuInstance*);
using DeviceGetGpuInstances = Return(Device, unsigned profile_id, GpuInstance*, unsigned* count);
using GpuInstanceGetInfo = Return(GpuInstance, GpuInstanceInfo*);
using GpuInstanceDestroy = Return(GpuInstance);
using GpuInstanceGetComputeInstanceProfileInfo = Return(GpuInstance, unsigned index,
                                                        unsigned engines, ComputeProfileInfo*);
using GpuInstanceGetComputeInstances = Return(GpuInstance, unsigned profile_id, ComputeInstance*,
                                              unsigned* count);
using GpuInstanceCreateComputeInstance = Return(GpuInstance, unsigned profile_id, ComputeInstance*);
using ComputeInstanceDestroy = Return(ComputeInstance);

}  // namespace gpuward::nvml
