// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/request.hpp"

#include <algorithm>
#include <set>

#include "base/joined.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "config/gpu_selector.hpp"
#include "config/names.hpp"

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

static Profile profile_of(const SettledRequest& settled) {
  Profile profile;
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
  return {{{}, text, settled}, profile_of(settled), request.count};
}

static Error part_error(const Request& request) {
  return Error(request_title(request.written), "this version serves no part of a GPU by its size",
               "run: gpuward list types");
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
  return Error(request_title(request.written), problem,
               remedy + " or a type of: gpuward list types");
}

static WantedGpus of_profile(const Config& config, const std::string& name, unsigned count) {
  Resolution resolution = resolve(config, GpuRequest{{}, name});
  if (!resolution.profile) throw Error(resolution.refusal);
  return {{{}, name}, std::move(*resolution.profile), count};
}

bool needs_host(const Config& config, const Request& request) {
  return request.form == Request::Form::name && !find_profile(config, request.text);
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
      throw part_error(request);
    case Request::Form::device:
      return wanted(request, request.text, {.device = request.text});
    case Request::Form::name:
      break;
  }
  if (!needs_host(config, request)) return of_profile(config, request.text, request.count);
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

Resolution resolve(const Config& config, const GpuRequest& gpu) {
  if (gpu.settled) return {profile_of(*gpu.settled), {}};
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
  if (traits_of(profile->use).has_types && profile->types.empty())
    return {{},
            {{},
             title + " requests memory only, which this version does not support",
             "set type in " + to_string(profile->position)}};
  return {*profile, {}};
}

std::string profile_word(const GpuRequest& gpu) {
  return gpu.settled ? profile_of(*gpu.settled).name : gpu.profile;
}

std::vector<ResolvedRequest> resolve_requests(const Config& config, const Domain& domain) {
  std::vector<ResolvedRequest> requests;
  for (const GpuRequest& gpu : domain.requests) {
    Resolution resolution = resolve(config, gpu);
    if (!resolution.profile) throw Error(about(gpu_title(gpu.alias), resolution.refusal));
    requests.push_back({gpu.alias, std::move(*resolution.profile)});
  }
  return requests;
}

}  // namespace gpuward
