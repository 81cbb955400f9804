// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/gpu_hostdevs.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/file.hpp"
#include "base/text.hpp"
#include "config/gpu_settings.hpp"
#include "mdev/parent.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

bool is_ours(const Hostdev& hostdev) {
  return hostdev.alias.starts_with(alias_prefix);
}

static bool is_gpu_device(const Root& root, const Config& config, const PciAddress& address) {
  const std::string name = to_string(address);
  const std::string path = root.sys("bus/pci/devices/") + name;
  if (is_gpu_class(hex_number(read_attribute(path + "/class").value_or("")))) return true;
  const Parent device = read_identity(path, name);
  return std::any_of(config.gpus.begin(), config.gpus.end(), [&](const GpuSection& section) {
    return declares_gpu(section.selector, device);
  });
}

bool is_gpu(const Root& root, const Config& config, const Hostdev& hostdev) {
  if (is_ours(hostdev)) return true;
  if (hostdev.type == Hostdev::Type::mdev) return hostdev.model == "vfio-pci";
  return hostdev.address && is_gpu_device(root, config, *hostdev.address);
}

std::vector<const Hostdev*> gpu_hostdevs(const Root& root, const Config& config,
                                         const Domain& domain) {
  std::vector<const Hostdev*> gpus;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (is_gpu(root, config, hostdev)) gpus.push_back(&hostdev);
  return gpus;
}

static bool is_of_address(char c) {
  return std::isxdigit(static_cast<unsigned char>(c)) || c == ':';
}

/// The PCI addresses in a text, written as QEMU takes them: 0000:01:00.0, 01:00.0, 1:0.0.
static std::vector<PciAddress> addresses_in(std::string_view text) {
  std::vector<PciAddress> addresses;
  for (size_t dot = text.find('.'); dot != text.npos; dot = text.find('.', dot + 1)) {
    size_t begin = dot;
    while (begin > 0 && is_of_address(text[begin - 1])) --begin;
    const auto parts = split(text.substr(begin, dot - begin), ':');
    if (parts.size() < 2 || parts.size() > 3 || dot + 1 == text.size()) continue;
    std::vector<unsigned> numbers;
    for (const std::string_view part : parts) {
      unsigned number = 0;
      const auto [end, failure] =
          std::from_chars(part.data(), part.data() + part.size(), number, 16);
      if (failure == std::errc{} && end == part.data() + part.size()) numbers.push_back(number);
    }
    const char function = text[dot + 1];
    if (numbers.size() != parts.size() || function < '0' || function > '7') continue;
    const unsigned bus = numbers[numbers.size() - 2], slot = numbers.back();
    if (bus > 0xff || slot > 0x1f) continue;
    addresses.push_back({numbers.size() == 3 ? numbers[0] : 0, static_cast<uint8_t>(bus),
                         static_cast<uint8_t>(slot), static_cast<uint8_t>(function - '0')});
  }
  return addresses;
}

std::vector<const CommandLineDevice*> command_line_gpus(const Root& root, const Config& config,
                                                        const Domain& domain) {
  std::vector<const CommandLineDevice*> gpus;
  for (const CommandLineDevice& device : domain.command_line) {
    const auto addresses = addresses_in(device.text);
    if (addresses.empty() ||
        std::any_of(addresses.begin(), addresses.end(), [&](const PciAddress& address) {
          return is_gpu_device(root, config, address);
        }))
      gpus.push_back(&device);
  }
  return gpus;
}

bool is_gpu_domain(const Root& root, const Config& config, const Domain& domain) {
  return requests_gpu(domain) ||
         std::any_of(domain.hostdevs.begin(), domain.hostdevs.end(),
                     [&](const Hostdev& hostdev) { return is_gpu(root, config, hostdev); }) ||
         !command_line_gpus(root, config, domain).empty();
}

bool requests_gpu(const Domain& domain) {
  return !domain.requests.empty() ||
         std::any_of(domain.hostdevs.begin(), domain.hostdevs.end(), is_ours);
}

}  // namespace gpuward
