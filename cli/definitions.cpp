// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/definitions.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "config/names.hpp"
#include "domain/domain.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "libvirt/client.hpp"
#include "mdev/instance.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

static void warn_unknown(Definitions& definitions, const std::string& what, const Error& error) {
  Reason reason = about(what, error.reason);
  log::warning(without_remedy(reason) + "; which GPUs definitions have is unknown");
  if (definitions.unknown.problem.empty()) definitions.unknown = std::move(reason);
}

void add_definition(const Root& root, const std::string& xml, Definitions& definitions) {
  const Domain domain = parse_domain(xml);
  for (const Hostdev& hostdev : domain.hostdevs) {
    DomainsByDevice& devices = is_ours(hostdev) ? definitions.attached : definitions.by_hand;
    devices[source_of(hostdev)].insert(domain.name);
  }
  const auto gpus = command_line_gpus(root, Config{}, domain);
  for (const CommandLineDevice& device : domain.command_line) {
    const bool is_gpu = std::find(gpus.begin(), gpus.end(), &device) != gpus.end();
    definitions.on_command_lines.push_back({lower_case(device.text), domain.name, is_gpu});
  }
  if (domain.readconfig != 0)
    warn_unknown(definitions, domain_title(domain.name),
                 Error("domain XML line " + std::to_string(domain.readconfig),
                       "the file of -readconfig is not searched for GPUs"));
}

/// A directory that stands for the host has no libvirt, unless one is named.
Definitions read_definitions(const Settings& settings) {
  Definitions definitions;
  if (!settings.root.prefix.empty() && settings.connect.empty()) return definitions;
  try {
    const DomainStore store(settings.root, settings.connect);
    definitions.libvirt = store.version();
    for (const DomainStore::Found& found : store.all()) try {
        add_definition(
            settings.root,
            found.persistent ? store.inactive_xml(found.uuid) : store.live_xml(found.uuid),
            definitions);
      } catch (const Error& error) {
        warn_unknown(definitions, domain_title(found.name), error);
      }
  } catch (const Error& error) {
    warn_unknown(definitions, "libvirt", error);
  }
  return definitions;
}

std::vector<AbsentDevice> absent_devices(const Root& root, const Definitions& definitions) {
  std::vector<AbsentDevice> absent;
  for (const DomainsByDevice* const devices : {&definitions.attached, &definitions.by_hand})
    for (const auto& [name, domains] : *devices) {
      const auto address = parse_pci_address(name);
      const auto uuid = parse_uuid(name);
      if (address ? !exists(pci_path(root, *address)) : uuid && !find_instance(root, *uuid))
        absent.push_back({!address, domains});
    }
  return absent;
}

}  // namespace gpuward
