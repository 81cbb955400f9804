// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "allocation/capacity.hpp"
#include "base/error.hpp"
#include "inventory/gpu.hpp"
#include "inventory/usage.hpp"

namespace gpuward {

// What `gpuward setup` proposes for a host: which GPUs domains may be assigned and as what, which
// are left to the host and why, and a profile for each useful part of a card. Pure: what the host
// has comes in as values.

/// A GPU of the host, as far as the proposal depends on it.
struct SetupGpu {
  Gpu gpu{};
  std::string model{};           ///< as `list gpus` prints it; "" of what is no PCI device
  std::vector<GpuType> types{};  ///< all of it
  /// Names of the card, its companions, VFs and instances: PCI addresses and UUIDs.
  std::vector<std::string> parts{};
  CardRoom room{};  ///< of them, now
  GpuMemory memory{};
  unsigned instances = 0;            ///< mdevs, vGPUs and claimed devices on it
  std::set<std::string> domains{};   ///< that have a claim on it
  std::set<std::string> by_hand{};   ///< whose definition has it, or a part of it, written by hand
  std::set<std::string> attached{};  ///< whose definition has it, or a part, by gpuward
  std::set<std::string> attached_whole{};  ///< of these, those that have the card itself
  /// Whose definition has a device that does not exist now and may be a part of it when it does.
  std::set<std::string> absent{};
  std::vector<Holder> programs{};  ///< of the host that have it, or a companion, open
  std::string unknown_programs{};  ///< why these are not known; "" when they are
  std::string not_whole{};         ///< why it cannot be assigned as a whole; "" when it can
  bool shows_console = false;      ///< boot display of the host
  bool sets_vfs = false;           ///< the kernel has sriov_numvfs for it
};

struct SetupHost {
  std::vector<SetupGpu> gpus{};  ///< by name
  /// Why it is not known which domains have GPUs, running or by their definitions; without a
  /// problem when it is. No GPU is then proposed, and none has use = off, which would keep a domain
  /// that has it written by hand from starting.
  Reason unknown_domains{};
  std::string no_vendor_vfs{};     ///< why this host's libvirt takes none; "" when it does
  std::set<std::string> models{};  ///< names that a request may have instead of a profile's
};

/// A GPU that domains may be assigned.
struct SetupSection {
  const SetupGpu* gpu = nullptr;  ///< of the host that was asked about
  Use use = whole_use;
  std::optional<unsigned> vfs{};  ///< to enable; nothing where none are needed
};

/// One that is left to the host, or to who has it.
struct LeftAlone {
  const SetupGpu* gpu = nullptr;
  std::string reason{};
  bool is_off = false;  ///< use = off in its section
};

/// A part of a card that a domain can request.
struct SetupProfile {
  std::string name{};
  Use use = whole_use;
  std::string type{};       ///< as the configuration takes it; of kinds with types
  std::string type_name{};  ///< as its vendor names it
  std::string device{};     ///< vendor:device, of the others
  bool names_gpus = false;  ///< only `gpus` serve it: others that could are left alone
  std::optional<unsigned> memory_mib{}, card_mib{};
  std::optional<unsigned> most{};   ///< on an empty card
  std::vector<std::string> gpus{};  ///< names of those that serve it
};

struct Setup {
  std::vector<SetupSection> sections{};
  std::vector<LeftAlone> left_alone{};
  std::vector<SetupProfile> profiles{};
};

/// A device that a definition has at QEMU's command line.
struct OnCommandLine {
  std::string text{};    ///< in lower case
  std::string domain{};  ///< name
  bool is_gpu = false;   ///< or it is unknown what it is
};
/// Adds the domain to `by_hand` of the card that the text names a part of, as QEMU takes it; to
/// that of each card where it is a GPU and the text does not tell which.
void add_command_lines(const std::vector<OnCommandLine>& devices, std::vector<SetupGpu>& gpus);

/// A device that definitions have and that does not exist now: an mdev, or a PCI device.
struct AbsentDevice {
  bool is_mdev = false;
  std::set<std::string> domains{};  ///< names
};
/// Adds the domains to `absent` of each GPU that the device may become a part of.
void add_absent(const std::vector<AbsentDevice>& devices, std::vector<SetupGpu>& gpus);

/// `host` must live as long as the proposal.
Setup propose_setup(const SetupHost& host);

}  // namespace gpuward
