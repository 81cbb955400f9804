// SPDX-License-Identifier: LGPL-2.1-or-later
// A stand-in for libnvidia-ml.so.1: README.md.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "pci/nvml_abi.hpp"

namespace gpuward::nvml {
namespace {

struct Profile {
  unsigned index, id, slices, most;
  unsigned long long memory_mib;
  const char* name;
  std::vector<Placement> places;
};

/// Of an A100 with 40 GB (NVIDIA's MIG user guide).
const std::vector<Profile>& profiles() {
  static const std::vector<Profile> all = {
      {0, 19, 1, 7, 4864, "MIG 1g.5gb", {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}},
      {7,
       20,
       1,
       1,
       4864,
       "MIG 1g.5gb+me",
       {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}},
      {1, 14, 2, 3, 9856, "MIG 2g.10gb", {{0, 2}, {2, 2}, {4, 2}}},
      {2, 9, 3, 2, 19968, "MIG 3g.20gb", {{0, 4}, {4, 4}}},
      {3, 5, 4, 1, 19968, "MIG 4g.20gb", {{0, 4}}},
      {4, 0, 7, 1, 40192, "MIG 7g.40gb", {{0, 8}}},
  };
  return all;
}

const Profile* profile_of(unsigned id) {
  for (const Profile& profile : profiles())
    if (profile.id == id) return &profile;
  return nullptr;
}

struct Instance {
  unsigned id, profile_id;
  Placement place;
  unsigned compute_instances;
};

/// Domain, bus and slot in one number: the handle of a device is made of it.
unsigned device_number(const char* address) {
  unsigned domain = 0, bus = 0, slot = 0;
  if (std::sscanf(address, "%x:%x:%x", &domain, &bus, &slot) != 3) return 0;
  return domain << 16 | bus << 8 | slot;
}

/// The file, locked while it is used.
class State {
 public:
  explicit State(const char* function) : function_(function) {
    Dl_info info{};
    ::dladdr(reinterpret_cast<void*>(&profiles), &info);
    path_ = std::string(info.dli_fname);
    path_.resize(path_.rfind('/') + 1);
    path_ += "nvml-state";
    lock_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    ::flock(lock_, LOCK_EX);
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) read(line);
    add_before();
    while (has("hangs")) ::pause();
    if (has("crashes")) std::abort();
  }
  ~State() { ::close(lock_); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  std::string mode = "on";
  std::vector<Instance> instances;
  unsigned next = 1;
  bool lacks_v3 = false;
  SchedulerState scheduler{};
  struct Link {
    unsigned card = 0;  ///< as device_number() has it
    unsigned number = 0, type = 0, to = 0;
    bool is_up = true;
  };
  std::vector<Link> links;

  /// What the function is to return in place of doing anything; success otherwise.
  Return given() const {
    const auto found = returns_.find(function_);
    return found == returns_.end() ? success : static_cast<Return>(found->second);
  }
  Return done() {
    std::ofstream file(path_);
    file << "mig " << mode << "\nnext " << next << '\n';
    for (const Instance& each : instances)
      file << "instance " << each.id << ' ' << each.profile_id << ' ' << each.place.start << ' '
           << each.place.size << ' ' << each.compute_instances << '\n';
    for (const std::string& line : others_) file << line << '\n';
    file.close();
    if (has("crashes-after")) std::abort();
    return success;
  }
  const Link* find_link(unsigned card, unsigned number) const {
    for (const Link& each : links)
      if (each.card == card && each.number == number) return &each;
    return nullptr;
  }
  Instance* find(unsigned id) {
    for (Instance& each : instances)
      if (each.id == id) return &each;
    return nullptr;
  }

 private:
  bool has(const std::string& word) const {
    return std::find(others_.begin(), others_.end(), word + ' ' + function_) != others_.end();
  }
  void read(const std::string& line) {
    std::istringstream text(line);
    std::string word, function;
    Instance instance{};
    text >> word;
    if (word == "mig") text >> mode;
    if (word == "next") text >> next;
    if (word == "lacks-v3") lacks_v3 = true;
    if (word == "scheduler")
      text >> scheduler.policy >> scheduler.arr_mode >> scheduler.first >> scheduler.second;
    if (word == "link" || word == "link-down") read_link(word, text);
    if (word == "instance") {
      text >> instance.id >> instance.profile_id >> instance.place.start >> instance.place.size >>
          instance.compute_instances;
      instances.push_back(instance);
    }
    if (word == "returns") {
      text >> function;
      text >> returns_[function];
    }
    if (word != "mig" && word != "next" && word != "instance") others_.push_back(line);
  }

  void read_link(const std::string& word, std::istringstream& text) {
    std::string card, to;
    Link link;
    text >> card >> link.number >> to;
    link.card = device_number(card.c_str());
    link.type = to == "switch" ? 2 : to == "npu" ? 1 : 0;
    if (link.type == 0) link.to = device_number(to.c_str());
    link.is_up = word == "link";
    links.push_back(link);
  }

  /// Another tool has created it since the last call.
  void add_before() {
    const std::string prefix = "adds-before " + function_ + ' ';
    for (std::string& line : others_)
      if (line.rfind(prefix, 0) == 0) {
        read(std::exchange(line, "added").substr(prefix.size()));
        done();
        return;
      }
  }

  std::string function_, path_;
  int lock_ = -1;
  std::map<std::string, unsigned> returns_;
  std::vector<std::string> others_;
};

bool overlap(const Placement& one, const Placement& other) {
  return one.start < other.start + other.size && other.start < one.start + one.size;
}

bool is_free(const State& state, const Placement& place) {
  return std::none_of(state.instances.begin(), state.instances.end(),
                      [&](const Instance& each) { return overlap(each.place, place); });
}

template <typename Handle>
Handle handle_of(unsigned number) {
  return reinterpret_cast<Handle>(static_cast<uintptr_t>(number) + 1);
}

template <typename Handle>
unsigned number_of(Handle handle) {
  return static_cast<unsigned>(reinterpret_cast<uintptr_t>(handle) - 1);
}

template <typename Info>
Return tell_profile(const Profile& profile, void* to) {
  Info info{};
  info.id = profile.id;
  info.slices = profile.slices;
  info.most = profile.most;
  info.memory_mib = profile.memory_mib;
  std::strcpy(info.name, profile.name);
  std::memcpy(to, &info, sizeof info);
  return success;
}

}  // namespace

extern "C" {

#define ANSWER(state, function) \
  State state(#function);       \
  if (const Return given = (state).given(); given != success) return given

Return nvmlInit_v2() {
  ANSWER(state, Init_v2);
  return success;
}

Return nvmlShutdown() {
  return success;
}

Return nvmlDeviceGetHandleByPciBusId_v2(const char* address, Device* device) {
  ANSWER(state, DeviceGetHandleByPciBusId_v2);
  *device = handle_of<Device>(device_number(address));
  return success;
}

#ifndef WITHOUT_NVLINK
Return nvmlDeviceGetNvLinkState(Device device, unsigned number, unsigned* is_active) {
  ANSWER(state, DeviceGetNvLinkState);
  const State::Link* const link = state.find_link(number_of(device), number);
  if (!link) return number < 4 ? not_supported : invalid_argument;
  *is_active = link->is_up;
  return success;
}

Return nvmlDeviceGetNvLinkRemoteDeviceType(Device device, unsigned number, unsigned* type) {
  ANSWER(state, DeviceGetNvLinkRemoteDeviceType);
  const State::Link* const link = state.find_link(number_of(device), number);
  if (!link || !link->is_up) return invalid_argument;
  *type = link->type;
  return success;
}

Return nvmlDeviceGetNvLinkRemotePciInfo_v2(Device device, unsigned number, PciInfo* info) {
  ANSWER(state, DeviceGetNvLinkRemotePciInfo_v2);
  const State::Link* const link = state.find_link(number_of(device), number);
  if (!link || !link->is_up) return invalid_argument;
  *info = {};
  info->domain = link->to >> 16;
  info->bus = link->to >> 8 & 0xff;
  info->device = link->to & 0xff;
  return success;
}
#endif

Return nvmlDeviceGetMigMode(Device, unsigned* current, unsigned* pending) {
  ANSWER(state, DeviceGetMigMode);
  if (state.mode == "unsupported") return not_supported;
  *current = state.mode == "on";
  *pending = state.mode != "off";
  return success;
}

Return nvmlDeviceGetVgpuSchedulerState(Device, SchedulerState* to) {
  ANSWER(state, DeviceGetVgpuSchedulerState);
  if (state.scheduler.policy == 0) return not_supported;
  *to = state.scheduler;
  return success;
}

Return nvmlDeviceGetGpuInstanceProfileInfoV(Device, unsigned index, void* info) {
  ANSWER(state, DeviceGetGpuInstanceProfileInfoV);
  if (index > 0x11) return invalid_argument;
  unsigned version;
  std::memcpy(&version, info, sizeof version);
  for (const Profile& profile : profiles()) {
    if (profile.index != index) continue;
    if (version == version_of<ProfileInfo3>(3) && !state.lacks_v3)
      return tell_profile<ProfileInfo3>(profile, info);
    return version == version_of<ProfileInfo2>(2) ? tell_profile<ProfileInfo2>(profile, info)
                                                  : version_mismatch;
  }
  return not_supported;
}

Return nvmlDeviceGetGpuInstanceRemainingCapacity(Device, unsigned id, unsigned* count) {
  ANSWER(state, DeviceGetGpuInstanceRemainingCapacity);
  const Profile* const profile = profile_of(id);
  if (!profile || state.mode != "on") return not_supported;
  const auto existing = std::count_if(state.instances.begin(), state.instances.end(),
                                      [&](const Instance& each) { return each.profile_id == id; });
  *count = 0;
  for (const Placement& place : profile->places) *count += is_free(state, place);
  *count = std::min(*count, profile->most - static_cast<unsigned>(existing));
  return success;
}

Return nvmlDeviceGetGpuInstancePossiblePlacements_v2(Device, unsigned id, Placement* places,
                                                     unsigned* count) {
  ANSWER(state, DeviceGetGpuInstancePossiblePlacements_v2);
  const Profile* const profile = profile_of(id);
  if (state.mode != "on") return no_permission;  // as of who is not root
  if (!profile) return not_supported;
  *count = static_cast<unsigned>(profile->places.size());
  if (places) std::copy(profile->places.begin(), profile->places.end(), places);
  return success;
}

Return nvmlDeviceCreateGpuInstanceWithPlacement(Device, unsigned id, const Placement* place,
                                                GpuInstance* created) {
  ANSWER(state, DeviceCreateGpuInstanceWithPlacement);
  if (state.mode != "on") return not_supported;
  if (!profile_of(id)) return invalid_argument;
  if (!is_free(state, *place)) return insufficient_resources;
  *created = handle_of<GpuInstance>(state.next);
  state.instances.push_back({state.next++, id, *place, 0});
  return state.done();
}

Return nvmlDeviceGetGpuInstances(Device, unsigned id, GpuInstance* handles, unsigned* count) {
  ANSWER(state, DeviceGetGpuInstances);
  if (state.mode != "on") return not_supported;
  *count = 0;
  for (const Instance& each : state.instances)
    if (each.profile_id == id) handles[(*count)++] = handle_of<GpuInstance>(each.id);
  return success;
}

Return nvmlGpuInstanceGetInfo(GpuInstance handle, GpuInstanceInfo* info) {
  ANSWER(state, GpuInstanceGetInfo);
  const Instance* const found = state.find(number_of(handle));
  if (!found) return not_found;
  *info = {handle_of<Device>(0), found->id, found->profile_id, found->place};
  return success;
}

Return nvmlGpuInstanceDestroy(GpuInstance handle) {
  ANSWER(state, GpuInstanceDestroy);
  const Instance* const found = state.find(number_of(handle));
  if (!found) return not_found;
  if (found->compute_instances > 0) return in_use;
  state.instances.erase(state.instances.begin() + (found - state.instances.data()));
  return state.done();
}

Return nvmlGpuInstanceGetComputeInstanceProfileInfo(GpuInstance handle, unsigned index,
                                                    unsigned engines, ComputeProfileInfo* info) {
  ANSWER(state, GpuInstanceGetComputeInstanceProfileInfo);
  const Instance* const found = state.find(number_of(handle));
  if (!found || engines != shared_engines || index > 8) return invalid_argument;
  const Profile& profile = *profile_of(found->profile_id);
  // One profile: all slices of the GPU instance.
  if (index != 0) return not_supported;
  *info = {};
  info->id = 4;
  info->slices = profile.slices;
  info->most = 1;
  return success;
}

Return nvmlGpuInstanceGetComputeInstances(GpuInstance handle, unsigned, ComputeInstance* handles,
                                          unsigned* count) {
  ANSWER(state, GpuInstanceGetComputeInstances);
  const Instance* const found = state.find(number_of(handle));
  if (!found) return not_found;
  *count = found->compute_instances;
  if (*count > 0) handles[0] = handle_of<ComputeInstance>(found->id);
  return success;
}

Return nvmlGpuInstanceCreateComputeInstance(GpuInstance handle, unsigned,
                                            ComputeInstance* created) {
  ANSWER(state, GpuInstanceCreateComputeInstance);
  Instance* const found = state.find(number_of(handle));
  if (!found) return not_found;
  if (found->compute_instances > 0) return insufficient_resources;
  found->compute_instances = 1;
  *created = handle_of<ComputeInstance>(found->id);
  return state.done();
}

Return nvmlComputeInstanceDestroy(ComputeInstance handle) {
  ANSWER(state, ComputeInstanceDestroy);
  Instance* const found = state.find(number_of(handle));
  if (!found) return not_found;
  found->compute_instances = 0;
  return state.done();
}

}  // extern "C"

}  // namespace gpuward::nvml
