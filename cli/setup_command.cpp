// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "allocation/pool.hpp"
#include "base/file.hpp"
#include "base/replace_file.hpp"
#include "base/trusted_file.hpp"
#include "cli/commands.hpp"
#include "cli/definitions.hpp"
#include "cli/gpu_model.hpp"
#include "cli/output.hpp"
#include "cli/setup_text.hpp"
#include "config/config_parser.hpp"
#include "config/ini_file.hpp"
#include "config/names.hpp"
#include "config/packaged_config.hpp"
#include "config/request_words.hpp"
#include "inventory/gpu_types.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/kind.hpp"
#include "kinds/types.hpp"
#include "libvirt/version.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

// ---- what definitions have of a card

/// The card with its companions, VFs and instances.
static std::vector<std::string> parts_of(const Root& root, const Gpu& gpu, const GpuUse& use,
                                         const std::vector<GpuInstance>& instances) {
  std::vector<std::string> parts{gpu.parent.name};
  for (const PciAddress& vf : gpu.vfs) parts.push_back(to_string(vf));
  if (gpu.parent.address)
    for (const PciAddress& other : companions(root, *gpu.parent.address))
      parts.push_back(to_string(other));
  for (const size_t at : use.at) parts.push_back(instances[at].name);
  return parts;
}

static std::set<std::string> domains_with(const DomainsByDevice& devices,
                                          const std::vector<std::string>& parts) {
  std::set<std::string> domains;
  for (const std::string& part : parts)
    if (const auto found = devices.find(part); found != devices.end())
      domains.insert(found->second.begin(), found->second.end());
  return domains;
}

// ---- what the host has

static void add_programs(const Root& root, const OpenDevices& open, SetupGpu& gpu) {
  if (!gpu.gpu.parent.address) return;
  std::vector<PciAddress> parts = companions(root, *gpu.gpu.parent.address);
  parts.insert(parts.begin(), *gpu.gpu.parent.address);
  try {
    for (const PciAddress& part : parts) {
      const auto holder = open.holder_of(part);
      const bool is_new =
          holder && std::none_of(gpu.programs.begin(), gpu.programs.end(),
                                 [&](const Holder& other) { return other.pid == holder->pid; });
      if (is_new) gpu.programs.push_back(*holder);
    }
  } catch (const Error& error) {
    gpu.unknown_programs = error.reason.problem;
  }
}

/// As for a request that names no profile, on a host without a configuration.
static std::string reason_not_whole(const Root& root, const PciAddress& address) {
  Profile whole;
  whole.name = whole_word;
  whole.is_configured = false;
  whole.use = whole_use;
  std::string why;
  const auto device = find_in_pool(root, Config{}, whole, address, why);
  if (!device) return why;
  if (device->host_bound_members.empty()) return {};
  return "in an IOMMU group with " + to_string(device->host_bound_members.front()) +
         ", which is bound to a host driver";
}

/// vGPUs that a domain has claimed are among the instances too.
static unsigned instances_on(const GpuUse& use, const std::vector<GpuInstance>& instances) {
  size_t unclaimed = use.vgpus.size();
  for (const size_t at : use.at)
    if (is_typed_vf(instances[at].use) && unclaimed > 0) --unclaimed;
  return static_cast<unsigned>(use.at.size() + unclaimed);
}

static SetupGpu read_gpu(const Root& root, const Host& host, const Gpu& gpu, const GpuUse& use) {
  SetupGpu found{.gpu = gpu,
                 .types = types_of(root, gpu),
                 .instances = instances_on(use, host.instances),
                 .domains = use.domains};
  found.room = card_room(gpu, found.types, present_types(use, host.instances));
  found.memory = memory_of(root, gpu, found.types, use, host.instances);
  const auto kinds = kinds_of(gpu);
  if (!gpu.parent.address) return found;
  found.shows_console = shows_console(root, *gpu.parent.address);
  found.sets_vfs = exists(pci_path(root, *gpu.parent.address) + "/sriov_numvfs");
  if (std::find(kinds.begin(), kinds.end(), whole_use) != kinds.end())
    found.not_whole = reason_not_whole(root, *gpu.parent.address);
  return found;
}

/// Why it is not known which domains have GPUs.
static Reason unknown_domains(const Host& host, const Definitions& definitions) {
  if (host.claimed.unreadable.empty()) return definitions.unknown;
  return unreadable_reason(host.claimed.unreadable.front());
}

