// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/port_acs.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/retried.hpp"
#include "pci/bus_path.hpp"
#include "pci/config_space.hpp"
#include "pci/health.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

struct AcsFlag {
  uint16_t bit;
  const char* name;
};
/// What the kernel requires for an IOMMU group of its own (REQ_ACS_FLAGS, drivers/iommu/iommu.c).
static constexpr AcsFlag required[] = {
    {0x01, "SrcValid"}, {0x04, "ReqRedir"}, {0x08, "CmpltRedir"}, {0x10, "UpstreamFwd"}};

static uint16_t isolating(uint32_t flags) {
  uint32_t result = 0;
  for (const AcsFlag& flag : required) result |= flags & flag.bit;
  return static_cast<uint16_t>(result);
}

std::string acs_text(uint16_t flags) {
  std::string text;
  for (const AcsFlag& flag : required)
    if ((flags & flag.bit) != 0) text += (text.empty() ? "" : " ") + std::string(flag.name);
  return text.empty() ? "none" : text;
}

/// Device/Port Type in the PCI Express Capabilities register; nothing without that.
static std::optional<unsigned> port_type(int config) {
  constexpr unsigned pci_express = 0x10;
  const auto offset = find_capability(config, pci_express);
  const auto header = offset ? config_register(config, *offset) : std::nullopt;
  return header ? std::optional(*header >> 20 & 0xf) : std::nullopt;
}

static PortAcs unknown(const PciAddress& port, std::string why) {
  return {port, {}, {}, std::move(why)};
}

/// 16 bits of what can be switched, 16 of what is.
static PortAcs read_acs(const PciAddress& port, int config) {
  constexpr unsigned access_control_services = 0x0d;
  const auto first = config_register(config, first_extended_capability);
  if (!first)
    return unknown(port, "configuration space beyond byte 64 cannot be read; run as root");
  if (*first == no_answer) return unknown(port, "port does not answer");
  const auto offset = find_extended_capability(config, access_control_services);
  const auto flags = offset ? config_register(config, *offset + 4) : std::nullopt;
  if (!flags) return unknown(port, "port has no ACS capability");
  return {port, isolating(*flags & 0xffff), isolating(*flags >> 16), {}};
}

/// Nothing of a port that has none of its own.
static std::optional<PortAcs> acs_of(const Root& root, const PciAddress& port) {
  constexpr unsigned root_port = 4, upstream_port = 5, downstream_port = 6;
  if (!is_awake(root, port)) return unknown(port, "port is suspended or its power state unknown");
  const std::string path = pci_path(root, port) + "/config";
  const Fd config(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW); }));
  if (!config) return unknown(port, "cannot read " + path + ": " + errno_text(errno));
  const auto header = config_register(config.get(), 0);
  const auto type = port_type(config.get());
  if (type == upstream_port) return {};
  if (type == root_port || type == downstream_port) return read_acs(port, config.get());
  if (!header || *header == no_answer) return unknown(port, "port does not answer");
  return unknown(port, ::geteuid() == 0 ? "not a PCI Express port"
                                        : "configuration space cannot be read; run as root");
}

std::vector<PortAcs> acs_above(const Root& root, const PciAddress& device) {
  std::vector<PortAcs> all;
  const auto path = bus_path(root, device);
  if (!path) return all;
  for (const PciAddress& port : path->ports)
    if (auto acs = acs_of(root, port)) all.push_back(std::move(*acs));
  return all;
}

}  // namespace gpuward
