// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/mdev.hpp"

#include <cerrno>
#include <map>
#include <utility>

#include "base/error.hpp"
#include "base/kernel_write.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "kinds/rows.hpp"
#include "kinds/types.hpp"
#include "mdev/instance.hpp"
#include "mdev/parent.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

// ---- types

static void add_types(const Root& root, const std::string& parent,
                      const std::vector<std::string>* counted, bool of_one_part,
                      std::map<std::string, GpuType>& types) {
  for (const std::string& id : type_ids(root, parent)) {
    GpuType& type = types[id];
    if (type.id.empty()) {
      type = with_size({.id = id,
                        .name = type_name(root, parent, id),
                        .use = Use::mdev,
                        .description = type_description(root, parent, id)});
      if (!of_one_part) type.device_api = device_api(root, parent, id);
    }
    if (is_counted(counted, type))
      type.on.push_back({parent, available_instances(root, parent, id)});
  }
}

static std::vector<GpuType> types(const Root& root, const Gpu& gpu,
                                  const std::vector<std::string>* counted, bool of_one_part,
                                  std::string& /*unknown*/) {
  std::map<std::string, GpuType> found;
  for (const std::string& parent : gpu.mdev_parents) {
    add_types(root, parent, counted, of_one_part, found);
    if (of_one_part && !found.empty()) break;
  }
  std::vector<GpuType> sorted;
  sorted.reserve(found.size());
  for (auto& [id, type] : found) sorted.push_back(std::move(type));
  return sorted;
}

static std::string name_of_type(TypeNames& names, const GpuInstance& view) {
  const Instance& instance = view.instance;
  if (instance.type.empty()) return {};
  // "nvidia-559": the driver's name is in it, so it means the same on all its GPUs.
  const auto found = names.mdevs.find(instance.type);
  if (found != names.mdevs.end()) return found->second;
  return names.mdevs[instance.type] = type_name(names.root, instance.parent, instance.type);
}

// ---- creation

static Error create_error(const Root& root, const ClaimedDevice& device,
                          const WriteResult& result) {
  const std::string title = gpu_title(device.alias);
  const std::string what = "creating " + device.type + " on " + device.parent;
  const std::string check = "check: journalctl -k";
  if (result.outcome == WriteResult::Outcome::blocked)
    return Error(title, what + " is " + blocked_in_kernel(result.child), check);
  if (result.outcome == WriteResult::Outcome::unknown)
    return Error(title, what + " ended without a report", check);
  if (create_failure(result.code) == CreateFailure::taken) {
    const auto parent = parent_of_uuid(root, device.instance);
    return Error(title,
                 what + " failed: instance " + to_string(device.instance) + " already exists on " +
                     parent.value_or("another GPU"),
                 "run: echo 1 > /sys/bus/mdev/devices/" + to_string(device.instance) + "/remove");
  }
  return Error(title, what + " failed: " + errno_text(result.code), check);
}

/// Whether another place may be tried: the kernel says no, but not because of this instance. EINVAL
/// is what some drivers say when nothing is left.
static bool has_no_capacity(const Root& root, const ClaimedDevice& device,
                            const WriteResult& result) {
  if (result.outcome != WriteResult::Outcome::failed) return false;
  const CreateFailure failure = create_failure(result.code);
  if (failure == CreateFailure::no_capacity || failure == CreateFailure::gone) return true;
  return result.code == EINVAL &&
         available_instances(root, device.parent, device.type).value_or(0) == 0;
}

/// Writes to `create`, one result for each device that was tried.
static std::vector<WriteResult> write_creations(const Root& root,
                                                const std::vector<ClaimedDevice*>& devices,
                                                const Deadlines& deadlines,
                                                const std::function<void()>& write_claim) {
  std::vector<KernelWrite> writes;
  writes.reserve(devices.size());
  for (const ClaimedDevice* const device : devices)
    writes.push_back(creation(root, {device->instance, device->parent, device->type}));
  // As named_writing does it, with one write of the claim for all instances.
  return write_in_child(writes, deadlines.writing([&](pid_t writer) {
    const Process process = identify(root, writer);
    for (ClaimedDevice* const device : devices) device->writer = process;
    write_claim();
  }));
}

size_t create_instances(const Root& root, const std::vector<ClaimedDevice*>& devices,
                        const Deadlines& deadlines, const std::function<void()>& write_claim) {
  const auto results = write_creations(root, devices, deadlines, write_claim);
  for (size_t i = 0; i < results.size(); ++i) {
    ClaimedDevice& device = *devices[i];
    if (results[i].outcome != WriteResult::Outcome::blocked) device.writer = {};
    if (results[i].outcome == WriteResult::Outcome::written) continue;
    if (has_no_capacity(root, device, results[i])) return i;
    const Error error = create_error(root, device, results[i]);
    if (results[i].outcome == WriteResult::Outcome::blocked) {
      device.state = ClaimedDevice::State::quarantined;
    } else if (results[i].outcome == WriteResult::Outcome::failed) {
      device.parent.clear();  // whatever has this UUID now, we did not make it
    }
    for (size_t rest = i + 1; rest < devices.size(); ++rest) {
      devices[rest]->parent.clear();
      devices[rest]->writer = {};  // the child stops at the first failure
    }
    throw error;
  }
  return results.size();
}

