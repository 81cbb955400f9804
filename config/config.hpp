// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "config/domain_pattern.hpp"
#include "config/guard_policy.hpp"
#include "config/isolation.hpp"
#include "config/use.hpp"

namespace gpuward {

/// Where something was written; named in every message about it.
struct Position {
  std::string file;
  int line = 0;  ///< from 1; 0 speaks of the whole file
  bool operator==(const Position&) const = default;
};

/// "FILE:LINE", or "FILE" without a line.
std::string to_string(const Position& position);

/// What the programs in the guest do with the GPU.
enum class Workload { graphics, compute };
enum class Placement { binpack, spread };
enum class Numa { require, prefer, ignore, socket };

/// Which GPUs a section or a profile speaks of: the text between "[gpu " and "]", or one item of
/// "gpu = ".
struct GpuSelector {
  enum class By {
    address,      ///< "0000:41:00.0"
    id,           ///< "10de:2236"
    name,         ///< "mtty", a parent that is no PCI device
    any,          ///< "*"
    serial,       ///< "serial=1324321000123"
    uuid,         ///< "uuid=GPU-4dea22b3-...", NVIDIA's
    slot,         ///< "slot=4", as in /sys/bus/pci/slots
    subsystem,    ///< "subsystem=10de:145a"
    iommu_group,  ///< "iommu-group=12"
    addresses,    ///< "0000:41:*", a pattern of PCI addresses
  } by = By::any;
  PciAddress address;   ///< By::address
  uint16_t vendor = 0;  ///< By::id
  uint16_t device = 0;
  std::string name;  ///< any other: the name, the pattern, or what is behind '=', in lower case
  bool operator==(const GpuSelector&) const = default;
};

/// mdevs to keep ready, for XML written by hand; or how many vGPUs of a type may be on a card.
struct InstanceCount {
  std::string type;
  unsigned count = 0;
};

/// What must sit at the section's address; all that are given must match.
struct ExpectedIdentity {
  std::optional<std::string> serial;
  std::optional<std::string> uuid;  ///< lower case, without the "GPU-" that NVIDIA puts in front
  std::optional<std::string> subsystem;  ///< "10de:1234"
  std::optional<std::string> slot;
};

/// What each VF may have of a GPU whose driver lets it be set (xe's sriov_admin, Linux 6.19).
struct VfQuota {
  std::optional<unsigned> exec_quantum_ms;
  std::optional<unsigned> preempt_timeout_us;
  std::optional<unsigned> memory_mib;
  bool operator==(const VfQuota&) const = default;
};

/// [gpu SELECTOR]
struct GpuSection {
  GpuSelector selector;
  std::optional<Use> use;
  std::optional<unsigned> vfs;  ///< max_vfs for "max"
  static constexpr unsigned max_vfs = ~0U;
  std::vector<InstanceCount> instances;
  std::vector<InstanceCount> max;  ///< that domains may have on one card
  std::optional<Isolation> isolation;
  ExpectedIdentity expect;
  VfQuota quota;
  std::optional<bool> adopt;  ///< whether vGPUs of other tools may be removed for a domain
  std::string reset_method;   ///< as sysfs takes it, "flr bus"; empty: leave it to the kernel
  Position position;
};

/// A value for a file of a device's directory in sysfs.
struct DeviceAttribute {
  std::string name;  ///< one or two parts of a path: "assign_adapter", "nvidia/vgpu_params"
  std::string value;
  bool operator==(const DeviceAttribute&) const = default;
};

/// [profile NAME], or what serves a request that names no profile.
struct Profile {
  std::string name;
  bool is_configured = true;       ///< false: made of a request, "whole" or "10de:2236"
  Use use = default_use;           ///< what a domain gets
  std::vector<std::string> types;  ///< of mdev and vendor_vf, first fit; empty when memory is asked
  std::vector<GpuSelector> gpus;   ///< empty: any
  std::vector<DeviceAttribute> attributes;  ///< written in order once the instance exists
  Placement placement = Placement::binpack;
  Numa numa = Numa::prefer;
  std::optional<unsigned> memory_mib;       ///< multiple of 128
  std::optional<unsigned> compute_percent;  ///< multiple of 5, only beside memory
  std::optional<Workload> workload;         ///< only beside memory
  bool any_use = false;  ///< memory without `use`: what serves it is chosen at attach
  bool console = true;
  std::string scrub;         ///< program to run after each release of a PCI device; "" for none
  bool one_time = false;     ///< such a device is given once, until the sysadmin clears it
  bool keep_driver = false;  ///< driver = keep: the host's administrator binds a VFIO driver
  std::vector<DomainPattern> allowed;  ///< domains that may request it; empty: all
  Position position;
  bool operator==(const Profile&) const = default;
};

/// Whether libvirt binds the driver of its PCI devices, as is_managed(Use).
bool is_managed(const Profile& profile);

/// "profile 'small'" or "request 'whole'", as messages name it.
std::string title_of(const Profile& profile);

/// [quota PATTERN]: how many GPUs the domains that it means may use together. Of the sections by
/// name the first that matches counts, and of those by owner likewise.
struct Quota {
  DomainPattern domains;
  std::map<std::string, unsigned> per_profile;
  std::optional<unsigned> total;
  std::optional<unsigned> memory_mib;
  Position position;
};

struct Config {
  GuardPolicy guard;
  std::vector<GpuSection> gpus;
  std::vector<Profile> profiles;
  std::vector<Quota> quotas;
};

/// The profile of that name, or null.
const Profile* find_profile(const Config& config, const std::string& name);

}  // namespace gpuward
