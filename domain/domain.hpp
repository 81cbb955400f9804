// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "base/uuid.hpp"
#include "config/use.hpp"

namespace gpuward {

inline constexpr std::string_view domain_namespace = "urn:gpuward:domain:1";
inline constexpr std::string_view alias_prefix = "ua-gpuward-";

/// The alias of the GPU that a hostdev is a part of: "ua-gpuward-0-1", function 1 of GPU
/// ua-gpuward-0, is given with it. Others as they are.
std::string_view gpu_alias(std::string_view hostdev_alias);

/// "GPU 0" of alias ua-gpuward-0; as messages name a GPU of a domain.
std::string gpu_title(std::string_view alias);

/// One <hostdev mode='subsystem'> of type mdev or pci.
struct Hostdev {
  enum class Type { mdev, pci } type = Type::mdev;
  std::string alias;                  ///< "" when it has none
  std::string model;                  ///< of an mdev: vfio-pci, vfio-ccw, vfio-ap
  std::optional<Uuid> instance;       ///< source of an mdev
  std::optional<PciAddress> address;  ///< source of a pci device
  bool managed = false;               ///< libvirt binds vfio-pci and restores the host's driver
  int line = 0;                       ///< in the XML
  size_t place = 0;                   ///< among the children of <devices>
};

/// What a type or a whole GPU has, as attach found it. Nothing is unknown, as all of it is in
/// metadata of a version that did not keep it.
struct Granted {
  std::optional<unsigned> memory_mib{};
  std::optional<unsigned> compute_percent{};  ///< guaranteed; nothing also where none is
  std::optional<bool> has_graphics{};         ///< of a type
  bool operator==(const Granted&) const = default;
};

/// What serves a request that names no profile, or one of memory, as attach settled it: prepare
/// reads no more of the host for it than for a profile.
struct SettledRequest {
  Use use = whole_use;      ///< a requestable kind; by default any whole GPU
  std::string type{};       ///< id of the type, of a kind with types
  std::string device{};     ///< vendor:device of a whole GPU ("": any) or a VF's
  bool of_profile = false;  ///< the request names a profile, which requests memory
  Granted granted{};        ///< of a request by memory
  /// Whether the same serves it; `granted` only says what that has.
  bool operator==(const SettledRequest& other) const {
    return use == other.use && type == other.type && device == other.device &&
           of_profile == other.of_profile;
  }
};

/// One <gpu alias='ua-gpuward-N' profile='TEXT'/> in our metadata: what the domain asks for. With
/// use='...' TEXT is no profile unless of='profile', and what serves it is beside it.
struct GpuRequest {
  std::string alias;
  std::string profile;  ///< its name, or the text that attach was given, without ":N"
  std::optional<SettledRequest> settled{};  ///< nothing for a profile that says what serves it
};

/// Whether its text is the name of a profile.
bool names_profile(const GpuRequest& gpu);

/// A host device that QEMU is given past libvirt: by -device or -set in <qemu:commandline>, or by
/// <qemu:override>.
struct CommandLineDevice {
  std::string text;  ///< as it is in the XML: "vfio-pci,host=0000:01:00.0"
  int line = 0;
};

/// What gpuward needs to know of a domain.
struct Domain {
  Uuid uuid;
  std::string name;
  std::string owner;  ///< label in our metadata, for quotas; "" without one
  std::vector<Hostdev> hostdevs;
  std::vector<GpuRequest> requests;
  std::vector<CommandLineDevice> command_line;
  int readconfig = 0;           ///< line of a -readconfig, whose file is not read; 0 without one
  std::vector<int> numa_nodes;  ///< of <numatune>: where its memory is; empty when not told
  std::vector<int> cpus;        ///< of the host that its CPUs are pinned to; likewise
};

/// Reads libvirt's domain XML, which is treated as hostile: no DTD, no entities, no network,
/// bounded depth and size, UTF-8 only. Throws Error with the line and what is wrong.
Domain parse_domain(std::string_view xml);

struct Document;
struct Element;
/// The same for XML that has been read already.
Domain read_domain(const Document& document);
/// The same for a domain that runs: parts of ours that are wrong are left out, as anyone who may
/// write metadata can make them so.
Domain read_running_domain(const Document& document);

/// The host's device, by UUID or PCI address; "" when there is none in the XML.
std::string source_of(const Hostdev& hostdev);

/// The hostdev of that alias, or null.
const Hostdev* find_hostdev(const Domain& domain, std::string_view alias);

/// What an <address> of PCI says, with numbers as libvirt takes them; nothing when they are none.
std::optional<PciAddress> pci_address_of(const Element& address);

/// Whether it is made of letters, digits and _ . + - alone, and of at least one, and is not "-".
bool is_profile_name(std::string_view name);

/// Likewise of an owner, which may have an @ too; a word of the claim's text, where "-" is none.
bool is_owner_name(std::string_view name);

/// Whether it can be kept as the text of a request: one line, not empty, not long.
bool is_request_text(std::string_view text);

/// Whether the bytes could be XML of a domain that has a GPU: a cheap scan, never wrong in saying
/// no to XML that libvirt wrote.
bool may_have_gpu(std::string_view xml);

/// Whether the bytes say that gpuward itself gave this domain a GPU; for XML that cannot be parsed.
bool names_gpuward(std::string_view xml);

/// The UUID of the instance that a domain's GPU gets: of this domain and this alias alone.
Uuid instance_uuid(const Uuid& domain, std::string_view alias);

}  // namespace gpuward