static void require_created(const Root& root, const ClaimedDevice& device) {
  if (exists_as(root, {device.instance, device.parent, device.type})) return;
  const auto instance = find_instance(root, device.instance);
  throw Error(
      gpu_title(device.alias),
      "created instance " + to_string(device.instance) + " of type " + device.type + " on " +
          device.parent + " but it " +
          (instance ? "has type " + instance->type + " on " + instance->parent : "does not exist"),
      "check: journalctl -k");
}

// ---- removal

KernelChange remove_instance(const Root& root, const Uuid& instance, const Deadlines& deadlines,
                             std::function<void(pid_t)> on_start) {
  if (!instance_directory(root, instance)) return {};
  if (const auto holder = wait_until_closed(deadlines.release_wait(),
                                            [&] { return OpenDevices(root).holder_of(instance); }))
    return {"in use by " + to_string(*holder)};
  const auto found = find_instance(root, instance);
  if (!found)
    return {
        "removal is blocked in the kernel until the process using the instance exits; check: "
        "journalctl -k"};
  // A removal now would leave a device without `remove` (EAGAIN, drivers/vfio/mdev/mdev_sysfs.c).
  if (found->type.empty()) return {"driver is still creating the instance"};
  const KernelWrite write = removal(root, instance);
  const WriteResult result =
      write_in_child({&write, 1}, deadlines.writing(std::move(on_start))).front();
  if (result.outcome == WriteResult::Outcome::blocked)
    return {"removal is " + blocked_in_kernel(result.child) + "; check: journalctl -k",
            result.child};
  const bool gone_already = result.code == ENOENT || result.code == ENODEV;
  if (result.outcome == WriteResult::Outcome::failed && !gone_already)
    return {"kernel rejected the removal: " + errno_text(result.code)};
  const auto wait = deadlines.write_wait();
  if (!wait_until_gone(root, instance, wait))
    return {"instance still exists " + std::to_string(wait.count() / 1000) +
            " s after its removal"};
  return {};
}

/// Whether the instance in sysfs is the one that was claimed: someone may have removed ours and
/// made another of that UUID on another parent, which is none of our business.
static bool is_claimed_one(const Root& root, const ClaimedDevice& device) {
  if (const auto instance = find_instance(root, device.instance))
    return instance->parent == device.parent;
  return instance_directory(root, device.instance).has_value();  // its removal has begun
}

static std::string blocked_write(const Root& root, const ClaimedDevice& device) {
  const auto instance = find_instance(root, device.instance);
  return instance && !instance->type.empty() ? "removal" : "creation";
}

static std::string tear_down(const Root& root, const Claim& owner, ClaimedDevice& device,
                             const Deadlines& deadlines) {
  if (is_by_hand(device)) {
    const auto holder = wait_until_closed(
        deadlines.release_wait(), [&] { return OpenDevices(root).holder_of(device.instance); });
    return holder ? "in use by " + to_string(*holder) : "";
  }
  device.has_attributes = false;  // they go with the instance
  if (!is_claimed_one(root, device)) return {};
  KernelChange removal = remove_instance(root, device.instance, deadlines, [&](pid_t writer) {
    device.writer = identify(root, writer);
    Claims(root).update(owner, device);
  });
  device.writer = {};  // what is left of a removal that is blocked can be seen in sysfs
  return std::move(removal.failure);
}

static std::optional<unsigned> memory(const Root& root, const ClaimedDevice& device,
                                      const std::string& type) {
  if (device.parent.empty() || type.empty()) return {};
  return with_size({.id = type,
                    .name = gpuward::type_name(root, device.parent, type),
                    .description = type_description(root, device.parent, type)})
      .memory_mib;
}

// ---- its row

static bool is_offered(const Gpu& gpu) {
  return gpu.serves_mdevs();
}

static std::vector<std::string> parents_of(const Gpu& gpu) {
  return gpu.mdev_parents;
}

constexpr Kind mdev_kind{.use = Use::mdev,
                         .is_offered = is_offered,
                         .parts = parents_of,
                         .types = types,
                         .type_name = name_of_type,
                         .memory = memory,
                         .require_set_up = require_created,
                         .tear_down = tear_down,
                         .blocked_write = blocked_write};

}  // namespace gpuward
