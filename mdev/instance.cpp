// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/instance.hpp"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/file.hpp"
#include "mdev/parent.hpp"

namespace gpuward {

static constexpr std::string_view devices = "bus/mdev/devices/";

std::string instance_path(const Root& root, const Uuid& uuid) {
  return root.sys(devices) + to_string(uuid);
}

std::optional<Instance> find_instance(const Root& root, const Uuid& uuid) {
  const std::string path = instance_path(root, uuid);
  const auto device = read_link(path);  // ../../../devices/.../PARENT/UUID
  if (!device) return {};
  const auto type = read_link(path + "/mdev_type");  // ../mdev_supported_types/TYPE
  const std::string_view parent_dir = std::string_view(*device).substr(0, device->rfind('/'));
  return Instance{uuid, std::string(base_name(parent_dir)),
                  type ? std::string(base_name(*type)) : std::string()};
}

bool exists_as(const Root& root, const Instance& instance) {
  const auto type = read_link(root.sys("class/mdev_bus/") + instance.parent + '/' +
                              to_string(instance.uuid) + "/mdev_type");
  return type && base_name(*type) == instance.type;
}

std::vector<std::string> instance_names(const Root& root) {
  return list_directory(root.sys("bus/mdev/devices"));
}

std::vector<Instance> list_instances(const Root& root) {
  std::vector<Instance> instances;
  for (const auto& name : instance_names(root))
    if (const auto uuid = parse_uuid(name))
      if (auto instance = find_instance(root, *uuid)) instances.push_back(std::move(*instance));
  return instances;
}

KernelWrite creation(const Root& root, const Instance& instance) {
  return {root.sys("class/mdev_bus/") + instance.parent + "/mdev_supported_types/" + instance.type +
              "/create",
          to_string(instance.uuid)};
}

KernelWrite removal(const Root& root, const Uuid& uuid) {
  return {instance_path(root, uuid) + "/remove", "1"};
}

CreateFailure create_failure(int code) {
  switch (code) {
    case ENOSPC:
    case EUSERS:
    case ENOMEM:
      return CreateFailure::no_capacity;
    case ENODEV:
    case ENOENT:
      return CreateFailure::gone;
    case EEXIST:
      return CreateFailure::taken;
    default:
      return CreateFailure::other;
  }
}

std::optional<std::string> instance_directory(const Root& root, const Uuid& uuid) {
  const std::string path = instance_path(root, uuid);
  if (exists(path)) return path;
  for (const std::string& parent : parent_names(root)) {
    const std::string below = root.sys("class/mdev_bus/") + parent + '/' + to_string(uuid);
    if (exists(below)) return below;
  }
  return {};
}

std::optional<std::string> parent_of_uuid(const Root& root, const Uuid& uuid) {
  if (auto instance = find_instance(root, uuid)) return std::move(instance->parent);
  const auto directory = instance_directory(root, uuid);
  if (!directory) return {};
  return std::string(base_name(directory->substr(0, directory->rfind('/'))));
}

bool wait_until_gone(const Root& root, const Uuid& uuid, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  auto pause = std::chrono::microseconds(100);
  while (instance_directory(root, uuid)) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(pause);
    if (pause < std::chrono::milliseconds(20)) pause *= 2;
  }
  return true;
}

std::string mdevctl_directory(const Root& root, std::string_view parent) {
  return root.etc("mdevctl.d/") + std::string(parent);
}

bool mdevctl_defines(const Root& root, const std::string& parent, const Uuid& uuid) {
  return exists(mdevctl_directory(root, parent) + '/' + to_string(uuid));
}

}  // namespace gpuward
