// SPDX-License-Identifier: LGPL-2.1-or-later
// gpuward-nvml: lists, creates and destroys the GPU instances of one card through NVIDIA's library,
// and says which scheduler its vGPUs have and which cards NVLink connects.
// A program of its own, as the hook is static, and as a library of a vendor's may crash or block.
// Prints one fact a line; pci/nvml.cpp reads them.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "pci/nvml_abi.hpp"

namespace gpuward::nvml {
namespace {

/// Looked for where the dynamic linker looks; no environment reaches us.
constexpr const char* default_library = "libnvidia-ml.so.1";

/// Printed as "error WORD TEXT".
struct Failure {
  std::string word, text;
};

std::string word_of(Return code) {
  switch (code) {
    case not_supported:
      return "not-supported";
    case no_permission:
      return "no-permission";
    case driver_not_loaded:
      return "no-driver";
    case in_use:
      return "in-use";
    case insufficient_resources:
      return "no-room";
    default:
      return "other";
  }
}

void require(Return code, const char* function) {
  if (code != success)
    throw Failure{word_of(code), std::string(function) + " returned " + std::to_string(code)};
}

/// NVIDIA's library. Throws Failure where this version of it has not what is called.
class Library {
 public:
  explicit Library(const char* path) : library_(::dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    if (!library_) throw Failure{"no-library", ::dlerror()};
    shutdown_ = function<Shutdown>("nvmlShutdown");
    require(function<Init_v2>("nvmlInit_v2")(), "nvmlInit_v2");
  }
  ~Library() { shutdown_(); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <typename Function>
  Function* function(const char* name) const {
    Function* const found = find_function<Function>(name);
    if (!found)
      throw Failure{"too-old", std::string("driver is too old: its library has no ") + name};
    return found;
  }
  /// Null where this version of it has none.
  template <typename Function>
  Function* find_function(const char* name) const {
    return reinterpret_cast<Function*>(::dlsym(library_, name));
  }

 private:
  void* library_;
  Shutdown* shutdown_ = nullptr;
};

/// Calls the function of the library of that name; throws Failure for an error.
#define NVML(library, name, ...) \
  require((library).function<name>("nvml" #name)(__VA_ARGS__), "nvml" #name)

struct Profile {
  unsigned id = 0, slices = 0, most = 0;
  unsigned long long memory_mib = 0;
  std::string name;
};

struct Card {
  const Library& library;
  Device device = nullptr;
};

/// One line of the output.
std::string printable(const char* text, size_t size) {
  std::string clean(text, ::strnlen(text, size));
  for (char& c : clean)
    if (c < ' ' || c > '~') c = '?';
  return clean;
}

template <typename Info>
Return read_profile(const Card& card, unsigned index, unsigned version, Profile& profile) {
  Info info{};
  info.version = version_of<Info>(version);
  const auto read = card.library.function<DeviceGetGpuInstanceProfileInfoV>(
      "nvmlDeviceGetGpuInstanceProfileInfoV");
  const Return code = read(card.device, index, &info);
  if (code == success)
    profile = {info.id, info.slices, info.most, info.memory_mib,
               printable(info.name, sizeof info.name)};
  return code;
}

/// Those that the card has.
std::vector<Profile> profiles_of(const Card& card) {
  std::vector<Profile> profiles;
  for (unsigned index = 0; index < gpu_instance_profiles; ++index) {
    Profile profile;
    Return code = read_profile<ProfileInfo3>(card, index, 3, profile);
    if (code == version_mismatch) code = read_profile<ProfileInfo2>(card, index, 2, profile);
    if (code == not_supported || code == invalid_argument) continue;
    require(code, "nvmlDeviceGetGpuInstanceProfileInfoV");
    profiles.push_back(std::move(profile));
  }
  return profiles;
}

struct Instance {
  GpuInstance handle = nullptr;
  GpuInstanceInfo info{};
};

std::vector<Instance> instances_of(const Card& card, const Profile& profile) {
  std::vector<GpuInstance> handles(profile.most);
  unsigned count = profile.most;
  NVML(card.library, DeviceGetGpuInstances, card.device, profile.id, handles.data(), &count);
  std::vector<Instance> instances;
  instances.reserve(count);
  for (unsigned at = 0; at < count && at < handles.size(); ++at) {
    Instance instance{handles[at]};
    NVML(card.library, GpuInstanceGetInfo, instance.handle, &instance.info);
    instances.push_back(instance);
  }
  return instances;
}

std::vector<ComputeProfileInfo> compute_profiles(const Card& card, const Instance& instance) {
  std::vector<ComputeProfileInfo> profiles;
  for (unsigned index = 0; index < compute_instance_profiles; ++index) {
    ComputeProfileInfo info{};
    const Return code = card.library.function<GpuInstanceGetComputeInstanceProfileInfo>(
        "nvmlGpuInstanceGetComputeInstanceProfileInfo")(instance.handle, index, shared_engines,
                                                        &info);
    if (code == not_supported || code == invalid_argument) continue;
    require(code, "nvmlGpuInstanceGetComputeInstanceProfileInfo");
    profiles.push_back(info);
  }
  return profiles;
}

std::vector<ComputeInstance> compute_instances(const Card& card, const Instance& instance) {
  std::vector<ComputeInstance> all;
  for (const ComputeProfileInfo& profile : compute_profiles(card, instance)) {
    std::vector<ComputeInstance> handles(profile.most);
    unsigned count = profile.most;
    NVML(card.library, GpuInstanceGetComputeInstances, instance.handle, profile.id, handles.data(),
         &count);
    for (unsigned at = 0; at < count && at < handles.size(); ++at) all.push_back(handles[at]);
  }
  return all;
}

// ---- list

const char* mig_mode(const Card& card) {
  unsigned current = 0, pending = 0;
  const Return code = card.library.function<DeviceGetMigMode>("nvmlDeviceGetMigMode")(
      card.device, &current, &pending);
  if (code == not_supported) return "unsupported";
  require(code, "nvmlDeviceGetMigMode");
  if (current == mig_enabled) return "on";
  return pending == mig_enabled ? "pending" : "off";
}

void print_profile(const Card& card, const Profile& profile) {
  unsigned remaining = 0, count = 0;
  NVML(card.library, DeviceGetGpuInstanceRemainingCapacity, card.device, profile.id, &remaining);
  std::printf("profile %u %u %llu %u %u %s\n", profile.id, profile.slices, profile.memory_mib,
              profile.most, remaining, profile.name.c_str());
  NVML(card.library, DeviceGetGpuInstancePossiblePlacements_v2, card.device, profile.id, nullptr,
       &count);
  std::vector<Placement> places(count);
  if (count > 0)
    NVML(card.library, DeviceGetGpuInstancePossiblePlacements_v2, card.device, profile.id,
         places.data(), &count);
  for (unsigned at = 0; at < count && at < places.size(); ++at)
    std::printf("placement %u %u %u\n", profile.id, places[at].start, places[at].size);
}

void print_instances(const Card& card, const Profile& profile) {
  for (const Instance& instance : instances_of(card, profile))
    std::printf("instance %u %u %u %u %zu\n", instance.info.id, instance.info.profile_id,
                instance.info.placement.start, instance.info.placement.size,
                compute_instances(card, instance).size());
}

const char* policy_word(unsigned policy) {
  if (policy == best_effort) return "best-effort";
  if (policy == equal_share) return "equal-share";
  return policy == fixed_share ? "fixed-share" : nullptr;
}

/// In ns; 0 for what is none. The driver takes 1 to 30 ms (Virtual GPU Software User Guide); the
/// first versions of the header count in ms.
unsigned time_slice(const SchedulerState& state) {
  constexpr unsigned shortest = 1'000'000, longest = 30'000'000;
  const unsigned slice = state.arr_mode == arr_enabled ? state.second : state.first;
  return slice >= shortest && slice <= longest ? slice : 0;
}

/// Nothing where the driver does not report it: an older one, or a card without vGPUs.
void print_scheduler(const Card& card) {
  const auto read =
      card.library.find_function<DeviceGetVgpuSchedulerState>("nvmlDeviceGetVgpuSchedulerState");
  SchedulerState state{};
  if (!read || read(card.device, &state) != success) return;
  if (const char* const policy = policy_word(state.policy))
    std::printf("scheduler %s %u\n", policy, time_slice(state));
}

void list(const Card& card) {
  const std::string mode = mig_mode(card);
  std::printf("mig %s\n", mode.c_str());
  print_scheduler(card);
  // Nothing more is needed of it, and the library refuses the places to who is not root.
  if (mode != "on") return;
  for (const Profile& profile : profiles_of(card)) {
    print_profile(card, profile);
    print_instances(card, profile);
  }
}

// ---- links

std::string end_of_link(const Card& card, unsigned link) {
  unsigned type = 0;
  NVML(card.library, DeviceGetNvLinkRemoteDeviceType, card.device, link, &type);
  if (type == switch_end) return "switch\n";
  if (type != gpu_end) return {};
  PciInfo info{};
  NVML(card.library, DeviceGetNvLinkRemotePciInfo_v2, card.device, link, &info);
  char text[32];
  std::snprintf(text, sizeof text, "gpu %04x:%02x:%02x.0\n", info.domain, info.bus, info.device);
  return text;
}

/// One line for each that is up.
std::string links_of(const Card& card) {
  const auto state = card.library.function<DeviceGetNvLinkState>("nvmlDeviceGetNvLinkState");
  std::string lines;
  for (unsigned link = 0; link < most_nvlinks; ++link) {
    unsigned is_active = 0;
    const Return code = state(card.device, link, &is_active);
    if (code == not_supported || code == invalid_argument) continue;
    require(code, "nvmlDeviceGetNvLinkState");
    if (is_active == link_active) lines += end_of_link(card, link);
  }
  return lines;
}

/// Nothing of a card that cannot be read.
std::string links_at(const Library& library, const char* address) try {
  Card card{library};
  NVML(library, DeviceGetHandleByPciBusId_v2, address, &card.device);
  return std::string("card ") + address + '\n' + links_of(card);
} catch (const Failure&) {
  return {};
}

void links(const Library& library, const std::vector<const char*>& words) {
  for (size_t at = 1; at < words.size(); ++at)
    std::fputs(links_at(library, words[at]).c_str(), stdout);
}

// ---- create and destroy

/// Which GPU instance; without an id whichever is at that place.
struct Wanted {
  unsigned profile_id = 0;
  Placement placement{};
  const char* id = "-";
};

/// As `nvidia-smi mig -C` does it: one that has all slices. A driver that needs none for vGPUs may
/// have no profile for it.
void create_compute_instance(const Card& card, const Instance& instance, unsigned slices) {
  for (const ComputeProfileInfo& profile : compute_profiles(card, instance)) {
    if (profile.slices != slices) continue;
    ComputeInstance created = nullptr;
    NVML(card.library, GpuInstanceCreateComputeInstance, instance.handle, profile.id, &created);
    return;
  }
}

void destroy_compute_instances(const Card& card, const Instance& instance) {
  for (const ComputeInstance handle : compute_instances(card, instance))
    NVML(card.library, ComputeInstanceDestroy, handle);
}

Profile require_profile(const Card& card, unsigned id) {
  for (Profile& profile : profiles_of(card))
    if (profile.id == id) return std::move(profile);
  throw Failure{"no-profile", "card has no GPU instance profile " + std::to_string(id)};
}

void create(const Card& card, const Wanted& wanted) {
  const Profile profile = require_profile(card, wanted.profile_id);
  Instance instance;
  NVML(card.library, DeviceCreateGpuInstanceWithPlacement, card.device, profile.id,
       &wanted.placement, &instance.handle);
  try {
    NVML(card.library, GpuInstanceGetInfo, instance.handle, &instance.info);
    create_compute_instance(card, instance, profile.slices);
  } catch (const Failure& failure) {
    const auto undo = card.library.function<GpuInstanceDestroy>("nvmlGpuInstanceDestroy");
    if (undo(instance.handle) != success) throw Failure{"left", failure.text};
    throw;
  }
  std::printf("created %u\n", instance.info.id);
}

/// Another at its place, or of its id elsewhere, is not the one: no driver keeps them when it is
/// loaded again.
bool is_wanted(const Wanted& wanted, const GpuInstanceInfo& info) {
  const bool is_there = info.placement.start == wanted.placement.start &&
                        info.placement.size == wanted.placement.size;
  return is_there && (std::strcmp(wanted.id, "-") == 0 || std::to_string(info.id) == wanted.id);
}

/// Does nothing where there is none.
template <typename Work>
void with_instance(const Card& card, const Wanted& wanted, Work work) {
  const Profile profile = require_profile(card, wanted.profile_id);
  for (const Instance& instance : instances_of(card, profile)) {
    if (!is_wanted(wanted, instance.info)) continue;
    work(profile, instance);
    std::puts("done");
    return;
  }
  std::puts("absent");
}

void destroy(const Card& card, const Wanted& wanted) {
  with_instance(card, wanted, [&](const Profile&, const Instance& instance) {
    destroy_compute_instances(card, instance);
    NVML(card.library, GpuInstanceDestroy, instance.handle);
  });
}

/// Of one that was there: it gets its compute instance, and back.
void fill(const Card& card, const Wanted& wanted) {
  with_instance(card, wanted, [&](const Profile& profile, const Instance& instance) {
    create_compute_instance(card, instance, profile.slices);
  });
}

void empty(const Card& card, const Wanted& wanted) {
  with_instance(card, wanted, [&](const Profile&, const Instance& instance) {
    destroy_compute_instances(card, instance);
  });
}

// ---- its command line

constexpr const char* usage =
    "usage: gpuward-nvml [--library PATH] list ADDRESS\n"
    "       gpuward-nvml [--library PATH] links ADDRESS...\n"
    "       gpuward-nvml [--library PATH] create|destroy|fill|empty ADDRESS PROFILE-ID START SIZE "
    "[ID]\n";

unsigned number(const char* text) {
  char* end = nullptr;
  const unsigned long value = std::strtoul(text, &end, 10);
  if (end == text || *end != '\0' || value > 0xffffffffUL) throw Failure{"usage", usage};
  return static_cast<unsigned>(value);
}

void run(const Library& library, const std::vector<const char*>& words) {
  Card card{library};
  if (words.size() < 2) throw Failure{"usage", usage};
  if (std::strcmp(words[0], "links") == 0) return links(library, words);
  NVML(library, DeviceGetHandleByPciBusId_v2, words[1], &card.device);
  const std::string verb = words[0];
  if (verb == "list" && words.size() == 2) return list(card);
  if (words.size() < 5 || words.size() > 6) throw Failure{"usage", usage};
  const Wanted wanted{
      number(words[2]), {number(words[3]), number(words[4])}, words.size() == 6 ? words[5] : "-"};
  const bool is_on = std::strcmp(mig_mode(card), "on") == 0;
  if (verb == "create" && !is_on) throw Failure{"mig-off", "MIG mode is off"};
  if (verb == "create") return create(card, wanted);
  if (!is_on) {
    std::puts("absent");  // the driver keeps none while the mode is off
    return;
  }
  if (verb == "destroy") return destroy(card, wanted);
  if (verb == "fill") return fill(card, wanted);
  if (verb == "empty") return empty(card, wanted);
  throw Failure{"usage", usage};
}

}  // namespace
}  // namespace gpuward::nvml

int main(int argc, char** argv) {
  using namespace gpuward::nvml;
  std::vector<const char*> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  const char* path = default_library;
  if (words.size() >= 2 && std::strcmp(words[0], "--library") == 0) {
    path = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words.empty() || std::strcmp(words[0], "--help") == 0) {
    std::fputs(usage, words.empty() ? stderr : stdout);
    return words.empty() ? 2 : 0;
  }
  try {
    const Library library(path);
    run(library, words);
  } catch (const Failure& failure) {
    std::printf("error %s %s\n", failure.word.c_str(), failure.text.c_str());
    return 1;
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
