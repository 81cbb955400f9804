// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/fraction.hpp"

#include <algorithm>
#include <cstdint>
#include <set>
#include <tuple>

#include "config/fraction_rules.hpp"
#include "inventory/gpu_types.hpp"
#include "kinds/unified_memory.hpp"

namespace gpuward {

std::string fraction_advice(const GpuPart& part) {
  const std::string memory = memory_advice(part.memory_mib);
  const std::string compute = part.compute_percent ? compute_advice(*part.compute_percent) : "";
  return memory + (memory.empty() || compute.empty() ? "" : "; ") + compute;
}

std::string to_string(const GpuPart& part) {
  std::string text = std::to_string(part.memory_mib) + " MiB";
  if (part.compute_percent)
    text += " with " + std::to_string(*part.compute_percent) + " % of the compute units";
  return text;
}

// ---- what a type gives

/// Which driver divides the card, as the size of the type shows it (GpuType::takes).
static bool is_time_sliced(const GpuType& type) {
  return type.one_size;
}
static bool is_of_gvt(const GpuType& type) {
  return type.takes.size() == 3;
}

/// Whether a vGPU of this type leaves no memory for another one.
static bool takes_all_memory(const GpuType& type, const FractionGpu& gpu) {
  return is_time_sliced(type) && gpu.memory_mib && type.memory_mib == gpu.memory_mib;
}

/// Of which fixed-share scheduling counts, all that the memory has room for; max_instance may be
/// less, which makes the shares larger.
static std::optional<unsigned> most_of(const GpuType& type) {
  if (type.most) return std::max(*type.most, 1U);
  const auto memory = card_memory_of_vgpu(type.name);
  if (!memory || !type.memory_mib) return {};
  return std::max(*memory / *type.memory_mib, 1U);
}

/// Models before Blackwell, A30, A100, A800 and H100 with its like: a GPU instance has one vGPU
/// (NVIDIA's Virtual GPU Software User Guide), also where it has more memory than its type.
static bool is_of_one_vgpu_per_instance(const GpuType& type) {
  const size_t blank = type.name.find(' ');  // after "GRID" or "NVIDIA"
  if (blank == std::string::npos) return false;
  const std::string model = type.name.substr(blank + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return model.starts_with("A30-") || model.starts_with("A100") || model.starts_with("A800") ||
         (model.size() > 1 && model[0] == 'H' && is_digit(model[1]));
}

/// Whether a vGPU of this type has a GPU instance of MIG to itself. On Blackwell several may take
/// turns on one, which all have the same framebuffer: the largest alone leaves no room for another.
/// Not known of a type that the driver does not list beside the others.
static bool has_gpu_instance(const GpuType& type, const FractionGpu& gpu) {
  if (type.of_mig && type.is_counted_by_card) return true;  // created for it alone
  if (type.of_mig && is_of_one_vgpu_per_instance(type)) return true;
  if (gpu.hides_types) return false;  // one of those may be larger
  const auto is_it = [&](const GpuType& other) { return other.id == type.id; };
  const auto is_larger = [&](const GpuType& other) {
    return other.of_mig && other.takes.front() == type.takes.front() &&
           other.memory_mib > type.memory_mib;
  };
  return type.of_mig && std::any_of(gpu.types.begin(), gpu.types.end(), is_it) &&
         std::none_of(gpu.types.begin(), gpu.types.end(), is_larger);
}

static Limit compute_limit(const GpuType& type, const FractionGpu& gpu) {
  const auto& scheduler = gpu.scheduler;
  if (type.of_mig) return {has_gpu_instance(type, gpu) ? Limit::Kind::hard : Limit::Kind::none};
  // Time slices by weight of those that run (drivers/gpu/drm/i915/gvt/sched_policy.c).
  if (is_of_gvt(type)) return {Limit::Kind::contended};
  if (!is_time_sliced(type) || !scheduler) return {};
  const auto most = most_of(type);
  if (scheduler->policy == VgpuScheduler::Policy::best_effort || !most) return {};
  if (scheduler->time_slice_ns == 0) return {};
  // With equal share fewer may run, and take their turns more often.
  constexpr uint64_t ns_per_ms = 1'000'000;
  const uint64_t all_ns = uint64_t{scheduler->time_slice_ns} * *most;
  return {Limit::Kind::averaged, static_cast<unsigned>((all_ns + ns_per_ms - 1) / ns_per_ms)};
}

Limits limits_of(const GpuType& type, const FractionGpu& gpu) {
  if (takes_all_memory(type, gpu)) return limits_of_whole();
  // Each of these drivers reserves the memory when it creates the instance.
  const bool is_known = type.memory_mib && !type.takes.empty();
  return {{is_known ? Limit::Kind::hard : Limit::Kind::none}, compute_limit(type, gpu)};
}

Limits limits_of_whole() {
  return {{Limit::Kind::hard}, {Limit::Kind::hard}};
}

/// Compute slices of the card: A30 has 4, H100 and others 7 (NVIDIA's MIG User Guide); of a model
/// that has fewer than 7 each is more than is counted here. The largest type does not show it: a
/// driver may list only what can still be created.
static unsigned mig_slices(const GpuType& type) {
  return type.name.find("A30-") != std::string::npos ? 4 : 7;
}

/// What the driver guarantees to one instance of the compute units, in percent, rounded down.
/// Nothing: no share. Best effort and equal share give what the others leave; so does GVT-g, whose
/// driver does not say how many others there can be.
static std::optional<unsigned> guaranteed_share(const GpuType& type, const FractionGpu& gpu) {
  if (type.of_mig && !has_gpu_instance(type, gpu)) return {};
  if (type.of_mig) return 100 * std::min(type.takes.front(), mig_slices(type)) / mig_slices(type);
  if (takes_all_memory(type, gpu)) return 100;
  if (!is_time_sliced(type) || !gpu.scheduler) return {};
  if (gpu.scheduler->policy != VgpuScheduler::Policy::fixed_share) return {};
  const auto most = most_of(type);
  return most ? std::optional(100 / *most) : std::nullopt;
}

bool is_scheduled(const GpuType& type, const FractionGpu& gpu) {
  return is_time_sliced(type) && !takes_all_memory(type, gpu);
}

static std::string scheduler_text(const FractionGpu& gpu) {
  if (!gpu.scheduler)
    return gpu.scheduler_problem.empty() ? "unknown" : "unknown, as " + gpu.scheduler_problem;
  switch (gpu.scheduler->policy) {
    case VgpuScheduler::Policy::best_effort:
      return "best effort";
    case VgpuScheduler::Policy::equal_share:
      return "equal share";
    case VgpuScheduler::Policy::fixed_share:
      break;
  }
  return "fixed share, of how many is unknown";
}

static std::string no_share_text(const GpuType& type, const FractionGpu& gpu) {
  if (is_time_sliced(type))
    return "no share of the compute units is guaranteed (scheduler: " + scheduler_text(gpu) + ")";
  if (type.of_mig)
    return "no share of the compute units is guaranteed: several may run on one GPU instance" +
           std::string(gpu.hides_types ? ", and not all types are listed now" : "");
  if (is_of_gvt(type))
    return "no share of the compute units is guaranteed: instances that run share by weight";
  return "no share of the compute units is guaranteed by its driver";
}

// ---- what serves the request

static std::string text_of(unsigned mib) {
  return std::to_string(mib) + " MiB";
}

std::string share_refusal(unsigned percent, const GpuType& type, const FractionGpu& gpu) {
  const auto share = guaranteed_share(type, gpu);
  if (!share) return no_share_text(type, gpu);
  if (*share >= percent) return {};
  return "guarantees " + std::to_string(*share) + " % of the compute units";
}

static constexpr std::string_view share_without_graphics =
    "isolation memory+compute is not for workload = graphics";

static std::string refused_share(const FractionRequest& request, const GpuType& type,
                                 const FractionGpu& gpu) {
  if (!request.part.compute_percent) return {};
  if (request.workload == Workload::graphics) return std::string(share_without_graphics);
  return share_refusal(*request.part.compute_percent, type, gpu);
}

static std::string refused_isolation(const FractionRequest& request, const FractionGpu& gpu) {
  const Isolation wanted = isolation_of(request.part);
  if (!gpu.isolation || *gpu.isolation == wanted) return {};
  return "isolation of the GPU is " + std::string(isolation_word(*gpu.isolation)) +
         " by [gpu], the request needs " + std::string(isolation_word(wanted));
}

static std::string refused_use(const FractionRequest& request, Use use) {
  if (!request.use || request.use == use) return {};
  return "the profile has use = " + std::string(use_word(*request.use));
}

/// Why the type never serves it; "" when it does.
static std::string refused_type(const FractionRequest& request, const GpuType& type,
                                const FractionGpu& gpu) {
  if (std::string use = refused_use(request, type.use); !use.empty()) return use;
  if (!gpu.types_refused.empty()) return gpu.types_refused;
  if (!type.memory_mib) return "memory of the type is unknown";
  if (*type.memory_mib < request.part.memory_mib) return "has " + text_of(*type.memory_mib);
  if (request.workload == Workload::graphics && type.has_graphics != true)
    return type.has_graphics ? "has no graphics" : "whether it has graphics is unknown";
  if (request.unified_memory)
    if (std::string why = no_unified_memory(type, gpu.memory_mib); !why.empty()) return why;
  if (std::string share = refused_share(request, type, gpu); !share.empty()) return share;
  return refused_isolation(request, gpu);
}

/// Why the VFs never serve it; "" when they do.
static std::string refused_vfs(const FractionRequest& request, const FractionVfs& vfs,
                               const FractionGpu& gpu) {
  if (std::string use = refused_use(request, vfs.use); !use.empty()) return use;
  if (vfs.memory_mib < request.part.memory_mib) return "have " + text_of(vfs.memory_mib);
  if (request.part.compute_percent && request.workload == Workload::graphics)
    return std::string(share_without_graphics);
  if (request.part.compute_percent && !vfs.compute_percent)
    return "no share of the compute units is guaranteed: " + vfs.no_share;
  if (request.part.compute_percent > vfs.compute_percent)
    return "are guaranteed " + std::to_string(*vfs.compute_percent) + " % of the compute units";
  return refused_isolation(request, gpu);
}

/// How many of `room` the card takes beside its fractions.
static void set_available(const FractionRequest& request, const FractionGpu& gpu, unsigned room,
                          FractionCandidate& found) {
  found.unavailable = tenant_refusal(gpu.isolation, gpu.tenants, isolation_of(request.part));
  if (!found.unavailable.empty()) return;
  const auto places = most_fractions_per_gpu - static_cast<unsigned>(gpu.tenants.size());
  found.available = std::min(room, places);
}

static FractionCandidate candidate_of(const FractionRequest& request, const FractionVfs& vfs,
                                      const FractionGpu& gpu) {
  FractionCandidate found{.gpu = gpu.name, .use = vfs.use, .device = gpu.device};
  found.memory_mib = vfs.memory_mib;
  found.compute_percent = vfs.compute_percent;
  found.unused_mib = found.memory_mib - request.part.memory_mib;
  if (request.part.compute_percent)
    found.unused_percent = *found.compute_percent - *request.part.compute_percent;
  found.limits = {{Limit::Kind::hard}, vfs.compute};
  set_available(request, gpu, vfs.count, found);
  if (found.available == 0 && found.unavailable.empty()) found.unavailable = vfs.in_use;
  return found;
}

static FractionCandidate candidate_of(const FractionRequest& request, const GpuType& type,
                                      const FractionGpu& gpu) {
  FractionCandidate found{.gpu = gpu.name, .use = type.use, .type = type.id, .name = type.name};
  found.memory_mib = *type.memory_mib;
  found.compute_percent = guaranteed_share(type, gpu);
  found.has_graphics = type.has_graphics;
  found.unused_mib = found.memory_mib - request.part.memory_mib;
  if (request.part.compute_percent)
    found.unused_percent = *found.compute_percent - *request.part.compute_percent;
  found.limits = limits_of(type, gpu);
  set_available(request, gpu, room_for(gpu.room, type.id), found);
  if (found.available == 0 && found.unavailable.empty())
    found.unavailable = reason_full(gpu.room, type.id);
  return found;
}

/// That another one of the vendor:device has no less memory: the domain may get that at a start.
static std::string refused_of_model(const FractionRequest& request, const FractionGpu& gpu,
                                    const std::vector<FractionGpu>& gpus) {
  for (const FractionGpu& other : gpus) {
    if (other.device != gpu.device || &other == &gpu) continue;
    if (other.is_silent && !other.memory_mib) continue;  // it alone is left out
    if (!other.memory_mib) return "memory of " + other.name + ", of the same model, is unknown";
    if (*other.memory_mib < request.part.memory_mib)
      return other.name + ", of the same model, has " + text_of(*other.memory_mib);
  }
  return {};
}

static std::string refused_whole(const FractionRequest& request, const FractionGpu& gpu,
                                 const std::vector<FractionGpu>& gpus) {
  if (std::string use = refused_use(request, whole_use); !use.empty()) return use;
  if (!gpu.whole_refused.empty()) return gpu.whole_refused;
  if (!gpu.memory_mib) return "memory of the GPU is unknown";
  if (*gpu.memory_mib < request.part.memory_mib) return "has " + text_of(*gpu.memory_mib);
  return refused_of_model(request, gpu, gpus);
}

static FractionCandidate whole_candidate(const FractionRequest& request, const FractionGpu& gpu) {
  FractionCandidate found{.gpu = gpu.name, .use = whole_use, .device = gpu.device};
  found.memory_mib = *gpu.memory_mib;
  found.compute_percent = 100;
  found.unused_mib = found.memory_mib - request.part.memory_mib;
  found.unused_percent = request.part.compute_percent ? 100 - *request.part.compute_percent : 0;
  found.limits = limits_of_whole();
  found.unavailable = gpu.whole_in_use;
  found.available = found.unavailable.empty() ? 1 : 0;
  return found;
}

static auto order(const FractionCandidate& one) {
  // A whole GPU has no name, so of what wastes the same it is the first.
  return std::tie(one.unused_mib, one.unused_percent, one.name, one.type, one.gpu);
}

static void add_types(const FractionRequest& request, const FractionGpu& gpu,
                      FractionChoice& choice) {
  for (const GpuType& type : gpu.types)
    if (std::string reason = refused_type(request, type, gpu); reason.empty())
      choice.candidates.push_back(candidate_of(request, type, gpu));
    else
      choice.left_out.push_back({gpu.name, type.id, type.name, std::move(reason)});
  // Of a card whose driver lists none.
  if (gpu.types.empty() && !gpu.types_refused.empty())
    choice.left_out.push_back({gpu.name, {}, {}, gpu.types_refused});
  if (gpu.hides_types)
    choice.left_out.push_back(
        {gpu.name,
         {},
         {},
         "types that cannot be created beside its vGPUs are not listed by the driver"});
}

static void add_vfs(const FractionRequest& request, const FractionGpu& gpu,
                    FractionChoice& choice) {
  for (const FractionVfs& vfs : gpu.vfs)
    if (std::string reason = refused_vfs(request, vfs, gpu); reason.empty())
      choice.candidates.push_back(candidate_of(request, vfs, gpu));
    else
      choice.left_out.push_back({gpu.name, {}, {}, "VFs: " + reason});
  if (!gpu.vfs_refused.empty())
    choice.left_out.push_back({gpu.name, {}, {}, "VFs: " + gpu.vfs_refused});
}

FractionChoice fraction_choice(const FractionRequest& request,
                               const std::vector<FractionGpu>& gpus) {
  FractionChoice choice;
  for (const FractionGpu& gpu : gpus) {
    add_types(request, gpu, choice);
    add_vfs(request, gpu, choice);
    if (gpu.device.empty()) continue;
    if (std::string reason = refused_whole(request, gpu, gpus); reason.empty())
      choice.candidates.push_back(whole_candidate(request, gpu));
    else
      choice.left_out.push_back({gpu.name, {}, {}, "not whole: " + reason});
  }
  std::sort(choice.candidates.begin(), choice.candidates.end(),
            [](const auto& one, const auto& other) { return order(one) < order(other); });
  return choice;
}

bool may_have_unknown(const FractionRequest& request, const std::vector<FractionGpu>& gpus) {
  return request.use != whole_use &&
         std::any_of(gpus.begin(), gpus.end(),
                     [](const FractionGpu& gpu) { return gpu.types_unknown; });
}

const FractionCandidate* best_fraction(const FractionChoice& choice) {
  for (const FractionCandidate& candidate : choice.candidates)
    if (candidate.available > 0) return &candidate;
  return choice.candidates.empty() ? nullptr : &choice.candidates.front();
}

SettledRequest settled(const FractionCandidate& candidate) {
  SettledRequest request{candidate.use, candidate.type, candidate.device};
  request.granted = {candidate.memory_mib, candidate.compute_percent, candidate.has_graphics};
  // Of more than 100 of a type each has 0 %: none.
  if (request.granted.compute_percent == 0U) request.granted.compute_percent.reset();
  return request;
}

/// Whether domains get the GPU by this request whatever they request of its memory.
static bool may_serve(const FractionRequest& request, const FractionGpu& gpu) {
  const bool by_type = gpu.types_refused.empty() &&
                       std::any_of(gpu.types.begin(), gpu.types.end(), [&](const GpuType& type) {
                         return refused_use(request, type.use).empty();
                       });
  const bool by_vf = std::any_of(gpu.vfs.begin(), gpu.vfs.end(), [&](const FractionVfs& vfs) {
    return refused_use(request, vfs.use).empty();
  });
  return by_type || by_vf ||
         (!gpu.device.empty() && gpu.whole_refused.empty() &&
          refused_use(request, whole_use).empty());
}

/// The largest GPU's memory of those that the request may use; nothing while that of one is not
/// known, or without one.
static std::optional<unsigned> most_memory(const FractionRequest& request,
                                           const std::vector<FractionGpu>& gpus) {
  std::optional<unsigned> most;
  for (const FractionGpu& gpu : gpus) {
    if (gpu.types_unknown) return {};
    if (!may_serve(request, gpu)) continue;
    if (!gpu.memory_mib) return {};
    most = std::max(most.value_or(0), *gpu.memory_mib);
  }
  return most;
}

Reason fraction_refusal(const FractionRequest& request, const std::vector<FractionGpu>& gpus,
                        const FractionChoice& choice) {
  if (gpus.empty()) return {{}, "no GPU on this host", "run: gpuward list types"};
  const auto most = most_memory(request, gpus);
  if (most >= fraction_memory_step && request.part.memory_mib > *most)
    return {{},
            text_of(request.part.memory_mib) +
                " is more than any GPU has that the request may use; the largest has " +
                text_of(*most),
            "request at most " + std::to_string(*most - *most % fraction_memory_step) +
                "MiB, or several GPUs"};
  std::set<std::string> reasons;
  for (const FractionLeftOut& one : choice.left_out)
    reasons.insert(one.gpu + (one.type.empty() ? "" : " " + one.type) + ": " + one.reason);
  constexpr size_t shown = 3;
  std::string text;
  size_t count = 0;
  for (const std::string& reason : reasons)
    if (count++ < shown) text += (text.empty() ? "" : "; ") + reason;
  if (reasons.size() > shown) text += "; ...";
  const std::string problem = "no GPU serves " + to_string(request.part);
  if (text.empty()) return {{}, problem, {}};
  const std::string share =
      request.part.compute_percent ? " " + std::to_string(*request.part.compute_percent) + "%" : "";
  return {{},
          problem + ": " + text,
          "for all of them run: gpuward fit " + std::to_string(request.part.memory_mib) + "MiB" +
              share};
}

}  // namespace gpuward
