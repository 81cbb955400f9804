// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/pci_root.hpp"

#include "protection/pci_controllers.hpp"

namespace gpuward {

PciRoot pci_root_of(const Document& document) {
  if (const Element* const root = find_controller(document, 0);
      root && model_of(*root) == "pcie-root")
    return PciRoot::pcie;
  const Element* const os = document.root.child("os");
  const Element* const type = os ? os->child("type") : nullptr;
  const auto machine = type ? type->attribute("machine").value_or("") : "";
  const auto arch = type ? type->attribute("arch").value_or("") : "";
  if (machine.find("q35") != machine.npos || machine.starts_with("virt")) return PciRoot::pcie;
  const bool is_x86 = arch.empty() || arch == "x86_64" || arch == "i686";
  if (is_x86 && (machine.empty() || machine.starts_with("pc"))) return PciRoot::i440fx;
  return PciRoot::unknown;
}

}  // namespace gpuward
