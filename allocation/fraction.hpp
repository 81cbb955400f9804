// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "allocation/capacity.hpp"
#include "allocation/limit.hpp"
#include "config/config.hpp"
#include "config/request_words.hpp"
#include "domain/domain.hpp"
#include "inventory/gpu.hpp"
#include "kinds/fraction_limit.hpp"
#include "pci/vgpu_scheduler.hpp"

namespace gpuward {

// Which types and GPUs serve a request for a part of a GPU, and why the others do not. Pure. A type
// serves it that has the memory and for which the driver guarantees the share of the compute units;
// what is not known is not guaranteed.

struct FractionRequest {
  GpuPart part;
  std::optional<Workload> workload{};
  std::optional<Use> use{};     ///< of a profile that has one
  bool unified_memory = false;  ///< it sets that for its vGPUs
};

/// What is wrong with its numbers whatever the GPU, with the rule and the nearest valid ones; ""
/// when nothing is.
std::string fraction_advice(const GpuPart& part);

/// VFs of one card that have the same part of it.
struct FractionVfs {
  Use use;
  unsigned memory_mib = 0;
  std::optional<unsigned> compute_percent{};  ///< guaranteed; nothing when none is
  Limit compute{};
  unsigned count = 0;      ///< that no domain has
  std::string in_use{};    ///< why none of them can be assigned now
  std::string no_share{};  ///< why no share is guaranteed
};

/// One GPU, as far as it matters here.
struct FractionGpu {
  std::string name;
  std::string device{};                  ///< vendor:device, "" of what is no PCI device
  std::optional<unsigned> memory_mib{};  ///< in total
  std::vector<GpuType> types{};
  bool is_silent = false;       ///< its library did not answer: neither is known
  bool hides_types = false;     ///< the driver lists only those that can be created now
  std::string types_refused{};  ///< why domains get none of its types; "" when they do
  bool types_unknown = false;   ///< domains may get types of it, which are not known
  CardRoom room{};              ///< what of these fits now
  std::string whole_refused{};  ///< why no domain gets it whole; "" when one does
  std::string whole_in_use{};   ///< why none gets it now
  std::vector<FractionVfs> vfs{};
  std::string vfs_refused{};  ///< why none of its VFs serves; "" where it has none
  std::optional<VgpuScheduler> scheduler{};
  std::string scheduler_problem{};       ///< why it is not known, where there was no answer
  std::optional<Isolation> isolation{};  ///< of [gpu]
  std::vector<Isolation> tenants{};      ///< fractions on it, by claims
};

/// A type or a whole GPU that serves the request.
struct FractionCandidate {
  std::string gpu;
  Use use = whole_use;
  std::string type{};    ///< id; "" of a whole GPU
  std::string name{};    ///< of the type
  std::string device{};  ///< of a whole GPU: vendor:device
  unsigned memory_mib = 0;
  std::optional<unsigned> compute_percent{};  ///< guaranteed; nothing when none is
  std::optional<bool> has_graphics{};         ///< of a type
  unsigned unused_mib = 0;                    ///< more than requested
  unsigned unused_percent = 0;                ///< likewise; 0 where no share is requested
  Limits limits{};
  unsigned available = 0;     ///< how many more fit now
  std::string unavailable{};  ///< why none does
};

/// A type, a whole GPU or its VFs that do not serve it.
struct FractionLeftOut {
  std::string gpu;
  std::string type{}, name{};  ///< "" of a whole GPU or its VFs
  std::string reason;
};

struct FractionChoice {
  std::vector<FractionCandidate> candidates;  ///< the best first
  std::vector<FractionLeftOut> left_out;
};

/// The best has the smallest waste of memory, then of compute units, then the first name.
FractionChoice fraction_choice(const FractionRequest& request,
                               const std::vector<FractionGpu>& gpus);

/// Whether a GPU of which the types are not known may have one that serves the request.
bool may_have_unknown(const FractionRequest& request, const std::vector<FractionGpu>& gpus);

/// What serves the request: the best candidate of which one is available, else the best; nothing
/// without candidates.
const FractionCandidate* best_fraction(const FractionChoice& choice);

/// As attach writes it into the domain.
SettledRequest settled(const FractionCandidate& candidate);

/// Why nothing serves it.
Reason fraction_refusal(const FractionRequest& request, const std::vector<FractionGpu>& gpus,
                        const FractionChoice& choice);

/// Why an instance of this type is not guaranteed that share of the compute units, in percent; ""
/// when it is. Of the GPU as for limits_of().
std::string share_refusal(unsigned percent, const GpuType& type, const FractionGpu& gpu);

/// Whether only the scheduler tells which share instances of the type are guaranteed.
bool is_scheduled(const GpuType& type, const FractionGpu& gpu);

/// How hard the parts of this type are limited on the GPU, of which memory, all types and the
/// scheduler matter.
Limits limits_of(const GpuType& type, const FractionGpu& gpu);
/// Of a whole GPU.
Limits limits_of_whole();

/// "4096 MiB", "4096 MiB with 25 % of the compute units"
std::string to_string(const GpuPart& part);

}  // namespace gpuward
