// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace gpuward {

/// What may happen to a domain, as far as libvirt's events are watched for it.
enum class EventKind {
  started,
  stopped,
  suspended,  ///< by whomever: LibvirtDomain::condition tells
  resumed,
  migrating,       ///< QEMU began to write its state to another host or into a file
  device_added,    ///< a device as libvirt's event names it
  device_removed,  ///< the guest released it
  device_kept,     ///< the guest refused to release it
  memory_resized,  ///< virtio-mem
  defined,         ///< its persistent definition is new, another one, or gone
};

}  // namespace gpuward
