// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/explain.hpp"
#include "cli/output.hpp"
#include "cli/quota.hpp"
#include "cli/table.hpp"
#include "config/config_parser.hpp"
#include "domain/xml_document.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "libvirt/client.hpp"
#include "protection/qemu_version.hpp"
#include "state/gpu_domain_marker.hpp"

namespace gpuward {

using nlohmann::json;

static std::string describe(const Hostdev& hostdev) {
  std::string source = hostdev.instance ? "mdev " + to_string(*hostdev.instance) : "mdev";
  if (hostdev.type == Hostdev::Type::pci)
    source = hostdev.address ? "pci " + to_string(*hostdev.address) : "pci";
  return (hostdev.alias.empty() ? "" : hostdev.alias + ", ") + source;
}

void add_xml(const Root& root, const Config& config, std::string_view xml, GuardedDomain& guarded) {
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  guarded.owner = domain.owner;
  if (domain.readconfig != 0)
    guarded.readconfig =
        "-readconfig (line " + std::to_string(domain.readconfig) + "): file is not searched";
  if (!is_gpu_domain(root, config, domain)) return;
  guarded.known_to_polkit = has_gpu_now(root, guarded.uuid);
  guarded.emulator = emulator_of(document);
  guarded.qemu = qemu_version(root, guarded.emulator);
  const auto gpus = gpu_hostdevs(root, config, domain);
  for (const Hostdev* gpu : gpus) guarded.gpus.push_back(describe(*gpu));
  for (const CommandLineDevice* gpu : command_line_gpus(root, config, domain))
    guarded.gpus.push_back("QEMU command line: " + gpu->text);
  if (guarded.gpus.empty())
    guarded.gpus.push_back("requested in its metadata, but without a hostdev");
  guarded.gaps = guard_gaps({document, gpus, config.guard, abilities_of(guarded.qemu)});
  guarded.pci_root = pci_root_of(document);
  guarded.configured_pauses = configured_pauses(document);
}

static json versioned(std::optional<unsigned> version) {
  return version && *version ? json(version_text(*version)) : json(nullptr);
}

static json guards_json(const std::vector<ExplainedGuard>& guards) {
  json list = json::array();
  for (const ExplainedGuard& explained : guards) {
    json layers = json::array();
    for (const LayerState& layer : explained.layers)
      layers.push_back(
          {{"layer", layer.layer}, {"state", to_string(layer.state)}, {"text", layer.text}});
    list.push_back({{"guard", to_string(explained.guard)},
                    {"policy", to_string(explained.policy)},
                    {"layers", layers},
                    {"remaining", explained.left}});
  }
  return list;
}

/// What is used of the quotas that count for the domain.
struct DomainQuota {
  std::vector<QuotaUse> uses;
  bool is_known = true;  ///< false while a claim cannot be read
};

static DomainQuota quota_of(const Root& root, const Config& config, const GuardedDomain& domain) {
  const ClaimedDevices claimed = claimed_devices(root);
  return {quota_of_domain(config, counted_claims(root, config, claimed), domain.name, domain.owner),
          claimed.unreadable.empty()};
}

static std::string quota_text(const GuardedDomain& domain, const DomainQuota& quota) {
  std::string text;
  if (!domain.owner.empty()) text += "Owner " + domain.owner + ".\n";
  for (const QuotaUse& use : quota.uses)
    text += "Quota " + section_title(*use.quota) + ", " + used_text(use, quota.is_known) + ".\n";
  return text;
}

static json started_anyway_json(const GuardedDomain& domain) {
  if (!domain.permit) return nullptr;
  return {{"time", domain.permit->time},
          {"reason", domain.permit->reason},
          {"refused", domain.permit->refusals}};
}

/// Its GPUs, and what may be one.
static std::vector<std::string> found_in(const GuardedDomain& domain) {
  std::vector<std::string> found = domain.gpus;
  if (!domain.readconfig.empty()) found.push_back(domain.readconfig);
  return found;
}

/// All keys; null what only the XML and the host's layers tell.
static json domain_json(const GuardedDomain& domain, unsigned libvirt) {
  return {{"domain", {{"name", domain.name}, {"uuid", to_string(domain.uuid)}}},
          {"owner", nullptr},
          {"active", domain.active},
          {"gpus", nullptr},
          {"libvirt", versioned(libvirt)},
          {"daemon", nullptr},
          {"qemu", nullptr},
          {"guards", nullptr},
          {"quotas", nullptr},
          {"started_anyway", started_anyway_json(domain)}};
}

static void print_as_json(int schema, const GuardedDomain& domain, const HostLayers& host,
                          unsigned libvirt, const std::vector<ExplainedGuard>& guards,
                          const DomainQuota& quota) {
  json object = domain_json(domain, libvirt);
  if (!domain.owner.empty()) object["owner"] = domain.owner;
  object["quotas"] = quota_json(quota.uses, quota.is_known);
  object["gpus"] = found_in(domain);
  object["qemu"] = versioned(domain.qemu);
  object["guards"] = guards_json(guards);
  if (host.daemon) object["daemon"] = host.daemon->name;
  print_json(schema, "explain", object);
}

static std::string layer_name(const std::string& layer) {
  if (layer == "xml") return "XML";
  return layer == "guard" ? "guard service" : layer;
}

/// Lines of whole words, 80 bytes at most where they have blanks.
static std::vector<std::string> wrapped(const std::string& text) {
  std::vector<std::string> lines{""};
  for (const std::string_view word : split(text, ' ')) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > 80) lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

/// A heading, and under it each layer and each thing that remains possible.
static std::string guard_text(const ExplainedGuard& explained) {
  std::vector<std::vector<std::string>> rows;
  const auto add = [&](std::string what, std::string_view state, const std::string& text) {
    for (const std::string& line : wrapped(text)) {
      rows.push_back({what, std::string(state), line});
      what = state = " ";
    }
  };
  for (const LayerState& layer : explained.layers)
    add(layer_name(layer.layer), to_string(layer.state), layer.text);
  for (const std::string& line : explained.left) add("remaining", " ", line);
  if (explained.left.empty()) add("remaining", " ", "nothing");
  return format_table(
      {std::string(to_string(explained.guard)), std::string(to_string(explained.policy)), " "},
      rows);
}

/// "" where nothing was refused.
static std::string started_anyway_text(const GuardedDomain& domain) {
  if (!domain.permit) return {};
  std::string text = "Started anyway (" + to_string(*domain.permit) + "), although:\n";
  for (const std::string& refusal : domain.permit->refusals)
    for (const std::string& line : wrapped(refusal)) text += "  " + line + '\n';
  return text;
}

static std::string state_text(const GuardedDomain& domain) {
  return shown(domain.name) + (domain.active ? " is running" : " is shut off");
}

/// Of a domain that was started anyway and whose XML cannot be parsed: `start --anyway` starts
/// that too, and its record is all that is known.
static void print_record(const Settings& settings, const GuardedDomain& domain, unsigned libvirt) {
  if (settings.json)
    print_json(settings.json, "explain", domain_json(domain, libvirt));
  else
    print_lines(state_text(domain) + ".\n" + started_anyway_text(domain));
}

static void print_as_text(const GuardedDomain& domain, const HostLayers& host, unsigned libvirt,
                          const std::vector<ExplainedGuard>& guards, const DomainQuota& quota) {
  std::string text = state_text(domain);
  if (domain.gpus.empty()) {
    print_lines(text + " and has no GPU: no guard applies" +
                (domain.readconfig.empty() ? "" : ", but " + domain.readconfig) + ".\n");
    return;
  }
  text += " and has ";
  const auto found = found_in(domain);
  for (const std::string& gpu : found) text += (&gpu == &found.front() ? "" : "; ") + shown(gpu);
  text += ".\nlibvirt " + (libvirt ? version_text(libvirt) : "?") + " (" +
          (host.daemon ? host.daemon->name : "no daemon of this host") + "), QEMU " +
          (domain.qemu ? version_text(*domain.qemu) : "?") + " (" + shown(domain.emulator) + ")\n" +
          quota_text(domain, quota) + started_anyway_text(domain);
  for (const ExplainedGuard& explained : guards) text += '\n' + guard_text(explained);
  print_lines(text);
}

int explain_command(const Settings& settings, const std::string& name) {
  const LoadedConfig loaded = load_host_config(settings.root);
  const Config& config = loaded.config;
  for (const ConfigProblem& problem : loaded.problems)
    log::warning(to_string(problem) +
                 ", ignoring (what follows applies the rest of the configuration)");
  const DomainStore store(settings.root, settings.connect);
  const auto found = store.find(name);
  if (!found) throw Error(domain_title(name), "not found", "run: virsh list --all");
  GuardedDomain domain;
  domain.name = found->name;
  domain.uuid = found->uuid;
  domain.active = found->active;
  domain.permit = started_anyway(settings.root, found->uuid);
  try {
    add_xml(settings.root, config,
            domain.active ? store.live_xml(domain.uuid) : store.inactive_xml(domain.uuid), domain);
  } catch (const Error&) {
    if (domain.permit) print_record(settings, domain, store.version());
    throw;
  }
  const HostLayers host = read_guard_status(settings.root, claimed_devices(settings.root).claims);
  const auto guards =
      domain.gpus.empty() ? std::vector<ExplainedGuard>() : explain(host, domain, config.guard);
  const DomainQuota quota = quota_of(settings.root, config, domain);
  if (settings.json)
    print_as_json(settings.json, domain, host, store.version(), guards, quota);
  else
    print_as_text(domain, host, store.version(), guards, quota);
  return 0;
}

}  // namespace gpuward
