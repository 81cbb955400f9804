// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "base/root.hpp"
#include "guard/current_config.hpp"
#include "guard/job_queue.hpp"
#include "libvirt/events.hpp"

namespace gpuward {

/// Switches the hot-plug of the PCI ports of GPUs off, where gpu-hotplug blocks, in the definitions
/// of domains that are off and have gpuward's metadata: gpuward 0.1.0 left these ports open, and
/// the next release refuses to start such a domain. Only what close_ports_of_gpus changes; for all
/// else prepare warns. All that is public is called by the thread of the event loop and returns at
/// once.
class OpenPorts {
 public:
  OpenPorts(const Root& root, CurrentConfig& config, JobQueue& workers);

  void connected(std::shared_ptr<const LibvirtConnection> connection);
  void disconnected();
  void check_all();
  void stopped(const LibvirtDomain& domain);

 private:
  using Connection = std::shared_ptr<const LibvirtConnection>;

  void add(const LibvirtDomain& domain);
  void work();
  void look_at(const LibvirtDomain& domain, const LibvirtConnection& connection);

  const Root& root_;
  CurrentConfig& config_;
  JobQueue& workers_;

  std::mutex mutex_;  ///< of all below; held for moments
  Connection connection_;
  std::deque<LibvirtDomain> queue_;
  bool working_ = false;  ///< one thread goes through the queue
};

}  // namespace gpuward
