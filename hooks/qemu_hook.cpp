// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/qemu_hook.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "allocation/reassignment.hpp"
#include "allocation/request_verdict.hpp"
#include "attach/clone.hpp"
#include "base/error.hpp"
#include "base/kernel_read.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "base/retried.hpp"
#include "config/config_parser.hpp"
#include "domain/domain.hpp"
#include "domain/memory.hpp"
#include "domain/xml_document.hpp"
#include "hooks/answer.hpp"
#include "hooks/refusals.hpp"
#include "hooks/start_anyway.hpp"
#include "hooks/unparsed_xml.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "lifecycle/check_running.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/release.hpp"
#include "lifecycle/settle.hpp"
#include "protection/protect.hpp"
#include "protection/qemu_version.hpp"
#include "protection/verdict.hpp"
#include "state/claim_store.hpp"
#include "state/gpu_domain_marker.hpp"
#include "state/start_permit.hpp"

namespace gpuward {

namespace {

struct Hook {
  const Root& root;
  const HookCall& call;
  const XmlInput& input;
  const Deadlines& deadlines;
};

struct ParsedDomain {
  Document document;
  Domain domain;
};

/// Throws Error where a domain whose XML cannot be parsed has a GPU, or may have one.
void require_no_gpu_in_text(const Hook& hook, const Reason& error) {
  if (hook.input.may_have_gpu_beyond)
    throw Error(error.object, error.problem + ", and a device beyond that may be a GPU",
                error.remedy);
  const bool ours = hook.input.names_gpuward;
  const Config config = ours ? Config() : load_config(config_files(hook.root)).config;
  const auto why = unparsed_refusal(hook.root, config, hook.input.text, ours, error);
  if (why) throw Error(*why);
}

/// The domain on stdin; nothing when it can be read no further and has no GPU, and then starts.
/// Throws Error when it has one.
std::optional<ParsedDomain> parse_input(const Hook& hook) {
  try {
    if (hook.input.end == XmlInput::End::too_large)
      throw Error("domain XML", "larger than " + std::to_string(largest_xml >> 20) + " MiB");
    if (hook.input.end == XmlInput::End::failed)
      throw Error("domain XML", "cannot read from the hook's stdin", "check: journalctl -k");
    Document document = parse_document(hook.input.text);
    Domain domain = read_domain(document);
    return ParsedDomain{std::move(document), std::move(domain)};
  } catch (const Error& error) {
    const std::string cut =
        hook.input.end == XmlInput::End::late ? " (libvirt stopped writing it)" : "";
    Reason why = error.reason;
    why.problem += cut;
    require_no_gpu_in_text(hook, why);
    log::warning(domain_title(hook.call.domain) + ": cannot parse domain XML: " + to_string(why) +
                 ", ignoring (no GPU found)");
    return {};
  }
}

/// Nothing when there are no problems.
std::optional<Reason> config_error(const LoadedConfig& loaded) {
  if (loaded.problems.empty()) return {};
  const size_t more = loaded.problems.size() - 1;
  return Reason{
      {},
      to_string(loaded.problems.front()) + (more ? " (and " + std::to_string(more) + " more)" : ""),
      "run: gpuward check"};
}

/// What the files say, and what is wrong with them: no ground to decide on.
struct FoundConfig {
  Config config;
  std::optional<Reason> error;
};

/// The configuration that decides about this domain; nothing for a domain without a GPU, which no
/// mistake in it may disturb.
std::optional<FoundConfig> config_for(const Hook& hook, const Domain& domain) {
  if (domain.hostdevs.empty() && domain.requests.empty() && domain.command_line.empty()) return {};
  LoadedConfig loaded = load_host_config(hook.root);
  if (!is_gpu_domain(hook.root, loaded.config, domain)) return {};
  const auto error = config_error(loaded);
  return FoundConfig{std::move(loaded.config), error};
}

void require(const Verdict& verdict) {
  if (!verdict) throw Error(verdict.reason);
}

void require_unless_permitted(Refusals& refusals, const Domain& domain, const Verdict& verdict) {
  if (!verdict) refusals.add(domain.uuid, verdict.reason);
}

/// For polkit's helper and for the guard. No reason to refuse anything.
void mark(const Hook& hook, const Domain& domain, const StartedDevices* devices) {
  try {
    mark_gpu_domain(hook.root, domain.uuid, domain.name, devices);
  } catch (const Error& error) {
    log::warning(domain_title(domain.name) + ": cannot write marker for gpuward-polkit and " +
                 "gpuward-guard: " + error.what() +
                 ", API calls of non-root users will not be blocked");
  }
}

/// At release, and at a start whose earlier run was never released. A record that stays is removed
/// by the next reconcile, and keeps nothing else from being done.
void forget_permit(const Hook& hook, const Uuid& domain) {
  try {
    forget_started_anyway(hook.root, domain);
  } catch (const Error& error) {
    log::warning(domain_title(hook.call.domain) + ": " + error.what() + ", ignoring");
  }
}

/// False, with errno, where not all of it is written.
bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = retried([&] { return ::write(fd, text.data(), text.size()); });
    if (n < 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

/// libvirt shows stderr to the user word for word. One line, as it fits a ticket.
void print_answer(const HookCall& call, const Reason& reason) {
  // Where libvirt closed its end nobody is left to be told.
  static_cast<void>(write_all(STDERR_FILENO, answer_for_caller(call.domain, reason) + '\n'));
}

void warn_of_readconfig(const Domain& domain) {
  if (domain.readconfig == 0) return;
  log::warning(domain_title(domain.name) + ": domain XML line " +
               std::to_string(domain.readconfig) +
               ": the file of -readconfig is not searched for GPUs");
}

/// `more`: how many others there are.
Reason command_line_warning(const CommandLineDevice& gpu, size_t more) {
  return {"domain XML line " + std::to_string(gpu.line),
          "QEMU command line assigns the GPU " + in_quotes(gpu.text) +
              (more ? " (and " + std::to_string(more) + " more)" : "") +
              ", which gpuward neither claims nor protects from migration",
          "use a <hostdev> instead"};
}

/// What QEMU gets past libvirt: it has no claim, and nothing takes care of its driver and reset.
/// The journal has a line for each. Returns the one for the caller of a start that goes on: where
/// it is refused, the refusal is all that the caller reads.
std::optional<Reason> warn_of_command_line(const Hook& hook, const Config& config,
                                           const Domain& domain) {
  const auto gpus = command_line_gpus(hook.root, config, domain);
  for (const CommandLineDevice* const gpu : gpus)
    log::warning(domain_title(domain.name) + ": " + to_string(command_line_warning(*gpu, 0)));
  if (gpus.empty()) return {};
  return command_line_warning(*gpus.front(), gpus.size() - 1);
}

/// What the XML of a domain with a GPU must not let through.
void guard(const Hook& hook, const Config& config, const ParsedDomain& seen, Refusals& refusals) {
  const auto gpus = gpu_hostdevs(hook.root, config, seen.domain);
  const std::string emulator = emulator_of(seen.document);
  const QemuCapabilities qemu = abilities_of(qemu_version(hook.root, emulator));
  if (!qemu.is_known && config.guard.migration == Policy::block)
    log::warning(domain_title(seen.domain.name) + ": cannot determine the version of " +
                 shown(emulator) + ", requiring enable-migration=off");
  require_unless_permitted(refusals, seen.domain,
                           override_verdict(seen.document, gpus, seen.domain.name, qemu));
  const auto gaps = gaps_to_close(seen.document, gpus, config.guard, qemu);
  for (const std::string& line : guard_warnings(config.guard, seen.domain.name, gaps))
    log::warning(domain_title(seen.domain.name) + ": " + line);
  require_unless_permitted(refusals, seen.domain,
                           guard_verdict(config.guard, seen.domain.name, gaps));
}

/// What libvirt starts the domain with. Sizes that are no numbers are not recorded, libvirt
/// refuses them.
StartedDevices devices_at_start(const Document& document, const Domain& domain) {
  StartedDevices started;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (const std::string source = source_of(hostdev); !source.empty())
      started.hostdevs.insert(source);
  const Element* const devices = document.root.child("devices");
  if (!devices) return started;
  for (const Element& device : devices->children) {
    const Element* const target =
        device.name == "memory" && device.name_space.empty() ? device.child("target") : nullptr;
    const Element* const size = target ? target->child("size") : nullptr;
    const auto kib = size ? kib_of(*size) : std::nullopt;
    if (!kib) continue;
    const Element* const requested = target->child("requested");
    started.memory.push_back({shown(device.attribute("model").value_or("")), *kib,
                              requested ? kib_of(*requested).value_or(0) : *kib});
  }
  return started;
}

void wait_for_reassignment(const Hook& hook, const Config& config, const Domain& domain) {
  if (!assigned_devices(config, domain).empty())
    wait_for_reassignment(hook.root, domain.uuid, hook.deadlines.settle_wait());
}

/// A domain with a GPU whose XML cannot be parsed, when the administrator has it started anyway:
/// its devices are those that its text names, claimed as those written by hand.
void prepare_unparsed(const Hook& hook, const Reason& error) {
  // What did not arrive may name a device that is in use.
  if (hook.input.end != XmlInput::End::whole) throw Error(error);
  const auto hostdevs = hostdevs_in_text(hook.input.text);
  if (!hostdevs) throw Error(error);
  Refusals refusals(hook.root, hook.call.domain);
  refusals.add({}, error);
  const Domain domain = domain_of_text(*refusals.permit(), *hostdevs);
  const Config config = load_config(config_files(hook.root)).config;
  prepare_devices(hook.root, config, domain, hook.deadlines,
                  hook.input.names_gpuward ? addresses_of(domain) : std::vector<PciAddress>());
  mark(hook, domain, nullptr);
}

/// Of a start that the administrator permits with a configuration that has errors.
void claim_by_broken_config(const Hook& hook, const Config& config, const Domain& whole) {
  const auto unknown = addresses_from_profiles(whole);
  const Domain domain = without_lost_profiles(config, whole);
  require(request_verdict(config, domain));
  prepare_devices(hook.root, config, domain, hook.deadlines, unknown);
}

void prepare(const Hook& hook) {
  std::optional<ParsedDomain> seen;
  try {
    seen = parse_input(hook);
  } catch (const Error& error) {
    return prepare_unparsed(hook, error.reason);
  }
  if (!seen) return;
  const Domain& domain = seen->domain;
  warn_of_readconfig(domain);
  const auto found = config_for(hook, domain);
  if (!found) return;
  const Config& config = found->config;
  forget_permit(hook, domain.uuid);
  Refusals refusals(hook.root, hook.call.domain);
  if (found->error) refusals.add(domain.uuid, *found->error);
  const auto past_libvirt = warn_of_command_line(hook, config, domain);
  if (!found->error) require(request_verdict(config, domain));
  guard(hook, config, *seen, refusals);
  if (found->error)
    claim_by_broken_config(hook, config, domain);
  else
    prepare_devices(hook.root, config, domain, hook.deadlines);
  const StartedDevices devices = devices_at_start(seen->document, domain);
  mark(hook, domain, &devices);
  wait_for_reassignment(hook, config, domain);
  if (past_libvirt) print_answer(hook.call, *past_libvirt);
}

/// Why the mark stays; "" when it is gone.
std::string unmark(const Hook& hook, const Uuid& domain) {
  forget_permit(hook, domain);
  try {
    unmark_gpu_domain(hook.root, domain);
    return {};
  } catch (const Error& error) {
    return std::string(
               "cannot remove the marker of a domain with a GPU, polkit still blocks "
               "API calls: ") +
           error.what() + "; run: gpuward reconcile";
  }
}

/// The claim of this domain: by UUID, or by name when the XML does not state it. Its mark goes, or
/// `marked` says why not.
std::optional<Claim> own_claim(const Hook& hook, const Claims& claims, std::string& marked) {
  std::optional<ParsedDomain> seen;
  try {
    seen = parse_input(hook);
  } catch (const Error& error) {
    log::warning(domain_title(hook.call.domain) + ": finding the claim by name: " + error.what());
  }
  if (seen) {
    marked = unmark(hook, seen->domain.uuid);
    return claims.find(seen->domain.uuid);
  }
  // Without marks of single use and records of quarantine: one that cannot be read is no reason to
  // release nothing.
  if (auto claim = claims.find_by_name(std::string(hook.call.domain))) {
    marked = unmark(hook, claim->domain);
    return claim;
  }
  std::vector<std::string> unreadable;
  for (const StartPermit& permit : all_started_anyway(hook.root, unreadable))
    if (permit.name == hook.call.domain) marked = unmark(hook, permit.domain);
  return {};
}

void release_claim(const Hook& hook, const Claims& claims, const std::optional<Claim>& seen) {
  if (!seen) return;
  claims.sweep();
  const auto lock = claims.lock_domain(seen->domain, hook.deadlines.before_reserve().lock_wait());
  if (!lock)
    throw Error({}, "timed out waiting for the domain lock, GPUs not released",
                "run: gpuward reconcile");
  const auto claim = claims.find(seen->domain);
  if (!claim) return;
  const auto kept = release_devices(hook.root, claims, *claim, hook.deadlines);
  if (std::any_of(claim->devices.begin(), claim->devices.end(),
                  [](const ClaimedDevice& device) { return is_pci(device.use); }))
    wait_for_reassignment(hook.root, claim->domain, hook.deadlines.settle_wait());
  for (size_t i = 1; i < kept.size(); ++i)
    log::warning(domain_title(claim->name) + ": " + to_string(quarantine_reason(kept[i])));
  if (!kept.empty()) throw Error(quarantine_reason(kept.front()));
}

void release(const Hook& hook) {
  const Claims claims(hook.root);
  std::string marked;
  const auto seen = own_claim(hook, claims, marked);
  release_claim(hook, claims, seen);
  if (!marked.empty()) throw Error({}, marked);
}

void reconnect(const Hook& hook) {
  const auto seen = parse_input(hook);
  if (!seen) return;
  // What a broken configuration still says must do: a running domain is not refused anything here.
  const Config config = load_config(config_files(hook.root)).config;
  const std::string found = check_running_domain(hook.root, config, seen->domain, hook.deadlines);
  if (!found.empty()) log::warning(domain_title(seen->domain.name) + ": reconnect: " + found);
  if (!is_gpu_domain(hook.root, config, seen->domain)) return;
  claim_by_hand_again(hook.root, config, seen->domain, hook.deadlines);
  if (!requests_gpu(seen->domain) && mark_stamp(hook.root, seen->domain.uuid).empty())
    mark(hook, seen->domain, nullptr);
}

/// libvirt takes what a filter prints instead of what arrives; nothing: it stays as it is.
void print_for_libvirt(std::string_view xml) {
  if (!write_all(STDOUT_FILENO, xml))
    throw SystemError("cannot write the domain XML for libvirt", errno);
}

/// An instance that is not the domain's own is made so before `prepare` looks for it. Sources of
/// hostdevs written by hand are their author's. A domain that runs with enable-migration=off never
/// gets here: its QEMU refuses on the host that it runs on. Nor may this filter add that: QEMU
/// would not take the device's state out of the stream.
void handle_incoming(const Hook& hook) {
  const auto seen = parse_input(hook);
  const auto found = seen ? config_for(hook, seen->domain) : std::nullopt;
  if (!found) return;
  if (found->error) throw Error(*found->error);
  const Config& config = found->config;
  require(check_incoming(config, hook.call.operation));
  if (config.guard.migration == Policy::warn)
    log::warning(domain_title(seen->domain.name) + ": incoming " +
                 (hook.call.operation == "migrate" ? "migration" : "restore") +
                 " of a domain with a GPU, allowed by [guard] " +
                 setting_text(Guard::migration, Policy::warn));
  const std::string repointed = replace_sources(hook.input.text);
  if (repointed != hook.input.text) print_for_libvirt(repointed);
}

enum class OnError {
  refuse,  ///< libvirt does not go on
  report,  ///< libvirt ignores the status and keeps the text in its log
  log,     ///< a status other than 0 would kill a running guest
};

struct Operation {
  std::string_view name;
  void (*handle)(const Hook&);
  OnError on_error;
  log::Message failure;
};

/// All that libvirt calls a qemu hook for and that concerns us. "start", "started" and "stopped"
/// are done with before stdin is read: a failing "started" kills the guest (qemu_process.c).
constexpr Operation operations[] = {
    {"prepare", prepare, OnError::refuse,
     log::Message::start_refused},  // before libvirt checks the devices: create
    {"release", release, OnError::report,
     log::Message::release_failed},  // after it released them, also after a refusal
    {"reconnect", reconnect, OnError::log,
     log::Message::reconnect_failed},  // libvirt itself restarted
    {"migrate", handle_incoming, OnError::refuse,
     log::Message::arrival_refused},  // from another host, on this one
    {"restore", handle_incoming, OnError::refuse, log::Message::arrival_refused},  // from a file
};

const Operation* find_operation(std::string_view name) {
  for (const Operation& operation : operations)
    if (operation.name == name) return &operation;
  return nullptr;
}

int fail(const Operation& operation, const HookCall& call, const Reason& reason) {
  const log::Field fields[] = {{"GPUWARD_ACTION", std::string(action_of(operation.failure))}};
  log::entry(
      log::Severity::error, operation.failure,
      domain_title(call.domain) + ": " + std::string(call.operation) + ": " + to_string(reason),
      fields);
  if (operation.on_error == OnError::log) return 0;
  print_answer(call, reason);
  return 1;
}

}  // namespace

[[gnu::hot]] bool handles(std::string_view operation) {
  return find_operation(operation) != nullptr;
}

int run_qemu_hook(const Root& root, const HookCall& call, const XmlInput& input,
                  const Deadlines& deadlines) {
  const Operation* operation = find_operation(call.operation);
  if (!operation) return 0;
  const ReadLimit limit(deadlines.end);
  try {
    operation->handle({root, call, input, deadlines});
    return 0;
  } catch (const Error& error) {
    return fail(*operation, call, error.reason);
  } catch (const std::exception& error) {
    return fail(*operation, call, {{}, error.what(), {}});
  }
}

}  // namespace gpuward
