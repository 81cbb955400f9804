// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/open_ports.hpp"

#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "protection/protect.hpp"
#include "state/definition_lock.hpp"

namespace gpuward {

OpenPorts::OpenPorts(const Root& root, CurrentConfig& config, JobQueue& workers)
    : root_(root), config_(config), workers_(workers) {}

void OpenPorts::connected(Connection connection) {
  {
    const std::scoped_lock lock(mutex_);
    connection_ = std::move(connection);
  }
  check_all();
}

void OpenPorts::disconnected() {
  const std::scoped_lock lock(mutex_);
  connection_ = nullptr;
  queue_.clear();
}

void OpenPorts::check_all() {
  const std::scoped_lock lock(mutex_);
  if (!connection_) return;
  workers_.post([this, connection = connection_] {
    try {
      for (const LibvirtDomain& domain : connection->persistent_domains()) add(domain);
    } catch (const std::exception& error) {
      log::error(std::string("cannot list domains to check their PCI ports: ") + error.what());
    }
  });
}

void OpenPorts::stopped(const LibvirtDomain& domain) {
  add(domain);
}

void OpenPorts::add(const LibvirtDomain& domain) {
  const std::scoped_lock lock(mutex_);
  if (!connection_) return;
  queue_.emplace_back(domain);
  if (!std::exchange(working_, true)) workers_.post([this] { work(); });
}

void OpenPorts::work() {
  std::unique_lock lock(mutex_);
  while (!queue_.empty()) {
    const LibvirtDomain domain(queue_.front());
    queue_.pop_front();
    const Connection connection = connection_;
    lock.unlock();
    try {
      if (connection) look_at(domain, *connection);
    } catch (const std::exception& error) {
      log::warning(domain.name(),
                   std::string("cannot disable hot-plug of the GPU's PCI port: ") + error.what());
    }
    lock.lock();
  }
  working_ = false;
}

static ClosedPorts closed_ports(const Root& root, const Config& config,
                                const std::optional<std::string>& xml) {
  if (!xml || !may_have_gpu(*xml)) return {};
  return close_ports_of_gpus(*xml,
                             [&](const Hostdev& hostdev) { return is_gpu(root, config, hostdev); });
}

static void say_closed(const LibvirtDomain& domain, const ClosedPorts& closed) {
  const std::string name = shown(domain.name());
  for (const ClosedPorts::Port& port : closed.ports) {
    const std::string reason = "GPU " + shown(port.alias) + (port.alias.empty() ? "" : " ") + '(' +
                               port.device + ") could be removed while the domain runs (" +
                               setting_text(Guard::gpu_hotplug, Policy::block) + ")";
    const log::Field fields[] = {
        {"GPUWARD_DOMAIN", name},
        {"GPUWARD_UUID", to_string(domain.uuid())},
        {"GPUWARD_ACTION", std::string(log::action_of(log::Message::port_closed))},
        {"GPUWARD_LAYER", "guard"},
        {"GPUWARD_REASON", reason}};
    log::entry(log::Severity::info, log::Message::port_closed,
               domain_title(domain.name()) + ": hot-plug of PCI port " +
                   std::to_string(port.index) + " disabled, active at next start: " + reason,
               fields);
  }
}

/// The definition is read again with the lock: another gpuward process may have replaced it.
void OpenPorts::look_at(const LibvirtDomain& domain, const LibvirtConnection& connection) {
  const auto config = config_.get_valid();
  if (!config || config->guard.gpu_hotplug != Policy::block) return;
  if (closed_ports(root_, *config, domain.inactive_xml()).ports.empty() ||
      domain.condition() != Condition::off)
    return;
  const auto lock = lock_definition(root_, domain.uuid(), std::chrono::seconds(5));
  const ClosedPorts closed = closed_ports(root_, *config, domain.inactive_xml());
  if (closed.ports.empty() || domain.condition() != Condition::off || domain.has_saved_state())
    return;
  connection.define(closed.xml);
  say_closed(domain, closed);
}

}  // namespace gpuward
