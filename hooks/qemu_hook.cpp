// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/qemu_hook.hpp"

#include <unistd.h>

#include <string>

#include "base/error.hpp"
#include "base/log.hpp"
#include "config/config_parser.hpp"
#include "domain/claim.hpp"
#include "domain/domain.hpp"
#include "domain/guarded_mark.hpp"
#include "hooks/claim_devices.hpp"
#include "hooks/give_back.hpp"
#include "hooks/gpu_domain.hpp"
#include "hooks/request_verdict.hpp"

namespace gpuward {

namespace {

struct Hook {
  const Root& root;
  const HookCall& call;
  const XmlInput& input;
  const Deadlines& deadlines;
};

/// The domain on stdin; nothing when it can be read no further and is no domain of ours, which then
/// starts. Throws Error when it is ours.
std::optional<Domain> read_domain(const Hook& hook) {
  try {
    if (hook.input.end == XmlInput::End::too_large)
      throw Error("domain XML is larger than " + std::to_string(largest_xml >> 20) + " MiB");
    return parse_domain(hook.input.text);
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

void prepare(const Hook& hook) {
  const auto domain = read_domain(hook);
  const auto config = domain ? config_for(hook, *domain) : std::nullopt;
  if (!config) return;
  if (!asks_gpuward(*domain)) return mark(hook, *domain);
  require(request_verdict(*config, *domain));
  claim_devices(hook.root, *config, *domain, hook.deadlines);
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
  std::optional<Domain> domain;
  try {
    domain = read_domain(hook);
  } catch (const Error& error) {
    log::warning(std::string(hook.call.domain) +
                 ": looking for its claim by name: " + error.what());
  }
  if (domain) {
    unmark(hook, *domain);
    return claims.find(domain->uuid);
  }
  for (Claim& claim : claims.all())
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
  if (!kept.empty())
    throw Error("GPU " + kept.front().device.alias + " on " + kept.front().device.parent +
                " stays in quarantine: " + kept.front().reason +
                "; 'gpuward reconcile' tries again");
}

void reconnect(const Hook& hook) {
  const auto domain = read_domain(hook);
  if (!domain) return;
  const std::string found = check_devices(hook.root, *domain, hook.deadlines);
  if (!found.empty()) log::warning(domain->name + ": reconnect: " + found);
  // What a broken configuration still says must do: a running domain is not refused anything here.
  const Config config = load_config(config_files(hook.root)).config;
  if (!asks_gpuward(*domain) && is_gpu_domain(hook.root, config, *domain)) mark(hook, *domain);
}

void arrive(const Hook& hook) {
  const auto domain = read_domain(hook);
  const auto config = domain ? config_for(hook, *domain) : std::nullopt;
  if (config) require(arrival_verdict(*config, hook.call.operation));
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
