// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/file.hpp"
#include "base/pci_address.hpp"
#include "fake_host.hpp"
#include "pci/pci_device.hpp"
#include "simulated_kernel.hpp"

namespace gpuward {

// A host of few random cards whose driver keeps to the rules of a simulated kernel, whatever
// gpuward takes them to be.

struct RandomCard {
  enum class Kind { mdevs, vgpus, vfs, whole } kind;
  std::string name;  ///< its PCI address, or the name of a parent that is no PCI device
  Kernel empty{};    ///< without instances
  std::vector<std::string> parts{};  ///< its VFs; of mdevs without VFs the card itself
  /// Whether [gpu] can have use = whole for a time: a PCI device without VFs.
  bool is_whole_too = false;
};

inline std::optional<size_t> type_at(const Kernel& kernel, const std::string& id) {
  for (size_t at = 0; at < kernel.types.size(); ++at)
    if (kernel.types[at].id == id) return at;
  return {};
}

/// Of ports no driver says how much memory they have.
inline std::optional<unsigned> memory_of(const RandomCard& card, const std::string& id) {
  const auto at = type_at(card.empty, id);
  if (!at || card.empty.kind == Kernel::Kind::ports) return {};
  return card.empty.types[*at].takes[0];
}

/// With NVIDIA's sizes, which divide the card; the largest type has all of it.
inline void add_sizes(Random& random, unsigned gib, unsigned model, bool is_vgpu, Kernel& kernel) {
  for (const unsigned size : {1U, 2U, 3U, 4U, 8U, 12U, gib}) {
    const bool is_last = size == gib;
    if (gib % size != 0 || (!is_last && any(random, 0, 2) == 0)) continue;
    const std::string number = std::to_string(100 * model + size);
    kernel.types.push_back(
        {is_vgpu ? number : "nvidia-" + number,
         is_vgpu ? "NVIDIA M" + std::to_string(model) + '-' + std::to_string(size) + 'Q'
                 : nvidia(size * 1024, gib / size),
         {size * 1024},
         gib / size});
    if (is_last) return;
  }
}

/// Sizes divide each other, so what is left of one is known.
inline Kernel model_of_pool(const std::string& name, const std::vector<unsigned>& sizes,
                            unsigned mib) {
  Kernel kernel{Kernel::Kind::pool, {}, {mib}};
  kernel.total = mib;
  for (const unsigned size : sizes)
    if (size <= mib)
      kernel.types.push_back({name + std::to_string(size),
                              "virtual display, " + std::to_string(size) + " MB video memory",
                              {size}});
  return kernel;
}

inline Kernel random_model(Random& random, unsigned model, bool is_vgpu) {
  using Kind = Kernel::Kind;
  constexpr Kind kinds[] = {Kind::pool,        Kind::pool,  Kind::homogeneous,
                            Kind::homogeneous, Kind::mixed, Kind::ports};
  Kernel kernel{is_vgpu ? Kind::homogeneous : kinds[any(random, 0, 5)], {}, {}};
  const std::string name = "m" + std::to_string(model) + '-';
  if (kernel.kind == Kind::ports) {
    kernel.total = any(random, 2, 24);
    for (const unsigned ports : {1U, 2U, 3U})
      if (ports <= kernel.total)
        kernel.types.push_back({name + std::to_string(ports), "", {ports}});
  } else if (kernel.kind == Kind::pool) {
    return model_of_pool(name, {128, 256, 512}, 128 * any(random, 1, 40));
  } else {
    constexpr unsigned sizes[] = {4, 8, 24, 48};
    const unsigned gib = sizes[any(random, 0, 3)];
    kernel.total = 1024 * gib;
    add_sizes(random, gib, model, is_vgpu, kernel);
    if (is_vgpu || any(random, 0, 1)) kernel.vfs = any(random, 2, 6);
  }
  kernel.left = {kernel.total};
  return kernel;
}

class RandomHost {
 public:
  enum class Sort {
    any,
    fractions,  ///< its one card has room for more of them than there may be
    scarce,     ///< cards of one model with few places, so that one request can take another's
    vgpus,      ///< two cards of these alone
  };
  RandomHost(Random& random, Sort sort) {
    for (const char* const name : {"0000:41:00.0", "0000:42:00.0"})
      if (sort == Sort::vgpus)
        add({RandomCard::Kind::vgpus, name, random_model(random, name[6] == '1' ? 1 : 2, true)},
            random);
    if (sort == Sort::fractions)
      add({RandomCard::Kind::mdevs, "0000:41:00.0", model_of_pool("m-", {128}, 128 * 24)}, random);
    for (const char* const name : {"0000:41:00.0", "0000:42:00.0", "0000:43:00.0"})
      if (sort == Sort::scarce)
        add({RandomCard::Kind::mdevs, name,
             model_of_pool("m-", {128, 256}, 128 * any(random, 2, 5))},
            random);
    for (unsigned number = any(random, 1, 4); number > 0 && sort == Sort::any; --number)
      add(random_card(random), random);
    fake.counts = [this](const std::string& parent) { count(card_of(parent)); };
    for (const RandomCard& card : cards) {
      count(card);
      list_creatable(card);
    }
  }

  /// The card with what exists on it now.
  Kernel kernel(const RandomCard& card) const {
    Kernel kernel = card.empty;
    for (const auto& [part, id] : what_exists(card))
      if (!kernel.create(type_at(kernel, id).value()))
        throw std::logic_error("the simulated kernel created too much on " + card.name);
    return kernel;
  }
  std::string current_vgpu(const std::string& vf) const {
    return read_attribute(vgpu_file(vf, "current_vgpu_type")).value_or("");
  }

