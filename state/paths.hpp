// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

/// Every file that gpuward itself keeps: in /run/gpuward what ends with this boot of the host, in
/// /var/lib/gpuward what must outlive it.
namespace paths {

inline std::string run(const Root& root) {
  return root.at("/run/gpuward");
}

/// One file per domain with devices, named by its UUID.
inline std::string claims(const Root& root) {
  return root.run("claims");
}
inline std::string claim(const Root& root, const Uuid& domain) {
  return claims(root) + '/' + to_string(domain);
}

/// The name of a file beside the claims with which a hook asks the guard to reassign domains; its
/// first character tells it from a claim.
inline constexpr std::string_view reassignment_prefix = ".reassign-";
inline std::string reassignment_request(const Root& root, const Uuid& domain) {
  return claims(root) + '/' + std::string(reassignment_prefix) + to_string(domain);
}

/// Where gpuward 0.1.0 kept those files. The package moves them; read as well until the next
/// release, for a hook of 0.1.0 that still runs and for the time before the package is configured.
inline std::string gpu_domains_of_0_1(const Root& root) {
  return root.run("guarded");
}
inline std::string gpu_domain_of_0_1(const Root& root, const Uuid& domain) {
  return gpu_domains_of_0_1(root) + '/' + to_string(domain);
}

/// One file per running domain that has a GPU without a claim.
inline std::string gpu_domains(const Root& root) {
  return root.run("gpu-domains");
}
inline std::string gpu_domain(const Root& root, const Uuid& domain) {
  return gpu_domains(root) + '/' + to_string(domain);
}

/// What the virtual functions of a physical function were enabled with.
inline std::string vf_settings(const Root& root) {
  return root.run("vfs");
}
inline std::string vf_settings(const Root& root, const PciAddress& pf) {
  return vf_settings(root) + '/' + to_string(pf);
}

/// Starts that the administrator permits although the hook refuses them, one file per domain: until
/// the hook has used it, and then until the domain is shut off.
inline std::string start_permits(const Root& root) {
  return root.run("start-permits");
}
inline std::string start_permit(const Root& root, const Uuid& domain) {
  return start_permits(root) + '/' + to_string(domain);
}
inline std::string started_anyway(const Root& root) {
  return root.run("started-anyway");
}
inline std::string started_anyway(const Root& root, const Uuid& domain) {
  return started_anyway(root) + '/' + to_string(domain);
}

/// By `gpuward start --anyway` while it waits for libvirt, numbered as domains are: a permit whose
/// lock no process has is of a process that was killed.
inline std::string start_permit_locks(const Root& root) {
  return root.run("start-permit-locks");
}

/// Versions of the QEMU programs, named by a UUID of their path.
inline std::string qemu_versions(const Root& root) {
  return root.run("qemu");
}

/// Devices that were assigned for a single use.
inline std::string single_use(const Root& root) {
  return root.at("/var/lib/gpuward/used");
}

/// Devices whose scrub did not succeed.
inline std::string quarantine(const Root& root) {
  return root.at("/var/lib/gpuward/quarantine");
}

/// Every lock but those of `definition_locks`.
inline std::string locks(const Root& root) {
  return root.run("lock");
}

/// Apart from the others, as users who may not open those change definitions too.
inline std::string definition_locks(const Root& root) {
  return root.run("definitions");
}

}  // namespace paths

/// Every lock number. The two highest bits that a lock can have (base/lock.hpp) tell three ranges
/// apart: single locks, one per physical function, one per domain. No number is in two of them.
namespace lock_number {

/// Between reading all claims and writing one.
inline constexpr uint64_t host = 0;
/// By gpuward-provision while it runs.
inline constexpr uint64_t provision = 2;
/// By gpuward-guard while it answers requests for reassignment.
inline constexpr uint64_t reassignment = 4;
/// By gpuward-guard while it runs.
inline constexpr uint64_t guard = 6;

/// By a process that changes the virtual functions of this one, or what they are: its PCI domain
/// and routing ID, which no other has.
inline constexpr uint64_t of_physical_function(const PciAddress& pf) {
  const uint64_t routing_id = pf.bus * 256u + pf.slot * 8u + pf.function;
  return uint64_t{1} << 60 | uint64_t{pf.domain} << 16 | routing_id;
}

/// By a process that changes what the domain has claimed, or its definition. FNV-1 of the UUID: two
/// UUIDs that differ in one byte never have the same, and any two only by a chance of 2^-61; then
/// they wait for each other and nothing else.
inline constexpr uint64_t of_domain(const Uuid& domain) {
  uint64_t number = 0xcbf29ce484222325;
  for (const uint8_t byte : domain.bytes) number = number * 0x100000001b3 ^ byte;
  return uint64_t{1} << 61 | (number & ((uint64_t{1} << 61) - 1));
}

}  // namespace lock_number

}  // namespace gpuward