static SetupHost read_setup_host(const Root& root, const Host& host,
                                 const Definitions& definitions) {
  SetupHost found{.unknown_domains = unknown_domains(host, definitions)};
  Config vendor_vfs;
  for (const UseTraits& row : use_traits)
    if (row.keeps_driver) vendor_vfs.profiles.emplace_back().use = row.use;
  if (!unsupported_by(vendor_vfs, definitions.libvirt).empty())
    found.no_vendor_vfs = "libvirt before 9.7 does not support vGPUs on VFs; upgrade libvirt";
  const auto uses = use_of_gpus(root, host.gpus, host.instances);
  const OpenDevices open(root);
  HardwareNames names;
  for (const Gpu& gpu : host.gpus) {
    const GpuUse& use = uses.at(gpu.parent.name);
    SetupGpu read = read_gpu(root, host, gpu, use);
    const ModelName model = model_name(names, gpu, host.gpus);
    read.model = model.brief;
    read.parts = parts_of(root, gpu, use, host.instances);
    read.by_hand = domains_with(definitions.by_hand, read.parts);
    read.attached = domains_with(definitions.attached, read.parts);
    if (!gpu.is_vf) read.attached_whole = domains_with(definitions.attached, {gpu.parent.name});
    add_programs(root, open, read);
    found.models.insert({model.brief, model.full});
    found.gpus.push_back(std::move(read));
  }
  add_command_lines(definitions.on_command_lines, found.gpus);
  add_absent(absent_devices(root, definitions), found.gpus);
  return found;
}

// ---- --write

static constexpr const char* merge_by_hand =
    "write what is wanted of the output of gpuward setup into gpuward.conf";

static void require_known_domains(const Reason& unknown) {
  if (unknown.problem.empty()) return;
  throw Error("gpuward setup --write",
              without_remedy(unknown) + "; which domains have GPUs is unknown, nothing is written",
              unknown.remedy.empty() ? merge_by_hand : unknown.remedy);
}

/// A section by address, as setup writes it, overrides `use = off` of [gpu *] or [gpu 10de:2236],
/// whichever file that is in.
static void require_no_gpu_sections(const Root& root) {
  const std::string main_file = root.etc("gpuward/gpuward.conf");
  for (const std::string& file : config_files(root)) {
    if (file == main_file) continue;
    const IniFile ini = parse_ini(read_file(file).value_or(""));
    for (const IniSection& section : ini.sections) {
      if (section.header.substr(0, section.header.find_first_of(" \t")) != "gpu") continue;
      throw Error(file + ':' + std::to_string(section.line),
                  "has [" + section.header +
                      "], which a section of the same GPU in gpuward.conf may override; nothing "
                      "is written",
                  merge_by_hand);
    }
    if (!ini.problems.empty())
      throw Error(file + ':' + std::to_string(ini.problems.front().line),
                  ini.problems.front().message + "; whether it has a [gpu] section is unknown",
                  "run: gpuward check");
  }
}

/// The file as it is; nothing when there is none. Throws Error for one that is not to be replaced.
static std::optional<std::string> replaceable_file(const std::string& path,
                                                   const std::string& text) {
  const std::string merge = "run: gpuward setup | diff " + path + " -";
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) throw SystemError("cannot read " + path, errno);
    return {};
  }
  if (!S_ISREG(info.st_mode)) throw Error(path, "not a regular file, not replaced", merge);
  auto before = read_file(path);
  if (before && *before != text && *before != packaged_config())
    throw Error(path, "differs from what the package installs, not replaced", merge);
  return before;
}

static void write_config(const Root& root, const std::string& text) {
  if (root.prefix.empty() && ::geteuid() != 0)
    throw Error("gpuward setup --write", "requires root", "run the command as root");
  const std::string directory = root.etc("gpuward"), path = directory + "/gpuward.conf";
  for (const Untrusted& untrusted : find_untrusted(root, path))
    throw Error(untrusted.path, untrusted.found, "run: " + untrusted.command);
  const auto before = replaceable_file(path, text);
  if (before == text) return;
  require_no_gpu_sections(root);
  make_directory_durably(directory);
  install_file(path, text, before ? Present::yes : Present::no);
}

int setup_command(const Settings& settings, bool write) {
  const Root& root = settings.root;
  const Definitions definitions = read_definitions(settings);
  const Host host = read_host(root, Config{});
  const SetupHost found = read_setup_host(root, host, definitions);
  const Setup setup = propose_setup(found);
  const std::string config = setup_config(setup), report = setup_report(found, setup);
  if (write) {
    require_known_domains(found.unknown_domains);
    write_config(root, config);
  }
  if (settings.json) {
    nlohmann::json object = setup_json(found, setup);
    object["config"] = config;
    object["written"] = write;
    print_json(settings.json, "setup", object);
  } else if (write) {
    print_lines(report +
                "/etc/gpuward/gpuward.conf is written; next: gpuward check, then gpuward "
                "apply\n");
  } else {
    std::fputs(report.c_str(), stderr);  // printable already; stdout is the file
    print_text(config);
  }
  return report_unreadable(host.claimed);
}

}  // namespace gpuward
