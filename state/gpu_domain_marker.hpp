// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

// The hook records each domain with a GPU that starts in a marker file,
// /run/gpuward/gpu-domains/UUID: the domain's name, and the devices that it starts with. polkit's
// helper may neither ask libvirt nor read its XML, and the guard may see a domain only after a
// device was added to it.

/// A <memory> device of the definition that a domain starts with. Sizes in KiB.
struct StartedMemory {
  std::string model;
  uint64_t size = 0;
  uint64_t kib = 0;  ///< what the guest is to have of it: for virtio-mem the requested size
};

struct StartedDevices {
  std::vector<StartedMemory> memory;
  std::set<std::string, std::less<>> hostdevs;  ///< PCI addresses and UUIDs of the host's devices
};

/// Written at prepare with the devices, and at reconnect without, where they are those of now;
/// again does no harm. Throws SystemError.
void mark_gpu_domain(const Root& root, const Uuid& domain, std::string_view name,
                     const StartedDevices* devices = nullptr);

/// The devices that it started with; nothing when they were not recorded or cannot be read.
std::optional<StartedDevices> started_devices(const Root& root, const Uuid& domain);

/// Removed at release; absent is well. Throws SystemError.
void unmark_gpu_domain(const Root& root, const Uuid& domain);

std::vector<Uuid> guarded_domains(const Root& root);

/// Removes temporary files of processes that were killed while they wrote a mark.
void sweep_marks(const Root& root);

/// Changes whenever the mark is made; "" when there is none. Throws SystemError.
std::string mark_stamp(const Root& root, const Uuid& domain);

/// Whether it has a mark or a claim. Throws SystemError when that cannot be determined.
bool has_gpu_now(const Root& root, const Uuid& domain);

/// The same for what protects it: true also when that cannot be determined.
bool may_have_gpu_now(const Root& root, const Uuid& domain);

}  // namespace gpuward
