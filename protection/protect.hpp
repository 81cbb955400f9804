// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "protection/guards.hpp"

namespace gpuward {

using IsGpu = std::function<bool(const Hostdev&)>;

/// What a domain's XML shall not let through.
struct Protection {
  GuardPolicy policy;  ///< gaps of guards with `block` are closed, with harden = yes pauses too
  QemuCapabilities qemu;
  /// Whether it stays when the last GPU is detached: someone asked for it by itself.
  bool for_good = false;
  bool gpu_on_command_line = false;  ///< it has a GPU though none of its hostdevs is one
};

/// The gaps that concern these guards: what `protect` closes, or cannot close.
std::vector<Gap> gaps_to_close(const Document& document, const std::vector<const Hostdev*>& gpus,
                               const GuardPolicy& policy, QemuCapabilities qemu);

/// `xml` with these gaps closed, and what was there before kept in our metadata. Unchanged when
/// there are none, as when no hostdev is a GPU. Throws Error when one can be closed by its author
/// alone. protect(protect(x)) == protect(x).
std::string protect(std::string_view xml, const Protection& protection, const IsGpu& is_gpu);

/// `xml` as it was: unprotect(protect(x)) == x. What someone has changed since stays as it is.
std::string unprotect(std::string_view xml);

/// What close_ports_of_gpus did.
struct ClosedPorts {
  struct Port {
    unsigned index = 0;
    std::string alias;   ///< of the GPU, "" where it has none
    std::string device;  ///< of the host: PCI address or UUID of an instance
  };
  std::string xml;
  std::vector<Port> ports;  ///< none: the XML is as it was
};

/// `xml` of a domain that has gpuward's metadata, with the hot-plug of each PCIe root port off that
/// has a GPU alone behind it, and nothing else changed: what gpuward 0.1.0 attached has open ports.
/// A port that protect closed or made before was opened by someone and stays so.
ClosedPorts close_ports_of_gpus(std::string_view xml, const IsGpu& is_gpu);

/// Whether protect changed it, for attach or by itself.
bool is_protected(const Document& document);

/// Whether `protect` was asked for by itself.
bool is_protected_explicitly(const Document& document);

/// `xml` without what protect wrote for the devices of these aliases.
std::string unprotect_devices(std::string_view xml, const std::vector<std::string>& aliases);

}  // namespace gpuward
