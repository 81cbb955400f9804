// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <string>

#include "allocation/choose_device.hpp"
#include "cli/commands.hpp"
#include "config/config.hpp"
#include "libvirt/client.hpp"
#include "pci/nvml.hpp"
#include "state/definition_lock.hpp"

namespace gpuward {

// What the commands that change a domain's definition share.

/// The domain of that name; throws Error when there is none or it is on.
DomainStore::Found require_off(const DomainStore& store, const std::string& name);

/// Held while a command reads, changes and defines it.
std::optional<Lock> lock_definition_of(const Settings& settings, const DomainStore::Found& domain);

/// Shows (--dry-run) or defines what became of the domain's XML. Warns where a start would not use
/// it.
int show_or_define(const Settings& settings, DomainStore& store, const DomainStore::Found& domain,
                   const std::string& before, const std::string& after, const std::string& done);

/// `xml` with all closed that [guard] blocks, as attach leaves it.
std::string protected_for_attach(const Settings& settings, const Config& config,
                                 const std::string& xml);

/// What is taken, and what other domains that are off are pointed at.
DeviceUse device_use(const Settings& settings, const Config& config, const DomainStore& store,
                     const Uuid& domain);

/// `xml` with its GPUs at available devices. Warns of each whose edit is refused: it stays.
/// `asked`: as of pools_of().
std::string with_available_devices(const Settings& settings, const Config& config,
                                   const std::string& xml, const DeviceUse& use,
                                   const std::shared_ptr<AskedCards>& asked);

/// Refuses a domain with this XML what [profile] allow = or a quota never permits, and warns where
/// a quota does not permit its start now.
void require_permitted(const Settings& settings, const Config& config, const std::string& xml);

}  // namespace gpuward
