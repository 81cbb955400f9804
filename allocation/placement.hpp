// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"

namespace gpuward {

/// Where a domain's memory and CPUs are, as far as its XML tells.
struct DomainPlace {
  std::vector<int> nodes;  ///< NUMA nodes of its memory
  std::vector<int> cpus;   ///< CPUs of the host that it is pinned to
};

/// Where a device is.
struct DevicePlace {
  std::optional<int> node;     ///< nothing: the firmware does not report it
  std::vector<int> cpus = {};  ///< that are local to it; none: not known
  std::vector<int> nodes{};    ///< of its CPU socket; none: its own node alone counts
};

/// Whether a device that is not near is refused, not only used last.
constexpr bool requires_near(Numa numa) {
  return numa == Numa::require || numa == Numa::socket;
}

/// "(numa = socket)", of one that requires_near().
inline std::string numa_text(Numa numa) {
  return numa == Numa::socket ? "(numa = socket)" : "(numa = require)";
}

/// Whether the device is near the domain's memory and CPUs. Of one without a NUMA node that is not
/// known: never with `numa = require` or `socket`. Near a domain that tells nothing is every
/// device.
bool is_near(Numa numa, const DomainPlace& domain, const DevicePlace& device);

/// The CPUs that the kernel calls local to a device (local_cpulist), whose directory in sysfs this
/// is.
std::vector<int> local_cpus(const std::string& device_path);

/// With numa = socket all CPUs and NUMA nodes of its socket (physical package) are local to the
/// device: a socket has several nodes with sub-NUMA clustering (Intel) and NPS2 or NPS4 (AMD). What
/// the kernel does not report leaves it at its own node. `place.cpus` are its local CPUs.
void widen_to_socket(const Root& root, DevicePlace& place);

/// A parent and a type of it that a profile allows.
struct Candidate {
  std::string parent;
  std::string type;
  unsigned available = 0;   ///< what the kernel says, less what others are about to take
  unsigned rank = 0;        ///< place of the type in the profile's list
  bool near = true;         ///< on a NUMA node of the domain, or either is not told
  std::string card{};       ///< whose VF the parent is; "" when it is a card itself
  unsigned distance = 0;    ///< of the card to the other GPUs of the domain
  int stranded_mib = 0;     ///< memory of its card that no profile can use any more (stranded.hpp)
  bool opens_card = false;  ///< which has no instance yet
};
/// The name of its card: the parent itself, or the PF of that.
inline const std::string& card_of(const Candidate& candidate) {
  return candidate.card.empty() ? candidate.parent : candidate.card;
}

/// What decides between two devices that a domain could have, in this order. Those of mdevs know
/// type, stranded, numa, opened, fill, distance and name, PCI devices all but type and opened.
enum class Criterion {
  type,      ///< named earlier by the profile
  capacity,  ///< room on the card
  vgpu,      ///< without a vGPU that would be removed
  stranded,  ///< leaves less memory that no profile can use; with spread after `fill`
  numa,      ///< near the domain's memory and CPUs
  assigned,  ///< assigned to fewer domains that are shut off
  opened,    ///< on a card that has an instance already; not with spread
  fill,      ///< on the fuller or emptier card
  distance,  ///< nearer to the other GPUs of the domain
  name,      ///< lower address or name
};

/// What makes one of two devices the better one.
struct Comparison {
  Criterion by;
  bool is_first_better;
};

/// Why the other device was chosen: "farther from the other GPUs of the domain".
std::string why_worse(Criterion by, const Profile& profile);

/// `all`: among which the two are.
Comparison decide(const Profile& profile, std::span<const Candidate> all, const Candidate& one,
                  const Candidate& other);

/// The best of them that has room; nothing when none has. First the type named first. With binpack
/// then the one that strands least memory, the near one, one on a card that is in use, one on the
/// fullest card; with spread the near one, one on the emptiest card, the one that strands least.
/// How full a card is is told by what all its parents have left. Then that nearest to the other
/// GPUs of the domain, then by name, so that the same host gives the same answer.
std::optional<Candidate> place(const Profile& profile, std::span<const Candidate> candidates);

}  // namespace gpuward
