// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/pool_stranded.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <set>

#include "allocation/choose_device.hpp"
#include "allocation/pool.hpp"
#include "allocation_fixtures.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "pci_fixtures.hpp"
#include "simulated_kernel.hpp"

namespace gpuward {
namespace {

struct Model {
  unsigned gib;
  std::vector<unsigned> sizes;  ///< GiB, which is the type's id
};
const Model l40s{48, {1, 2, 3, 4, 6, 8, 12, 16, 24, 48}};

/// An L40S, and what its driver permits: vGPUs of one size.
struct VgpuCardModel {
  unsigned vfs;
  std::vector<unsigned> present{};
  bool mixes_sizes = false;

  unsigned cost(unsigned size) const {
    return mixes_sizes ? l40s.gib / std::bit_floor(l40s.gib / size) : size;
  }
  bool fits(unsigned size) const {
    unsigned left = l40s.gib;
    for (const unsigned other : present) left -= cost(other);
    return present.size() < vfs && cost(size) <= left &&
           (mixes_sizes || present.empty() || present.front() == size);
  }
  /// The most GiB of these sizes that it creates more.
  unsigned usable(const std::set<unsigned>& sizes) const {
    unsigned most = 0;
    for (const unsigned size : sizes) {
      if (!fits(size)) continue;
      VgpuCardModel with = *this;
      with.present.push_back(size);
      // In descending order: any other gives the same sets.
      std::set<unsigned> smaller(sizes.begin(), sizes.upper_bound(size));
      most = std::max(most, size + with.usable(smaller));
    }
    return most;
  }
  int stranded_by(unsigned size, const std::set<unsigned>& sizes) const {
    VgpuCardModel with = *this;
    with.present.push_back(size);
    return (static_cast<int>(usable(sizes)) - static_cast<int>(with.usable(sizes)) -
            static_cast<int>(size)) *
           1024;
  }
};

std::string name_of(unsigned size) {
  return "NVIDIA L40S-" + std::to_string(size) + "Q";
}

std::string pf_of(size_t card) {
  return "0000:4" + std::to_string(card + 1) + ":00.0";
}

struct VgpuHost {
  std::vector<VgpuCardModel> cards;
  std::set<unsigned> profiles;
  FakeHost host{};
  Config config{};

