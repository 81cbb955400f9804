// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "state/gpu_domain_marker.hpp"

namespace gpuward {

/// One <memory> device of a running domain.
struct MemoryDevice {
  std::string alias;
  uint64_t kib = 0;      ///< what the guest is to have of it: for virtio-mem the requested size
  bool resizes = false;  ///< virtio-mem: it is not unplugged but asked back
  std::string model;     ///< "dimm", "virtio-mem"
  uint64_t size = 0;     ///< KiB; of virtio-mem the most it can have
};

/// What the guard knows of a running domain.
struct DomainFacts {
  bool has_gpu = false;
  std::vector<MemoryDevice> memory;
  std::map<std::string, std::string, std::less<>> hostdevs;  ///< mdev and PCI: alias, host device
  std::vector<std::string> gpus;                             ///< aliases of those that are GPUs
  std::set<std::string, std::less<>> aliases;                ///< of all devices

  /// By its alias, or by what DEVICE_ADDED calls it: the name of its backend, which is "mem" and
  /// the alias (qemu_hotplug.c, qemuDomainAttachMemory).
  const MemoryDevice* find_memory(std::string_view name) const;
  bool has_gpu_alias(std::string_view alias) const;
  /// A device that came after what these facts are of, or that has gone.
  void forget(std::string_view name);
};

/// Reads the XML of a running domain. Throws Error when it is none.
DomainFacts domain_facts(const Root& root, const Config& config, std::string_view xml);

/// What of `facts` the domain had when it started, by what the hook recorded then. libvirt rounds
/// the sizes of memory up and appends what is added later.
DomainFacts facts_at_start(const StartedDevices& started, const DomainFacts& facts);

/// The <memory> element of that alias with another requested size, as virDomainUpdateDeviceFlags
/// takes it; nothing when there is no such element or it has no requested size.
std::optional<std::string> memory_with_size(std::string_view xml, std::string_view alias,
                                            uint64_t kib);

/// Whether a device that an event names can be one that the guard checks: hostdevs and memory
/// have libvirt's aliases or, like any device, one that begins with "ua-".
bool may_concern_guard(std::string_view name);

}  // namespace gpuward
