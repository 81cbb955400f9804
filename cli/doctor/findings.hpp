// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <ctime>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "cli/doctor/guard_status.hpp"
#include "config/config_parser.hpp"
#include "domain/domain.hpp"
#include "protection/guards.hpp"
#include "state/claim.hpp"

namespace gpuward {

struct Host;

/// One thing that is wrong, and how to fix it.
struct Finding {
  enum class Severity {
    warning,  ///< it may be meant so
    problem,  ///< something that is wanted does not work or is not safe
  } severity = Severity::problem;
  /// iommu, interrupts, hook, hooks, denials, tools, devices, config, guards, domains
  std::string check;
  std::string object;  ///< a file, a device, a domain
  std::string found;
  std::string fix;
};
using Findings = std::vector<Finding>;

// Each check covers one thing and returns what is wrong with it, in a steady order. `host` has
// been read once for all of them: of it they read from `root` what a snapshot has not.

/// Whether GPUs that can be passed whole or as functions are behind an IOMMU that is on.
Findings check_iommu(const Root& root, const Config& config, const Host& host);
/// vfio_iommu_type1's allow_unsafe_interrupts.
Findings check_interrupts(const Root& root);
/// Our own hook: its link, and whether the running daemon sees it.
Findings check_hook(const HostLayers& layers);
/// All other hooks for qemu: libvirt runs every executable in qemu.d whatever its name, and each
/// that fails makes every start fail.
Findings check_other_hooks(const Root& root);
/// mdevctl's and driverctl's own ideas of the same devices.
Findings check_other_tools(const Root& root, const Config& config, const Host& host);
/// What gpuward cannot do with devices for now: those in quarantine, VFs and instances that are
/// wanted and cannot be, scrub programs that cannot be run.
Findings check_devices(const Root& root, const Config& config, const Host& host);
/// Mistakes, and who may write and read it.
Findings check_config(const Root& root, const LoadedConfig& loaded, const Host& host,
                      Tristate polkit_driver);
/// Guards that [guard] wants and that are not active.
Findings check_guards(const HostLayers& layers, const GuardPolicy& policy);

/// What AppArmor and SELinux denied our programs, in lines of the kernel's or auditd's log; what is
/// a day old at `now` may have been fixed since.
Findings find_denials(std::string_view log, time_t now);
/// The same for the logs of this host, a bounded part of their ends.
Findings check_denials(const Root& root, time_t now);

/// What libvirt is set to do with running domains when the host shuts down (qemu.conf,
/// libvirt 11.2).
Findings check_host_shutdown(const Root& root, unsigned libvirt);

/// What the hook would refuse a domain with this XML at its next start, or warn of, by the
/// functions of the hook. `name` is the one that libvirt has: XML that cannot be parsed has none.
/// `is_off`: then its devices are checked too, which a running domain has itself.
Findings check_domain(const Root& root, const Config& config, const std::string& name,
                      std::string_view xml, bool is_off);

/// The same findings of a transient domain (virsh create, Pacemaker): commands that change the
/// definition of a domain find none, so each such fix is for the file that the domain is created
/// from.
Findings of_transient_domain(Findings findings);

/// Domains that run although the hook refuses them.
Findings check_started_anyway(const Root& root);

/// Claims of domains that are shut off: their GPUs were not released. `active`: those that run.
/// Only devices claimed both `before` and `after` the domains were listed count: a domain that
/// starts claims its devices, and one that stops releases them, at any moment.
Findings check_released(const std::vector<Claim>& before, const std::vector<Claim>& after,
                        const std::set<Uuid>& active);

/// GPUs in the live XML of a running domain that its claim does not name: one that was added and
/// that the guest has not released, or [guard] lets stay. Only those that are not claimed `before`
/// and `after` the XML was read count, as above.
Findings check_unclaimed(const Root& root, const Config& config, std::string_view live_xml,
                         const std::vector<Claim>& before, const std::vector<Claim>& after);

/// Of findings that differ in their object alone one, which names all objects.
Findings merged(const Findings& findings);

}  // namespace gpuward