  VgpuHost(std::vector<VgpuCardModel> all, std::set<unsigned> of_profiles)
      : cards(std::move(all)), profiles(std::move(of_profiles)) {
    for (size_t at = 0; at < cards.size(); ++at) add(at);
    for (const unsigned size : profiles) config.profiles.push_back(profile(size));
  }
  static Profile profile(unsigned size) {
    Profile profile;
    profile.name = "q" + std::to_string(size);
    profile.use = Use::vendor_vf;
    profile.types = {name_of(size)};
    return profile;
  }
  void add(size_t at) {
    const VgpuCardModel& card = cards[at];
    std::string creatable;
    for (const unsigned size : l40s.sizes)
      if (card.fits(size)) creatable += std::to_string(size) + " : " + name_of(size) + '\n';
    const std::string pf = pf_of(at);
    host.sriov(pf, card.vfs);
    host.set_vfs(pf, card.vfs);
    for (unsigned vf = 0; vf < card.vfs; ++vf) {
      const bool has_one = vf < card.present.size();
      host.pci_gpu(pf.substr(0, 11) + std::to_string(vf + 1))
          .attribute("nvidia/current_vgpu_type",
                     has_one ? std::to_string(card.present[vf]) : std::string("0"))
          .attribute("nvidia/creatable_vgpu_types", has_one ? std::string() : creatable);
    }
    GpuSection section;
    section.selector = *parse_gpu_selector(pf);
    section.use = Use::vendor_vf;
    config.gpus.push_back(section);
  }
  std::vector<PoolDevice> pool(unsigned size) const {
    return pool_of(host.root(), config, profile(size));
  }
  /// MiB, by card; nothing of one without room.
  std::map<size_t, int> stranded(unsigned size) const {
    std::map<size_t, int> found;
    const auto devices = pool(size);
    for (size_t at = 0; at < cards.size(); ++at)
      for (const PoolDevice& device : devices)
        if (device.physical_function == gpuward::at(pf_of(at)) && !device.has_vgpu &&
            !device.is_full)
          found[at] = device.stranded_mib;
    return found;
  }
  const PoolDevice* chosen(const std::vector<PoolDevice>& pool, unsigned size) const {
    return choose_device(profile(size), pool, {}, {});
  }
};

using Stranded = std::map<size_t, int>;

/// The first card is empty, and nothing is claimed, so that nothing but this decides.
TEST(PoolStrandedTest, a_size_goes_where_it_is_already) {
  const VgpuHost host({{4}, {4, {12, 12}}}, {24, 48});
  EXPECT_EQ(host.stranded(12), (Stranded{{0, 36 * 1024}, {1, -12 * 1024}}));
  const auto pool = host.pool(12);
  const PoolDevice* const chosen = host.chosen(pool, 12);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(to_string(*chosen->physical_function), pf_of(1));
  const auto compared = decide(VgpuHost::profile(12), pool, {}, {}, *chosen, pool.front());
  EXPECT_EQ(compared.by, Criterion::stranded);
  EXPECT_TRUE(compared.is_first_better);
}

/// What is left of it is for more of 12 GiB; the fuller card decides.
TEST(PoolStrandedTest, memory_that_another_of_the_size_can_have_is_not_stranded) {
  const VgpuHost host({{4}, {4, {12, 12}}}, {12, 24, 48});
  EXPECT_EQ(host.stranded(12), (Stranded{{0, 0}, {1, 0}}));
  const auto pool = host.pool(12);
  const DeviceUse use{taken({"0000:42:00.1", "0000:42:00.2"}), {}};
  const PoolDevice* const chosen = choose_device(VgpuHost::profile(12), pool, use, {});
  ASSERT_TRUE(chosen);
  EXPECT_EQ(to_string(chosen->address), "0000:42:00.3");
}

TEST(PoolStrandedTest, with_spread_the_emptier_card_counts_first) {
  const VgpuHost host({{4}, {4, {12, 12}}}, {24, 48});
  Profile profile = VgpuHost::profile(12);
  profile.placement = Placement::spread;
  const DeviceUse use{taken({"0000:42:00.1", "0000:42:00.2"}), {}};
  const auto pool = host.pool(12);
  EXPECT_EQ(to_string(choose_device(profile, pool, use, {})->address), "0000:41:00.1");
  EXPECT_EQ(to_string(choose_device(profile, pool, {}, {})->address), "0000:42:00.3")
      << "of two on which nothing is claimed";
}

/// Of the one that has 16 GiB its list does not say so, as no more of it fits: another card does.
TEST(PoolStrandedTest, in_mixed_size_mode_too) {
  const VgpuHost host({{7}, {7, {16, 3}, true}}, {12});
  EXPECT_EQ(host.stranded(6), (Stranded{{0, 42 * 1024}, {1, -6 * 1024}}));
}

TEST(PoolStrandedTest, of_one_card_it_is_not_asked) {
  const VgpuHost host({{4}}, {24, 48});
  EXPECT_EQ(host.stranded(12), (Stranded{{0, 0}}));
}

unsigned number_of(const char* variable, unsigned otherwise) {
  const char* const text = std::getenv(variable);
  return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

VgpuHost random_vgpu_host(Random& random) {
  std::vector<VgpuCardModel> cards;
  for (unsigned count = any(random, 2, 3); count > 0; --count) {
    VgpuCardModel card{any(random, 2, 7)};
    const unsigned size = l40s.sizes[any(random, 0, 9)];
    for (unsigned vgpus = any(random, 0, 3); vgpus > 0 && card.fits(size); --vgpus)
      card.present.push_back(size);
    cards.push_back(card);
  }
  std::set<unsigned> profiles;
  for (const unsigned size : l40s.sizes)
    if (any(random, 0, 2) == 0) profiles.insert(size);
  if (profiles.empty()) profiles.insert(12);
  return {cards, profiles};
}

constexpr unsigned default_vgpu_hosts = 100;

/// GPUWARD_PROPERTY_SEED and GPUWARD_PROPERTY_HOSTS as in lifecycle_property_test.cpp.
TEST(PoolStrandedPropertyTest, no_other_card_strands_less) {
  const unsigned first = number_of("GPUWARD_PROPERTY_SEED", 1);
  const unsigned hosts = number_of("GPUWARD_PROPERTY_HOSTS", default_vgpu_hosts);
  unsigned placed = 0, differ = 0;
  for (unsigned seed = first; seed < first + hosts; ++seed) {
    Random random(seed);
    const VgpuHost host = random_vgpu_host(random);
    for (const unsigned size : {2U, 12U, 16U}) {
      Stranded expected;
      for (size_t at = 0; at < host.cards.size(); ++at)
        if (host.cards[at].fits(size))
          expected[at] = host.cards[at].stranded_by(size, host.profiles);
      if (expected.size() < 2) continue;
      ASSERT_EQ(host.stranded(size), expected) << "seed " << seed << ", " << size << " GiB";
      const auto least = std::min_element(
          expected.begin(), expected.end(),
          [](const auto& one, const auto& other) { return one.second < other.second; });
      const auto pool = host.pool(size);
      const PoolDevice* const chosen = host.chosen(pool, size);
      ASSERT_TRUE(chosen);
      EXPECT_EQ(chosen->stranded_mib, least->second) << "seed " << seed;
      ++placed;
      differ += least->second != expected.begin()->second ? 1 : 0;
    }
  }
  if (hosts < default_vgpu_hosts) return;
  EXPECT_GT(placed, 40U);
  EXPECT_GT(differ, 10U);
}

}  // namespace
}  // namespace gpuward
