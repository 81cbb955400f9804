// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/request.hpp"

#include <algorithm>
#include <set>

#include "base/joined.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "config/attribute_list.hpp"
#include "config/gpu_selector.hpp"
#include "config/names.hpp"
#include "inventory/gpu_types.hpp"
#include "kinds/unified_memory.hpp"

namespace gpuward {

// ---- the text

static std::string request_title(std::string_view text) {
  return "request " + in_quotes(text);
}

/// The form that the text alone shows; nothing for a name.
static std::optional<Request> without_count(std::string_view text) {
  Request request{.text = std::string(text)};
  request.written = text;
  const auto part = parse_gpu_part(text);
  if (text == whole_word)
    request.form = Request::Form::whole;
  else if (part)
    request.form = Request::Form::part;
  else if (is_id_pair(text))
    request.form = Request::Form::device;
  else
    return {};
  if (part) request.part = *part;
  if (request.form == Request::Form::device) request.text = lower_case(text);
  return request;
}

static bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

Request parse_request(std::string_view text) {
  if (!is_request_text(text))
    throw Error(request_title(text), "expected one line of 1 to 200 characters");
  // First: the second half of a vendor:device pair may look like a number of GPUs.
  if (const auto request = without_count(text)) return *request;
  const size_t colon = text.rfind(':');
  Request request{.text = std::string(text)};
  request.written = text;
  if (colon == std::string_view::npos || colon == 0 || !is_number(text.substr(colon + 1)))
    return request;
  const std::string_view before = text.substr(0, colon);
  const auto count = to_number<unsigned>(text.substr(colon + 1));
  if (!count || *count == 0 || *count > most_gpus_per_request)
    throw Error(request_title(text),
                "number of GPUs " + std::string(text.substr(colon + 1)) + " is not from 1 to " +
                    std::to_string(most_gpus_per_request),
                "write such as " + std::string(before) + ":2");
  request = without_count(before).value_or(Request{.text = std::string(before)});
  request.count = *count;
  request.written = text;
  return request;
}

// ---- what serves it, at attach

static Profile profile_of(const SettledRequest& settled, const std::string& text) {
  Profile profile;
  if (const auto part = parse_gpu_part(text)) {
    profile.memory_mib = part->memory_mib;
    profile.compute_percent = part->compute_percent;
  }
  profile.is_configured = false;
  profile.use = settled.use;
  if (!settled.type.empty()) profile.types = {settled.type};
  if (!settled.device.empty()) profile.gpus = {*parse_gpu_selector(settled.device)};
  // One word, as it is kept in claims; the text of the request may be any.
  profile.name = !settled.type.empty()     ? settled.type
                 : !settled.device.empty() ? settled.device
                                           : std::string(whole_word);
  return profile;
}

static WantedGpus wanted(const Request& request, const std::string& text,
                         const SettledRequest& settled) {
  return {{{}, text, settled}, profile_of(settled, text), request.count};
}

/// What serves the fraction on this host. Throws Error, about `title`, where nothing does.
static SettledRequest require_fraction(const HostOffer& host, const FractionRequest& request,
                                       const std::vector<GpuSelector>& selectors,
                                       const std::string& title) {
  const auto gpus =
      host.fraction_gpus ? host.fraction_gpus(request, selectors) : std::vector<FractionGpu>();
  const FractionChoice choice = fraction_choice(request, gpus);
  const FractionCandidate* const best = best_fraction(choice);
  if (!best) throw Error(about(title, fraction_refusal(request, gpus, choice)));
  return settled(*best);
}

static WantedGpus wanted_part(const HostOffer& host, const Request& request) {
  const std::string title = request_title(request.written);
  if (const std::string advice = fraction_advice(request.part); !advice.empty())
    throw Error(title, advice);
  return wanted(request, request.text, require_fraction(host, {request.part}, {}, title));
}

static Error ambiguous(const std::string& text, const std::string& what,
                       const std::set<std::string>& candidates) {
  return Error(request_title(text),
               std::to_string(candidates.size()) + " " + what + " have this name",
               "write one of: " + joined(candidates));
}

/// The type of this id, else that of this name. Where two kinds of device offer it the first of
/// them serves it: mdevs, whose parent is chosen at each start.
std::optional<SettledRequest> settle_type(const std::vector<OfferedType>& types,
                                          const std::string& text) {
  const OfferedType* found = nullptr;
  std::set<std::string> ids;
  for (const bool by_id : {true, false}) {
    for (const OfferedType& type : types) {
      if ((by_id ? type.id : type.name) != text || !is_name(type.id)) continue;
      ids.insert(type.id);
      if (!found || type.use < found->use) found = &type;
    }
    if (found) break;
  }
  if (ids.size() > 1) throw ambiguous(text, "types", ids);
  if (!found) return {};
  return SettledRequest{found->use, found->id, {}};
}

static bool is_same_word(const std::string& one, const std::string& other) {
  return lower_case(one) == lower_case(other);
}

/// Models have the same vendor:device where the class alone tells them apart ("Tesla M60" and
/// "Tesla M60.compute"), and that is all that is kept of a model.
static void require_only_model(const std::vector<OfferedModel>& models, const std::string& text,
                               const std::string& device) {
  for (const OfferedModel& model : models)
    if (model.device == device && !is_same_word(model.name, text) &&
        !is_same_word(model.full, text))
      throw Error(request_title(text),
                  in_quotes(model.name) + " has the same vendor:device " + device,
                  "to request either of them write " + device +
                      "; for one of them set gpu = ADDRESS in a profile");
}

static std::optional<SettledRequest> settle_model(const std::vector<OfferedModel>& models,
                                                  const std::string& text) {
  std::set<std::string> devices;
  for (const OfferedModel& model : models)
    if (is_same_word(model.name, text) || is_same_word(model.full, text))
      devices.insert(model.device);
  if (devices.size() > 1) throw ambiguous(text, "models", devices);
  if (devices.empty()) return {};
  require_only_model(models, text, *devices.begin());
  return SettledRequest{.device = *devices.begin()};
}

static Error unknown_name(const Config& config, const HostOffer& host, const Request& request) {
  std::set<std::string> profiles, models;
  for (const Profile& profile : config.profiles) profiles.insert(profile.name);
  for (const OfferedModel& model : host.models) models.insert(model.name);
  std::string remedy = "write whole, vendor:device";
  if (!profiles.empty()) remedy += ", a profile (" + joined(profiles) + ")";
  if (!models.empty()) remedy += ", a model (" + joined(models) + ")";
  std::string problem = "neither a profile nor a type or model of a GPU on this host";
  // It may still be the name of a type.
  if (!host.partly_listed.empty())
    problem += "; types of vGPUs that no VF of " +
               joined(std::set<std::string>(host.partly_listed.begin(), host.partly_listed.end())) +
               " can create now are unknown";
  for (const auto& [gpu, why] : host.unknown)
    problem += "; types of " + gpu + " are unknown, as " + why;
  return Error(request_title(request.written), problem,
               remedy + " or a type of: gpuward list types");
}

/// Which of its types serves the profile is known only when a domain starts.
static void require_unified_memory_of_types(const Profile& profile, const HostOffer& host) {
  for (const std::string& word : profile.types) {
    GpuType type{.id = word, .name = word};
    for (const OfferedType& offered : host.types)
      if (offered.id == word && !offered.name.empty()) type.name = offered.name;
    add_size(type);
    require_unified_memory(profile, type, title_of(profile));
  }
}

static WantedGpus of_profile(const Config& config, const HostOffer& host, const Request& request) {
  GpuRequest gpu{{}, request.text};
  const Profile& profile = *find_profile(config, request.text);
  require_unified_memory_of_types(profile, host);
  if (profile.memory_mib) {
    gpu.settled = require_fraction(host, fraction_of(profile), profile.gpus, title_of(profile));
    gpu.settled->of_profile = true;
  }
  Resolution resolution = resolve(config, gpu);
  if (!resolution.profile) throw Error(resolution.refusal);
  return {std::move(gpu), std::move(*resolution.profile), request.count};
}

bool needs_host(const Config& config, const Request& request) {
  if (request.form == Request::Form::part) return true;
  if (request.form != Request::Form::name) return false;
  const Profile* const profile = find_profile(config, request.text);
  return !profile || profile->memory_mib || sets_unified_memory(profile->attributes);
}

FractionRequest fraction_of(const Profile& profile) {
  FractionRequest request{{profile.memory_mib.value_or(0), profile.compute_percent},
                          profile.workload};
  if (!profile.any_use) request.use = profile.use;
  request.unified_memory = sets_unified_memory(profile.attributes);
  return request;
}

std::optional<FractionRequest> fraction_of(const Config& config, const GpuRequest& gpu) {
  if (names_profile(gpu)) {
    const Profile* const profile = find_profile(config, gpu.profile);
    if (!profile || !profile->memory_mib) return {};
    return fraction_of(*profile);
  }
  const auto part = parse_gpu_part(gpu.profile);
  if (!part || !fraction_advice(*part).empty()) return {};
  return FractionRequest{*part};
}

std::optional<SettledRequest> settle_fraction(const FractionChoice& choice, const GpuRequest& gpu) {
  const FractionCandidate* best = best_fraction(choice);
  if (!best) return {};
  const auto is_settled = [&](const FractionCandidate& candidate) {
    const SettledRequest other = settled(candidate);
    return gpu.settled && other.use == gpu.settled->use && other.type == gpu.settled->type &&
           other.device == gpu.settled->device;
  };
  for (const FractionCandidate& candidate : choice.candidates)
    if (is_settled(candidate) && (candidate.available > 0 || best->available == 0))
      best = &candidate;
  SettledRequest found = settled(*best);
  found.of_profile = names_profile(gpu);
  return found;
}

static std::optional<WantedGpus> find_name(const HostOffer& host, const Request& request,
                                           const std::string& text) {
  if (const auto type = settle_type(host.types, text)) return wanted(request, text, *type);
  if (const auto model = settle_model(host.models, text)) return wanted(request, text, *model);
  return {};
}

WantedGpus resolve(const Config& config, const HostOffer& host, const Request& request) {
  switch (request.form) {
    case Request::Form::whole:
      return wanted(request, request.text, SettledRequest{});
    case Request::Form::part:
      return wanted_part(host, request);
    case Request::Form::device:
      return wanted(request, request.text, {.device = request.text});
    case Request::Form::name:
      break;
  }
  if (find_profile(config, request.text)) return of_profile(config, host, request);
  // ":N" is split off last: it may be the end of a name.
  if (request.written != request.text)
    if (auto found = find_name(host, request, request.written)) {
      found->count = 1;
      return *found;
    }
  if (const auto found = find_name(host, request, request.text)) return *found;
  throw unknown_name(config, host, request);
}

// ---- what serves it, at every start

/// "requests 8192 MiB, type nvidia-560 has 4096 MiB": what the profile has come to request that the
/// settled type does not have; "" where that has all of it, and of what an earlier version settled,
/// which has noted nothing: attach had checked it by the profile of that time. prepare asks the
/// device itself for the memory that is not known here.
static std::string missing_of_type(const Profile& profile, const SettledRequest& settled) {
  const Granted& granted = settled.granted;
  if (granted == Granted{}) return {};
  const std::string type = "type " + settled.type;
  if (granted.memory_mib && *granted.memory_mib < profile.memory_mib)
    return "requests " + std::to_string(*profile.memory_mib) + " MiB, " + type + " has " +
           std::to_string(*granted.memory_mib) + " MiB";
  if (profile.compute_percent > granted.compute_percent)
    return "requests " + std::to_string(*profile.compute_percent) + " % of the compute units, " +
           (granted.compute_percent
                ? type + " is guaranteed " + std::to_string(*granted.compute_percent) + " %"
                : "the share of " + type + " is not known");
  if (profile.workload == Workload::graphics && granted.has_graphics != true)
    return "has workload = graphics, " + (granted.has_graphics
                                              ? type + " has no graphics"
                                              : "whether " + type + " has graphics is not known");
  return {};
}

/// A profile with `memory`, served as it was settled.
static Resolution resolve_fraction(const Profile& profile, const GpuRequest& gpu,
                                   const std::string& domain) {
  const std::string remedy =
      "run: gpuward reassign " + (domain.empty() ? "DOMAIN" : shell_word(domain));
  const std::string title = "profile " + in_quotes(gpu.profile);
  if (!gpu.settled)
    return {{}, {{}, title + " requests memory, and no type is set for it", remedy}};
  const SettledRequest& settled = *gpu.settled;
  if (!profile.any_use && profile.use != settled.use)
    return {{},
            {{},
             title + " has use = " + std::string(use_word(profile.use)) + ", the domain uses " +
                 std::string(use_word(settled.use)),
             remedy}};
  // Of a whole GPU and a VF prepare asks the device itself.
  if (const std::string missing = settled.type.empty() ? "" : missing_of_type(profile, settled);
      !missing.empty())
    return {{}, {{}, title + " " + missing, remedy}};
  Profile served = profile;
  served.use = settled.use;
  if (!settled.type.empty()) served.types = {settled.type};
  if (served.gpus.empty() && !settled.device.empty())
    served.gpus = {*parse_gpu_selector(settled.device)};
  return {std::move(served), {}};
}

Resolution resolve(const Config& config, const GpuRequest& gpu, const std::string& domain) {
  if (!names_profile(gpu)) return {profile_of(*gpu.settled, gpu.profile), {}};
  const Profile* const profile = find_profile(config, gpu.profile);
  const std::string title = "profile " + in_quotes(gpu.profile);
  if (const auto reserved = reserved_request(gpu.profile); !profile && !reserved.empty())
    return {{},
            {{},
             title + " has no effect: the name is " + std::string(reserved),
             "rename the profile, then run gpuward detach and gpuward attach for the domain"}};
  if (!profile)
    return {{},
            {{},
             title + " is not defined",
             "add [profile " + gpu.profile + "] to /etc/gpuward/gpuward.conf"}};
  if (profile->memory_mib) return resolve_fraction(*profile, gpu, domain);
  return {*profile, {}};
}

std::string profile_word(const GpuRequest& gpu) {
  return names_profile(gpu) ? gpu.profile : profile_of(*gpu.settled, gpu.profile).name;
}

std::vector<ResolvedRequest> resolve_requests(const Config& config, const Domain& domain) {
  std::vector<ResolvedRequest> requests;
  for (const GpuRequest& gpu : domain.requests) {
    Resolution resolution = resolve(config, gpu, domain.name);
    if (!resolution.profile) throw Error(about(gpu_title(gpu.alias), resolution.refusal));
    requests.push_back({gpu.alias, std::move(*resolution.profile)});
  }
  return requests;
}

}  // namespace gpuward
