// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/kernel_write.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "pci/nvlink.hpp"
#include "pci/vgpu_scheduler.hpp"

namespace gpuward {

// GPU instances of NVIDIA's MIG, the scheduler of vGPUs and NVLink, which no file in sysfs shows:
// gpuward-nvml (pci/nvml_main.cpp) asks NVIDIA's library and is run for each question. GPU
// instances last until they are destroyed or the driver is unloaded.

/// Memory slices of a card.
struct MemorySlices {
  unsigned start = 0, size = 0;
  bool operator==(const MemorySlices&) const = default;
};

/// What GPU instances of one size are like.
struct GpuInstanceProfile {
  unsigned id = 0;   ///< of the card's model, not an index
  std::string name;  ///< "1g.10gb", "1g.10gb+me", as nvidia-smi names it, without "MIG "
  unsigned slices = 0;
  unsigned memory_mib = 0;
  unsigned most = 0;                   ///< on an empty card
  unsigned remaining = 0;              ///< beside those that exist
  std::vector<MemorySlices> places{};  ///< where one can be
};

struct GpuInstanceOfCard {
  unsigned id = 0, profile_id = 0;
  MemorySlices place{};
  unsigned compute_instances = 0;
};

struct MigCard {
  enum class Mode { unsupported, off, pending, on };  ///< pending: on after a reset of the card
  Mode mode = Mode::unsupported;
  std::vector<GpuInstanceProfile> profiles{};
  std::vector<GpuInstanceOfCard> instances{};
  std::optional<VgpuScheduler> scheduler{};  ///< nothing where the driver does not report it
};

/// There is nothing that could be asked: no library or no program, as on a host without NVIDIA's
/// driver, or a recorded host.
struct NoNvml : Error {
  using Error::Error;
};

/// The program had not ended when it was killed.
struct NvmlTimeout : Error {
  using Error::Error;
};

/// What gpuward-nvml prints for `list`; nothing for any other text.
std::optional<MigCard> parse_mig_card(std::string_view text);

/// The profile of that name, or null.
const GpuInstanceProfile* find_gpu_instance_profile(const MigCard& card, std::string_view name);

/// Throws Error with the reason where the library, the driver or the card cannot be asked.
MigCard read_mig_card(const Root& root, const PciAddress& card, std::chrono::milliseconds deadline);

/// What a command, or a step of one, asked of cards with 2 s for each: every card once. Hooks and
/// the guard do so too, some with the host's lock: after a card of which nothing came in time no
/// further one is asked, nor another process started beside one that may not have ended.
class AskedCards {
 public:
  enum class After { timeout_asks_none, timeout_asks_on };
  explicit AskedCards(After after = After::timeout_asks_none) : after_(after) {}
  /// Throws as read_mig_card does, for one card the same each time.
  const MigCard& read(const Root& root, const PciAddress& card);
  /// NVLinks of these cards, in 2 s for all that were not asked for before. No failure: of what
  /// cannot be read there is nothing.
  const LinksOfCards& links(const Root& root, const std::vector<PciAddress>& cards);

 private:
  struct Answer {
    MigCard card{};
    std::exception_ptr failure{};
  };
  Answer ask(const Root& root, const PciAddress& card);
  std::optional<LinksOfCards> ask_links(const Root& root, const std::vector<PciAddress>& cards);

  After after_;
  std::map<PciAddress, Answer> answers_{};
  LinksOfCards links_{};
  std::set<PciAddress> asked_for_links_{};
  std::optional<PciAddress> silent_{};  ///< the last that did not answer in time
};

/// Of the free places of the profile the one that leaves most places of all others: nothing where
/// none is free. Pure.
std::optional<MemorySlices> choose_place(const MigCard& card, const GpuInstanceProfile& profile);

/// A GPU instance, by where it is.
struct GpuInstanceRef {
  unsigned profile_id = 0;
  MemorySlices place{};
  std::optional<unsigned> id{};  ///< nothing: whichever is there
};

struct CreatedGpuInstance {
  unsigned id = 0;
  KernelChange change{};  ///< its failure: why there is none
  /// Whether it is known that nothing was created: what is at its place now is another tool's.
  bool is_refused = false;
};

/// Creates one with a compute instance of all its slices.
CreatedGpuInstance create_gpu_instance(const Root& root, const PciAddress& card,
                                       const GpuInstanceRef& wanted, const WriteOptions& options);

/// Destroys it with its compute instances; no failure where there is none. Another one at its place
/// stays. `is_in_use`: a process or a vGPU has it.
struct DestroyedGpuInstance {
  KernelChange change{};
  bool is_in_use = false;
};
DestroyedGpuInstance destroy_gpu_instance(const Root& root, const PciAddress& card,
                                          const GpuInstanceRef& gpu_instance,
                                          const WriteOptions& options);

/// Creates a compute instance in one that was there, and destroys those that are in it.
CreatedGpuInstance fill_gpu_instance(const Root& root, const PciAddress& card,
                                     const GpuInstanceRef& gpu_instance,
                                     const WriteOptions& options);
DestroyedGpuInstance empty_gpu_instance(const Root& root, const PciAddress& card,
                                        const GpuInstanceRef& gpu_instance,
                                        const WriteOptions& options);

}  // namespace gpuward
