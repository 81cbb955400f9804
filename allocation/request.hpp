// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "allocation/fraction.hpp"
#include "base/error.hpp"
#include "config/config.hpp"
#include "config/request_words.hpp"
#include "domain/domain.hpp"

namespace gpuward {

// A request, from what the administrator writes to what serves it. Pure: what the host has comes in
// as values.
//
//   "Tesla M60:2" --parse_request--> Request --resolve--> what attach writes into the domain
//   the domain's GpuRequest --resolve--> the Profile that serves it, at every start

/// What the text of a request says by itself. Forms in the order in which they are tried.
struct Request {
  enum class Form {
    whole,   ///< "whole": any whole GPU
    part,    ///< "4GiB", "4096MiB/25%"
    device,  ///< "10de:2236": any whole GPU of this vendor and device
    name,    ///< of a profile, a type or a model; which of them only the host shows
  } form = Form::name;
  std::string text;            ///< without ":N"
  unsigned count = 1;          ///< N
  GpuPart part{};              ///< Form::part
  std::string written = text;  ///< with ":N"
};
constexpr unsigned most_gpus_per_request = 16;

/// Throws Error for a number of GPUs that is none from 1 to 16, and for what cannot be kept.
Request parse_request(std::string_view text);

/// A type that a GPU of this host offers.
struct OfferedType {
  std::string id;    ///< "nvidia-745", of a vendor_vf "1145"
  std::string name;  ///< "NVIDIA A2-1Q"; "" when the driver gives none
  Use use = default_use;
  bool operator==(const OfferedType&) const = default;
};

/// A model of GPU that this host has, as `list gpus` prints it.
struct OfferedModel {
  std::string name;    ///< "Tesla M60"
  std::string full{};  ///< "NVIDIA Corporation GM204GL [Tesla M60]", as `list gpus --json` has it
  std::string device;  ///< vendor:device
};

/// What a name may mean on this host beside a profile.
struct HostOffer {
  std::vector<OfferedType> types;
  std::vector<OfferedModel> models;
  /// GPUs that have vGPU types of which some, or all, cannot be created now: those are unknown.
  std::vector<std::string> partly_listed{};
  std::map<std::string, std::string> unknown{};  ///< GPUs of which no type is known, and why
  /// Its GPUs for a request by memory, of a profile with these selectors; not read for others.
  std::function<std::vector<FractionGpu>(const FractionRequest&, const std::vector<GpuSelector>&)>
      fraction_gpus{};
};

/// What is to be written into the domain for each of `count` GPUs.
struct WantedGpus {
  GpuRequest request;  ///< without an alias
  Profile profile;     ///< that serves it
  unsigned count = 1;
};

/// What serves a request that is the id or the name of one of these types; nothing when it is none.
/// Throws Error where types of several ids have this name.
std::optional<SettledRequest> settle_type(const std::vector<OfferedType>& types,
                                          const std::string& text);

/// What a profile with `memory` requests.
FractionRequest fraction_of(const Profile& profile);

/// What the domain's GPU requests by memory, in its own words or by its profile; nothing for
/// another request.
std::optional<FractionRequest> fraction_of(const Config& config, const GpuRequest& gpu);

/// What serves a GPU that requests a fraction now: what was settled while it is available or
/// nothing else is. Nothing where no GPU serves it.
std::optional<SettledRequest> settle_fraction(const FractionChoice& choice, const GpuRequest& gpu);

/// Whether only the host can tell what the request means: no word, pair or profile.
bool needs_host(const Config& config, const Request& request);

/// Throws Error where nothing serves it, with the candidates where more than one does.
WantedGpus resolve(const Config& config, const HostOffer& host, const Request& request);

/// A GPU that a domain requests, and what serves it.
struct ResolvedRequest {
  std::string alias;
  Profile profile;
};

/// What serves the request, or why nothing does: its profile is not defined, or this version cannot
/// serve it.
struct Resolution {
  std::optional<Profile> profile;
  Reason refusal;
};
/// `domain`: name for the command that the refusal may tell to run, where it is known.
Resolution resolve(const Config& config, const GpuRequest& gpu, const std::string& domain = {});

/// One word for what serves the request, as claims have it: the profile's name, "whole",
/// vendor:device or the id of the type.
std::string profile_word(const GpuRequest& gpu);

/// All GPUs of the domain. Throws Error for the first that nothing serves.
std::vector<ResolvedRequest> resolve_requests(const Config& config, const Domain& domain);

}  // namespace gpuward
