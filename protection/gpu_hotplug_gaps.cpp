// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "base/quote.hpp"
#include "protection/guest_slots.hpp"
#include "protection/own_ports.hpp"
#include "protection/pci_controllers.hpp"
#include "protection/pci_ports.hpp"
#include "protection/pci_root.hpp"
#include "protection/protect_work.hpp"

namespace gpuward {

namespace {

std::string name_of(const Document& document, const Hostdev& gpu) {
  return "hostdev " + shown(gpu.alias.empty()
                                ? "at line " + std::to_string(element_of(document, gpu).line)
                                : gpu.alias);
}

Gap gap(std::string element, int line, std::string text, bool can_be_fixed = true) {
  return {Guard::gpu_hotplug, line, std::move(element), std::move(text), can_be_fixed};
}

Gap override_gap(const std::string& name, const Element& setting) {
  return gap(
      name, setting.line,
      "GPU can be removed while the domain runs: <qemu:" + setting.name + "> sets " +
          (setting.name == "arg" ? "acpi-root-pci-hotplug of pci.0" : "hotplug of its PCI port") +
          ", '" + shown(setting.attribute("value").value_or("")) + "'",
      false);
}

/// Of a GPU for which libvirt is yet to choose a place; `number`: it is the first, second, ... one.
void add_gap_without_place(const Document& document, const Hostdev& gpu, int number,
                           std::vector<Gap>& gaps) {
  const std::string name = name_of(document, gpu);
  const PciRoot root = pci_root_of(document);
  if (root == PciRoot::pcie) {
    const std::string obstacle = path_from(document, 0).obstacle;  // where its port would be
    gaps.push_back(obstacle.empty() ? gap(name, gpu.line, "GPU has no PCI port with hot-plug off")
                                    : gap(name, gpu.line,
                                          "GPU can be removed while the domain runs: " + obstacle +
                                              what_to_write(document),
                                          false));
  }
  if (root != PciRoot::i440fx) return;
  if (const Element* const setting = find_override(document, path_from(document, 0)))
    return gaps.push_back(override_gap(name, *setting));
  const int missing = number - room_on_root(document);
  if (missing > 0)
    gaps.push_back(
        gap(name, gpu.line,
            "GPU could be removed while the domain runs: pci.0 has too few free slots, and "
            "libvirt puts the GPU behind a pci-bridge, whose hot-plug no XML switches "
            "off" +
                make_room(document, missing),
            false));
  else if (is_root_open(document))
    gaps.push_back(
        gap(name, gpu.line, "GPU can be removed while the domain runs: pci.0 has hot-plug"));
}

void add_gap_of(const Document& document, const std::vector<const Hostdev*>& gpus,
                const Hostdev& gpu, const PciAddress& address, std::vector<Gap>& gaps) {
  const std::string name = name_of(document, gpu);
  const PciPath path = path_from(document, address.bus);
  if (!path.obstacle.empty()) {
    gaps.push_back(
        gap(name, gpu.line,
            "GPU can be removed while the domain runs: " + path.obstacle + what_to_write(document),
            false));
    return;
  }
  if (const Element* const setting = find_override(document, path))
    return gaps.push_back(override_gap(name, *setting));
  const auto open = std::find_if(path.ports.begin(), path.ports.end(),
                                 [](const Element* port) { return !is_closed(*port); });
  if (open != path.ports.end()) {
    const std::string others =
        *open == path.ports.front() ? others_on(document, address.bus, gpus) : "";
    if (!others.empty())
      return gaps.push_back(gap(name, gpu.line,
                                "GPU shares a PCI port with " + others +
                                    ", whose hot-plug would be disabled too" +
                                    what_to_write(document),
                                false));
    gaps.push_back(gap(name, (*open)->line,
                       "GPU can be removed while the domain runs: PCI port " +
                           std::string((*open)->attribute("index").value_or("?")) +
                           " has hot-plug"));
  } else if (path.through_root && is_root_open(document)) {
    gaps.push_back(
        gap(name, gpu.line, "GPU can be removed while the domain runs: pci.0 has hot-plug"));
  }
}

/// With `strict`: where a GPU could be added.
void add_strict_gaps(const Document& document, std::vector<Gap>& gaps) {
  for (const Element& device : devices_of(document)) {
    if (!is_pci_controller(device)) continue;
    const std::string_view model = model_of(device);
    const std::string name =
        "PCI controller " + shown(std::string(device.attribute("index").value_or("?")));
    if (is_port(model) && !is_closed(device))
      gaps.push_back(gap(name, device.line, "devices can be added while the domain runs"));
    if (const Element* const property =
            is_port(model) ? overridden_hotplug(document, device) : nullptr)
      gaps.push_back(gap(name, property->line,
                         "devices can be added while the domain runs: <qemu:property> sets hotplug "
                         "of the port",
                         false));
    if (!model.empty() && !is_port(model) && !is_fixed(model) && model != "pci-root")
      gaps.push_back(gap(name, device.line,
                         "devices can be added while the domain runs, which XML cannot disable; "
                         "remove the " +
                             shown(model),
                         false));
  }
}

}  // namespace

void find_gpu_hotplug_gaps(const GapSearch& search, std::vector<Gap>& gaps) {
  const Document& document = search.document;
  bool has_gpu = false;
  int without_place = 0;
  for (const Hostdev* const gpu : search.gpus) {
    if (!is_on_pci(document, *gpu)) continue;
    has_gpu = true;
    const Element& element = element_of(document, *gpu);
    if (has_invalid_address(element))
      gaps.push_back(gap(name_of(document, *gpu), gpu->line,
                         "guest <address> is not a PCI address: domain, bus, slot or function is "
                         "not a number or too large",
                         false));
    else if (const auto address = guest_address(element))
      add_gap_of(document, search.gpus, *gpu, *address, gaps);
    else
      add_gap_without_place(document, *gpu, ++without_place, gaps);
  }
  if (search.policy.gpu_hotplug_strict && has_gpu) add_strict_gaps(document, gaps);
}

}  // namespace gpuward
