// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"

namespace gpuward {

struct ClaimedDevices;

/// What all commands share.
struct Settings {
  Root root;
  std::string connect;  ///< libvirt URI, "" for the system's own
  int json = 0;         ///< the schema to print, 0 for text
  bool dry_run = false;
};

// Each command prints to stdout and returns the exit status: 0 done, 1 refused or failed. It throws
// Error with what the user must see.
int list_command(const Settings& settings, const std::string& what);
int list_types_command(const Settings& settings);
int list_profiles_command(const Settings& settings);
int list_tree_command(const Settings& settings);
int show_command(const Settings& settings, const std::string& name);
/// `parts`: of "config", "journal" and "versions" those to add.
int gather_command(const Settings& settings, const std::string& file,
                   const std::vector<std::string>& parts);
/// `write`: installs what else is printed.
int setup_command(const Settings& settings, bool write);
/// Exit status 3 where something is unknown and nothing differs.
int verify_command(const Settings& settings, const std::string& domain);
int check_command(const Settings& settings, const std::vector<std::string>& files);
int plan_command(const Settings& settings);
/// Status 1 where one of its GPUs has no available device.
int plan_domain_command(const Settings& settings, const std::string& domain);
/// `request`: for how many more GPUs of what, as attach takes it. Status 1 where there is no room
/// for all.
int defragment_command(const Settings& settings, const std::string& request);
int apply_command(const Settings& settings);
int reconcile_command(const Settings& settings);
int explain_command(const Settings& settings, const std::string& domain);
int doctor_command(const Settings& settings);
/// As they are written on the command line; "" for none.
struct FractionWords {
  std::string size, share, workload;
};
/// Status 1 where nothing serves the request.
int fit_command(const Settings& settings, const FractionWords& words);
/// `domain`: "" for all sections.
int quota_command(const Settings& settings, const std::string& domain);
/// `domain`: may be a pattern of names. No requests: the UUIDs of its instances are updated.
/// `owner`: label for quotas, "" to leave it as it is.
int attach_command(const Settings& settings, const std::string& domain,
                   const std::vector<std::string>& requests, const std::string& owner);
int detach_command(const Settings& settings, const std::string& domain, const std::string& alias);
int protect_all_command(const Settings& settings);
int protect_command(const Settings& settings, const std::string& domain);
int unprotect_command(const Settings& settings, const std::string& domain);

int start_command(const Settings& settings, const std::string& domain);
int start_anyway_command(const Settings& settings, const std::string& domain,
                         const std::string& reason);
/// As they are written on the command line; "" for none.
struct ReassignWords {
  std::string to;     ///< address of the device that a GPU is to have
  std::string alias;  ///< of that GPU
};
/// `domain`: "" for all that are shut off, not with `words`.
int reassign_command(const Settings& settings, const std::string& domain,
                     const ReassignWords& words);
int clear_command(const Settings& settings, const std::string& address);

/// XML on stdin, XML on stdout, no libvirt.
struct Rewrite {
  std::vector<std::string> attach;  ///< requests
  std::string owner;                ///< of these GPUs, "" to leave it as it is
  bool detach = false;
  bool protect = false;
  bool unprotect = false;
};
int rewrite_command(const Settings& settings, const Rewrite& rewrite);

/// Names each claim that cannot be read: what is shown lacks what its domain has. Returns the exit
/// status of the command, 1 when there is one.
int report_unreadable(const ClaimedDevices& claimed);

/// The configuration; throws Error with all its problems, a line each.
Config require_config(const Root& root);

}  // namespace gpuward
