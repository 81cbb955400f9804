// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/qemu_hook.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "attach/rewrite.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "config/config_parser.hpp"
#include "domain/document.hpp"
#include "domain/domain.hpp"
#include "hooks/claim_devices.hpp"
#include "hooks/give_back.hpp"
#include "hooks/guard_verdict.hpp"
#include "hooks/pool_plan.hpp"
#include "hooks/qemu_version.hpp"
#include "hooks/request_verdict.hpp"
#include "hooks/settle.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "protection/protect.hpp"
#include "state/claim_store.hpp"
#include "state/gpu_domain_marker.hpp"

namespace gpuward {

namespace {

struct Hook {
  const Root& root;
  const HookCall& call;
  const XmlInput& input;
  const Deadlines& deadlines;
};

struct Seen {
  Document document;
  Domain domain;
};

/// The domain on stdin; nothing when it can be read no further and is no domain of ours, which then
/// starts. Throws Error when it is ours.
std::optional<Seen> see_domain(const Hook& hook) {
  try {
    if (hook.input.end == XmlInput::End::too_large)
      throw Error("domain XML is larger than " + std::to_string(largest_xml >> 20) + " MiB");
    if (hook.input.end == XmlInput::End::failed)
      throw Error("its XML on the hook's stdin cannot be read; try again, and see 'journalctl -k'");
    Document document = parse_document(hook.input.text);
    Domain domain = read_domain(document);
    return Seen{std::move(document), std::move(domain)};
  } catch (const Error& error) {
    const std::string cut =
        hook.input.end == XmlInput::End::late ? " (libvirt stopped writing it)" : "";
    if (hook.input.names_gpuward) throw Error(error.what() + cut);
    log::warning(std::string(hook.call.domain) + ": not looked at further: " + error.what() + cut);
    return {};
  }
}

/// The configuration that decides about this domain; nothing for a domain without a GPU, which no
/// mistake in it may disturb. Throws Error for a domain with one: a configuration with a mistake is
/// no ground to decide on.
std::optional<Config> config_for(const Hook& hook, const Domain& domain) {
  if (domain.hostdevs.empty() && domain.asked.empty()) return {};
  LoadedConfig loaded = load_config(config_files(hook.root));
  if (!is_gpu_domain(hook.root, loaded.config, domain)) return {};
  if (loaded.problems.empty()) return std::move(loaded.config);
  const size_t more = loaded.problems.size() - 1;
  throw Error(to_string(loaded.problems.front()) +
              (more ? " (and " + std::to_string(more) + " more)" : "") + "; see 'gpuward check'");
}

void require(const Verdict& verdict) {
  if (!verdict) throw Error(verdict.reason);
}

/// So that polkit's helper knows of a GPU that nobody claims. No reason to refuse anything.
void mark(const Hook& hook, const Domain& domain) {
  try {
    mark_guarded(hook.root, domain.uuid, domain.name);
  } catch (const Error& error) {
    log::warning(domain.name + ": polkit cannot know of its GPU: " + error.what());
  }
}

/// What the XML of a domain with a GPU must not let through.
void guard(const Hook& hook, const Config& config, const Seen& seen) {
  const auto gpus = gpu_hostdevs(hook.root, config, seen.domain);
  const std::string emulator = emulator_of(seen.document);
  const QemuAbilities qemu = abilities_of(qemu_version(hook.root, emulator));
  if (!qemu.is_known && config.guard.migration == Policy::block)
    log::warning(seen.domain.name + ": cannot tell the version of " + shown(emulator) +
                 ": enable-migration=off is not asked for");
  require(override_verdict(seen.document, gpus, seen.domain.name, qemu));
  const auto gaps = gaps_to_close(seen.document, gpus, config.guard, qemu);
  for (const std::string& line : guard_warnings(config.guard, gaps))
    log::warning(seen.domain.name + ": " + line);
  require(guard_verdict(config.guard, seen.domain.name, gaps));
}

void prepare(const Hook& hook) {
  const auto seen = see_domain(hook);
  const auto config = seen ? config_for(hook, seen->domain) : std::nullopt;
  if (!config) return;
  require(request_verdict(*config, seen->domain));
  guard(hook, *config, *seen);
  if (!asks_gpuward(seen->domain)) return mark(hook, seen->domain);
  claim_devices(hook.root, *config, seen->domain, hook.deadlines);
  if (!pointed_devices(*config, seen->domain).empty())
    let_pools_settle(hook.root, seen->domain.uuid, hook.deadlines.settle);
}

void unmark(const Hook& hook, const Domain& domain) {
  try {
    unmark_guarded(hook.root, domain.uuid);
  } catch (const Error& error) {
    log::warning(domain.name + ": polkit takes it for one with a GPU: " + error.what());
  }
}

/// The claim of this domain: by UUID, or by name when the XML does not tell. Its mark goes.
std::optional<Claim> own_claim(const Hook& hook, const Claims& claims) {
  std::optional<Seen> seen;
  try {
    seen = see_domain(hook);
  } catch (const Error& error) {
    log::warning(std::string(hook.call.domain) +
                 ": looking for its claim by name: " + error.what());
  }
  if (seen) {
    unmark(hook, seen->domain);
    return claims.find(seen->domain.uuid);
  }
  for (Claim& claim : claims.all().readable)
    if (claim.name == hook.call.domain) return std::move(claim);
  return {};
}

void release(const Hook& hook) {
  const Claims claims(hook.root);
  const auto seen = own_claim(hook, claims);
  if (!seen) return;
  const auto lock = claims.lock_domain(seen->domain, hook.deadlines.lock);
  if (!lock)
    throw Error("another gpuward process works on its GPUs; 'gpuward reconcile' gives them back");
  const auto claim = claims.find(seen->domain);
  if (!claim) return;
  const auto kept = give_back(hook.root, claims, *claim, hook.deadlines);
  if (std::any_of(claim->devices.begin(), claim->devices.end(),
                  [](const ClaimedDevice& device) { return device.use != Use::mdev; }))
    let_pools_settle(hook.root, claim->domain, hook.deadlines.settle);
  if (!kept.empty())
    throw Error("GPU " + kept.front().device.alias + " (" + what_it_is(kept.front().device) +
                ") stays in quarantine: " + kept.front().reason +
                "; 'gpuward reconcile' tries again");
}

void reconnect(const Hook& hook) {
  const auto seen = see_domain(hook);
  if (!seen) return;
  // What a broken configuration still says must do: a running domain is not refused anything here.
  const Config config = load_config(config_files(hook.root)).config;
  const std::string found = check_devices(hook.root, config, seen->domain, hook.deadlines);
  if (!found.empty()) log::warning(seen->domain.name + ": reconnect: " + found);
  if (!asks_gpuward(seen->domain) && is_gpu_domain(hook.root, config, seen->domain))
    mark(hook, seen->domain);
}

/// libvirt takes what a filter prints instead of what arrives; nothing: it stays as it is.
void print_for_libvirt(std::string_view xml) {
  while (!xml.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, xml.data(), xml.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw SystemError("cannot give libvirt the domain's XML", errno);
    xml.remove_prefix(static_cast<size_t>(n));
  }
}

/// An instance that is not the domain's own is made so before `prepare` looks for it. Sources of
/// hostdevs written by hand are their author's. A domain that runs with enable-migration=off never
/// gets here: its QEMU refuses on the host that it runs on. Nor may this filter add that: QEMU
/// would not take the device's state out of the stream.
void arrive(const Hook& hook) {
  const auto seen = see_domain(hook);
  const auto config = seen ? config_for(hook, seen->domain) : std::nullopt;
  if (!config) return;
  require(arrival_verdict(*config, hook.call.operation));
  if (config->guard.migration == Policy::warn)
    log::warning(seen->domain.name + ": a domain with a GPU arrives by " +
                 std::string(hook.call.operation) + " ([guard] migration = warn)");
  const std::string repointed = repoint_gpus(hook.input.text);
  if (repointed != hook.input.text) print_for_libvirt(repointed);
}

enum class OnError {
  refuse,  ///< libvirt does not go on
  tell,    ///< libvirt ignores the status and keeps the text in its log
  log,     ///< a status other than 0 would kill a running guest
};

struct Operation {
  std::string_view name;
  void (*handle)(const Hook&);
  OnError on_error;
};

/// All that libvirt calls a qemu hook for and that concerns us. "start", "started" and "stopped"
/// are done with before stdin is read: a failing "started" kills the guest (qemu_process.c).
constexpr Operation operations[] = {
    {"prepare", prepare, OnError::refuse},   // before libvirt looks at the devices: create
    {"release", release, OnError::tell},     // after it gave them back, also after a refusal
    {"reconnect", reconnect, OnError::log},  // libvirt itself started anew
    {"migrate", arrive, OnError::refuse},    // from another host, on this one
    {"restore", arrive, OnError::refuse},    // from a file
};

const Operation* find_operation(std::string_view name) {
  for (const Operation& operation : operations)
    if (operation.name == name) return &operation;
  return nullptr;
}

/// libvirt shows stderr to the user word for word.
void say(const std::string& line) {
  const std::string text = line + '\n';
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // nobody listens
}

int fail(const Operation& operation, const HookCall& call, const char* reason) {
  std::string line = "gpuward: ";
  line += call.domain;
  line += ": ";
  line += reason;
  log::error(std::string(call.domain) + ": " + std::string(call.operation) + ": " + reason);
  if (operation.on_error == OnError::log) return 0;
  say(line);
  return 1;
}

}  // namespace

bool handles(std::string_view operation) {
  return find_operation(operation) != nullptr;
}

int run_qemu_hook(const Root& root, const HookCall& call, const XmlInput& input,
                  const Deadlines& deadlines) {
  const Operation* operation = find_operation(call.operation);
  if (!operation) return 0;
  try {
    operation->handle({root, call, input, deadlines});
    return 0;
  } catch (const std::exception& error) {
    return fail(*operation, call, error.what());
  }
}

}  // namespace gpuward