  FakeHost fake;
  std::vector<RandomCard> cards;
  std::string broken_vf;  ///< its driver refuses to create whatever it lists

 private:
  std::string vgpu_file(const std::string& vf, const std::string& name) const {
    return pci_path(fake.root(), *parse_pci_address(vf)) + "/nvidia/" + name;
  }

  RandomCard random_card(Random& random) const {
    using Kind = RandomCard::Kind;
    constexpr Kind kinds[] = {Kind::mdevs, Kind::mdevs, Kind::mdevs, Kind::vgpus,
                              Kind::vgpus, Kind::vfs,   Kind::whole};
    const auto number = static_cast<unsigned>(cards.size()) + 1;
    RandomCard card{kinds[any(random, 0, 6)], "0000:4" + std::to_string(number) + ":00.0"};
    if (card.kind == Kind::mdevs || card.kind == Kind::vgpus) {
      card.empty = random_model(random, number, card.kind == Kind::vgpus);
      // Often two of a model.
      if (!cards.empty() && cards.back().kind == card.kind && any(random, 0, 1))
        card.empty = cards.back().empty;
    }
    if (card.kind == Kind::mdevs && card.empty.kind == Kernel::Kind::ports && any(random, 0, 1))
      card.name = "ports" + std::to_string(number);
    return card;
  }

  void add(RandomCard card, Random& random) {
    const unsigned vfs = card.kind == RandomCard::Kind::vfs ? any(random, 1, 4) : card.empty.vfs;
    const bool is_pci = parse_pci_address(card.name).has_value();
    card.is_whole_too = is_pci && vfs == 0;
    if (is_pci) fake.pci_gpu(card.name);
    if (card.is_whole_too) {
      fake.pci_gpu(card.name).attribute("reset", "");
      fake.iommu_group(500 + static_cast<unsigned>(cards.size()), {card.name});
    }
    if (vfs > 0) add_vfs(card, vfs);
    if (card.kind == RandomCard::Kind::mdevs) add_parents(card);
    if (card.kind == RandomCard::Kind::vgpus)
      for (const std::string& vf : card.parts) add_vgpus(vf);
    cards.push_back(std::move(card));
  }

  void add_vfs(RandomCard& card, unsigned count) {
    fake.sriov(card.name, count);
    fake.set_vfs(card.name, count);
    for (unsigned number = 1; number <= count; ++number)
      card.parts.push_back(card.name.substr(0, card.name.size() - 1) + std::to_string(number));
  }

  void add_parents(RandomCard& card) {
    if (card.parts.empty()) card.parts = {card.name};
    for (const std::string& part : card.parts)
      for (const Kernel::Type& type : card.empty.types)
        fake.parent(part)
            .type(type.id, 1)
            .attribute("mdev_supported_types/" + type.id + "/description", type.description);
  }

  void add_vgpus(const std::string& vf) {
    fake.pci_gpu(vf)
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types", "")
        .attribute("vfio-dev/vfio0/dev", "1:2");
    fake.reacts(vf, "nvidia/current_vgpu_type",
                [this, vf](const std::string& id) { return set_vgpu(vf, id); });
  }

  const RandomCard& card_of(const std::string& part) const {
    return *std::find_if(cards.begin(), cards.end(), [&](const RandomCard& card) {
      return std::find(card.parts.begin(), card.parts.end(), part) != card.parts.end();
    });
  }

  /// By VF or parent, the types.
  std::multimap<std::string, std::string> what_exists(const RandomCard& card) const {
    std::multimap<std::string, std::string> found;
    if (card.kind == RandomCard::Kind::mdevs)
      for (const auto& [uuid, place] : fake.instances()) {
        const size_t slash = place.find('/');
        if (&card_of(place.substr(0, slash)) == &card)
          found.emplace(place.substr(0, slash), place.substr(slash + 1));
      }
    if (card.kind == RandomCard::Kind::vgpus)
      for (const std::string& vf : card.parts)
        if (const std::string id = current_vgpu(vf); id != "0") found.emplace(vf, id);
    return found;
  }

  /// A VF has one instance.
  void count(const RandomCard& card) {
    if (card.kind != RandomCard::Kind::mdevs) return;
    const Kernel now = kernel(card);
    const auto exists = what_exists(card);
    for (size_t at = 0; at < now.types.size(); ++at) {
      const unsigned left = now.available(at);
      for (const std::string& part : card.parts) {
        const unsigned on_vf = left > 0 && !exists.contains(part) ? 1 : 0;
        fake.parent(part).attribute(
            "mdev_supported_types/" + now.types[at].id + "/available_instances",
            std::to_string(card.empty.vfs > 0 ? on_vf : left));
      }
    }
  }

  int set_vgpu(const std::string& vf, const std::string& id) {
    if (id != "0") {
      if (vf == broken_vf) return EIO;
      if (current_vgpu(vf) != "0") return EBUSY;
      const Kernel now = kernel(card_of(vf));
      const auto at = type_at(now, id);
      if (!at) return EINVAL;
      if (!now.fits(now.types[*at])) return ENOSPC;
    }
    fake.pci_gpu(vf).attribute("nvidia/current_vgpu_type", id);
    list_creatable(card_of(vf));
    return 0;
  }

  /// A VF that has a vGPU lists none.
  void list_creatable(const RandomCard& card) {
    if (card.kind != RandomCard::Kind::vgpus) return;
    const Kernel now = kernel(card);
    std::string list;
    for (const Kernel::Type& type : now.types)
      if (now.fits(type)) list += type.id + " : " + type.description + '\n';
    for (const std::string& vf : card.parts)
      fake.pci_gpu(vf).attribute("nvidia/creatable_vgpu_types",
                                 current_vgpu(vf) == "0" ? list : "");
  }
};

}  // namespace gpuward
