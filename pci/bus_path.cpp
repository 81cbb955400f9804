// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/bus_path.hpp"

#include <string>
#include <string_view>

#include "base/file.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

/// "pci0000:40", of which the rest of an address is made up.
static std::optional<PciAddress> parse_host_bridge(std::string_view part) {
  constexpr std::string_view prefix = "pci";
  if (!part.starts_with(prefix)) return {};
  return parse_pci_address(std::string(part.substr(prefix.size())) + ":00.0");
}

std::optional<BusPath> bus_path(const Root& root, const PciAddress& device) {
  const std::string path = read_link(pci_path(root, device)).value_or("");
  std::optional<BusPath> found;
  for (const std::string_view part : split(path, '/'))
    if (const auto bridge = parse_host_bridge(part))
      found = BusPath{*bridge};
    else if (const auto port = parse_pci_address(part); found && port && *port != device)
      found->ports.push_back(*port);
  return found;
}

}  // namespace gpuward
